//! One kept-alive connection.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(30);
const UNIX: &str = "unix:";

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Opened when it is first used, and again after the server closed it.
pub(crate) struct Connection {
    to: String,
    stream: Option<Box<dyn Stream>>,
    received: Vec<u8>,
}

impl Connection {
    /// Not open yet.
    pub(crate) fn new(to: &str) -> Self {
        Self {
            to: to.to_owned(),
            stream: None,
            received: Vec::with_capacity(16 * 1024),
        }
    }

    /// The status of the answer, 0 if none came.
    pub(crate) async fn send(&mut self, text: &str) -> u16 {
        let answered = timeout(DEADLINE, self.exchange(text.as_bytes())).await;
        match answered.unwrap_or_else(|elapsed| Err(elapsed.into())) {
            Ok(head) => {
                if head.closes {
                    self.stream = None;
                }
                head.status
            }
            Err(_) => {
                self.stream = None;
                0
            }
        }
    }

    async fn exchange(&mut self, text: &[u8]) -> io::Result<Head> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(open(&self.to).await?),
        };
        stream.write_all(text).await?;
        self.received.clear();
        let (head, end) = loop {
            if stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(at) = self
                .received
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
            {
                break (Head::parse(&self.received[..at])?, at + 4);
            }
        };
        while self.received.len() < end + head.length {
            if stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(head)
    }
}

async fn open(to: &str) -> io::Result<Box<dyn Stream>> {
    if let Some(path) = to.strip_prefix(UNIX) {
        return Ok(Box::new(UnixStream::connect(path).await?));
    }
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

/// What of the head of an answer is needed here.
struct Head {
    status: u16,
    length: usize,
    closes: bool,
}

impl Head {
    fn parse(head: &[u8]) -> io::Result<Self> {
        let text = str::from_utf8(head).map_err(io::Error::other)?;
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|status| status.parse().ok())
            .ok_or(io::ErrorKind::InvalidData)?;
        let (mut length, mut closes) = (None, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            } else if name.eq_ignore_ascii_case("connection") {
                closes = value.trim().eq_ignore_ascii_case("close");
            }
        }
        let length = match (length, status) {
            (Some(length), _) => length,
            (None, 204 | 304) => 0,
            (None, _) => return Err(io::Error::other("an answer without Content-Length")),
        };
        Ok(Self {
            status,
            length,
            closes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_status_length_and_whether_more_may_follow() {
        let head =
            Head::parse(b"HTTP/1.1 401 UNAUTHORIZED\r\ncontent-length: 114\r\nConnection: close");
        let head = head.map(|head| (head.status, head.length, head.closes));
        assert_eq!(head.ok(), Some((401, 114, true)));
    }

    #[test]
    fn an_answer_of_unknown_length_is_refused_unless_it_can_have_no_body() {
        assert!(Head::parse(b"HTTP/1.1 204 No Content").is_ok_and(|head| head.length == 0));
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked").is_err());
        assert!(Head::parse(b"SSH-2.0").is_err());
    }
}
