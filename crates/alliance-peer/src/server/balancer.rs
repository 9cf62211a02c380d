//! Balancers that pass connections on and say whose they are: the PROXY protocol of HAProxy, in its
//! text form (version 1) and its binary one (version 2).
//! Source: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

use std::net::SocketAddr;

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What the binary form begins with, and the text form is longer than.
const BINARY: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const TEXT: &[u8] = b"PROXY ";
/// With what the binary form begins: version, command, family and length.
const BINARY_START: usize = BINARY.len() + 4;
/// No balancer says more: an address of each end, and what else it knows of a TLS connection.
const MOST_BINARY: usize = 2048;
/// The longest line of the text form, with its end.
const MOST_TEXT: usize = 107;

/// Why it is not known whose a balancer's connection is.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoClient {
    #[error(
        "the balancer does not say whose it is: HAProxy does with send-proxy-v2, or this address must not stand in [peer] balancers"
    )]
    NotProxy,
    #[error("what the balancer says of the connection is not the PROXY protocol: {0}")]
    Malformed(String),
    #[error("what the balancer says of the connection is too long")]
    TooLong,
    #[error("the balancer was gone at once")]
    Gone(#[from] std::io::Error),
}

/// Who has connected to the balancer; `None` if it is the balancer itself, or it does not say. Reads no
/// byte of what follows.
///
/// # Errors
/// If it says nothing of the kind, or is gone.
pub(super) async fn client(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, NoClient> {
    let mut said = vec![0; BINARY.len()];
    stream.read_exact(&mut said).await?;
    if said == BINARY {
        read_binary(stream, &mut said).await?;
    } else if said.starts_with(TEXT) {
        read_text(stream, &mut said).await?;
    } else {
        return Err(NoClient::NotProxy);
    }
    let header = ProxyHeader::parse(&said, ParseConfig::default());
    let (header, _) = header.map_err(|error| NoClient::Malformed(error.to_string()))?;
    Ok(header.proxied_address().map(|ends| ends.source))
}

async fn read_binary(
    stream: &mut (impl AsyncRead + Unpin),
    said: &mut Vec<u8>,
) -> Result<(), NoClient> {
    said.resize(BINARY_START, 0);
    stream.read_exact(&mut said[BINARY.len()..]).await?;
    let length = usize::from(u16::from_be_bytes([said[14], said[15]]));
    if length > MOST_BINARY {
        return Err(NoClient::TooLong);
    }
    said.resize(BINARY_START + length, 0);
    stream.read_exact(&mut said[BINARY_START..]).await?;
    Ok(())
}

async fn read_text(
    stream: &mut (impl AsyncRead + Unpin),
    said: &mut Vec<u8>,
) -> Result<(), NoClient> {
    // What comes after the line is TLS's.
    while !said.ends_with(b"\n") {
        if said.len() == MOST_TEXT {
            return Err(NoClient::TooLong);
        }
        said.push(stream.read_u8().await?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proxy_header::ProxiedAddress;

    use super::*;

    const TLS: &[u8] = &[0x16, 3, 1];

    /// What is made of these bytes, and what is left of them for TLS.
    async fn of(said: &[u8]) -> (Result<Option<SocketAddr>, NoClient>, Vec<u8>) {
        let mut stream = said;
        let client = client(&mut stream).await;
        (client, stream.to_vec())
    }

    fn with_tls(said: impl AsRef<[u8]>) -> Vec<u8> {
        [said.as_ref(), TLS].concat()
    }

    fn version_2(header: &ProxyHeader<'_>) -> Vec<u8> {
        let mut said = Vec::new();
        header.encode_v2(&mut said).unwrap();
        said
    }

    fn passed_on(source: &str, destination: &str) -> Vec<u8> {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        let ends = ProxiedAddress::stream(source, destination);
        version_2(&ProxyHeader::with_address(ends))
    }

    #[tokio::test]
    async fn it_says_whose_a_connection_is_and_what_follows_is_left() {
        for (said, source) in [
            (
                b"PROXY TCP4 203.0.113.7 192.0.2.10 40000 5443\r\n".to_vec(),
                "203.0.113.7:40000",
            ),
            (
                b"PROXY TCP6 2001:db8::7 2001:db8::10 40000 5443\r\n".to_vec(),
                "[2001:db8::7]:40000",
            ),
            (
                passed_on("203.0.113.7:40000", "192.0.2.10:5443"),
                "203.0.113.7:40000",
            ),
            (
                passed_on("[2001:db8::7]:1", "[2001:db8::10]:5443"),
                "[2001:db8::7]:1",
            ),
        ] {
            let (client, left) = of(&with_tls(&said)).await;
            assert_eq!(client.unwrap(), Some(source.parse().unwrap()), "{said:?}");
            assert_eq!(left, TLS, "{said:?}");
        }
    }

    #[tokio::test]
    async fn its_own_checks_are_nobody_elses() {
        let local = version_2(&ProxyHeader::with_local());
        for said in [b"PROXY UNKNOWN\r\n".to_vec(), local] {
            let (client, left) = of(&with_tls(&said)).await;
            assert_eq!(client.unwrap(), None, "{said:?}");
            assert_eq!(left, TLS);
        }
    }

    #[tokio::test]
    async fn whatever_else_comes_names_nobody() {
        let long = [&BINARY[..], &[0x21, 0x11, 0xff, 0xff]].concat();
        let short = [&BINARY[..], &[0x21, 0x11, 0, 2, 1, 2]].concat();
        let newer = [&BINARY[..], &[0x31, 0x11, 0, 0]].concat();
        let endless = format!("PROXY TCP4 {}", "1".repeat(200));
        let is = |said: &Result<_, NoClient>, kind: &str| match said {
            Err(NoClient::NotProxy) => kind == "no proxy",
            Err(NoClient::Malformed(_)) => kind == "malformed",
            Err(NoClient::TooLong) => kind == "too long",
            Err(NoClient::Gone(_)) => kind == "gone",
            Ok(_) => false,
        };
        for (said, kind) in [
            (
                &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00"[..],
                "no proxy",
            ),
            (b"GET / HTTP/1.1\r\n", "no proxy"),
            (b"PROXY TCP4 203.0.113.7 192.0.2.10 x 5443\r\n", "malformed"),
            (b"PROXY TCP4 nobody nowhere 1 2\r\n", "malformed"),
            (&short, "malformed"),
            (&newer, "malformed"),
            (&long, "too long"),
            (endless.as_bytes(), "too long"),
            (b"", "gone"),
            (b"PROXY TCP4 203.0.113.7", "gone"),
            (&BINARY[..], "gone"),
        ] {
            let (client, _) = of(said).await;
            assert!(is(&client, kind), "{said:?}: {client:?}, not {kind}");
        }
    }
}
