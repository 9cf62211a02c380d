use std::sync::Arc;

use alliance_peer::client::{PeerClient, PeerError};
use alliance_peer::request_id::RequestId;
use alliance_peer::tls::{WrongKey, client_config};
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::cloud::{Daemon, Served, client, token_of, west_knows_east};

/// Believes any server; the tests are about what the server believes.
#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// Shows a certificate whether or not the key fits.
#[derive(Debug)]
struct Show(Arc<CertifiedKey>);

impl ResolvesClientCert for Show {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn gullible(
    version: &'static SupportedProtocolVersion,
    show: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible));
    let mut config = match show {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let key = provider.key_provider.load_private_key(key).unwrap();
            let shown = Arc::new(CertifiedKey::new(chain, key));
            builder.with_client_cert_resolver(Arc::new(Show(shown)))
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// What a server says after the handshake: its first bytes, or why it ended.
async fn first_answer(served: &Served, config: ClientConfig) -> Result<usize, String> {
    let stream = TcpStream::connect(served.address).await.unwrap();
    let name = ServerName::try_from("west.example").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|e| e.to_string())?;
    // The preface of HTTP/2 and empty settings.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let _ = stream.write_all(preface).await;
    match stream.read(&mut [0; 64]).await {
        Ok(0) => Err("closed".into()),
        Ok(length) => Ok(length),
        Err(error) => Err(error.to_string()),
    }
}

fn fresh(
    algorithm: &'static rcgen::SignatureAlgorithm,
) -> (Vec<CertificateDer<'static>>, rcgen::KeyPair) {
    let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
    let certificate = rcgen::CertificateParams::default()
        .self_signed(&key)
        .unwrap();
    (vec![certificate.der().clone()], key)
}

fn private(key: &rcgen::KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::try_from(key.serialize_der()).unwrap()
}

#[tokio::test]
async fn another_clouds_key_at_the_partners_url_is_named_and_gets_nothing() {
    let (west, east, thief) = (Daemon::new(), Daemon::new(), Daemon::new());
    thief.trust(&east.id());
    let served = Served::start(&thief).await;
    let client = client(&east, &west.id(), &served.url());
    let error = client
        .introspect(RequestId::random(), &token_of(&west))
        .await;
    let expected = WrongKey {
        expected: west.id(),
        found: thief.id(),
    };
    assert_eq!(error, Err(PeerError::WrongKey(expected)));
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains(thief.id().as_str()) && text.contains(west.id().as_str()),
        "{text}"
    );
    assert!(thief.seen.lock().unwrap().requests.is_empty());
}

#[tokio::test]
async fn a_client_without_a_certificate_is_turned_away() {
    let served = Served::start(&Daemon::new()).await;
    let answer = first_answer(&served, gullible(&TLS13, None)).await;
    assert!(
        answer
            .clone()
            .is_err_and(|e| e.contains("CertificateRequired")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_proper_certificate_gets_an_answer() {
    let served = Served::start(&Daemon::new()).await;
    let (chain, key) = fresh(&rcgen::PKCS_ECDSA_P256_SHA256);
    let answer = first_answer(&served, gullible(&TLS13, Some((chain, private(&key))))).await;
    assert!(answer.is_ok(), "{answer:?}");
}

#[tokio::test]
async fn tls_1_2_is_turned_away() {
    let served = Served::start(&Daemon::new()).await;
    let (chain, key) = fresh(&rcgen::PKCS_ECDSA_P256_SHA256);
    let answer = first_answer(&served, gullible(&TLS12, Some((chain, private(&key))))).await;
    assert!(
        answer.clone().is_err_and(|e| e.contains("ProtocolVersion")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn somebody_elses_certificate_without_its_key_is_turned_away() {
    let served = Served::start(&Daemon::new()).await;
    let (chain, _) = fresh(&rcgen::PKCS_ECDSA_P256_SHA256);
    let (_, other_key) = fresh(&rcgen::PKCS_ECDSA_P256_SHA256);
    let config = gullible(&TLS13, Some((chain, private(&other_key))));
    let answer = first_answer(&served, config).await;
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test]
async fn other_kinds_of_certificates_are_turned_away() {
    let served = Served::start(&Daemon::new()).await;
    let (p384, p384_key) = fresh(&rcgen::PKCS_ECDSA_P384_SHA384);
    let (mut chain, key) = fresh(&rcgen::PKCS_ECDSA_P256_SHA256);
    chain.extend(chain.clone());
    for (chain, key) in [(p384, p384_key), (chain, key)] {
        let config = gullible(&TLS13, Some((chain, private(&key))));
        let answer = first_answer(&served, config).await;
        assert!(answer.is_err(), "{answer:?}");
    }
}

#[tokio::test]
async fn who_does_not_offer_http_2_is_turned_away() {
    let served = Served::start(&Daemon::new()).await;
    for offered in [vec![b"http/1.1".to_vec()], Vec::new()] {
        let (chain, key) = fresh(&rcgen::PKCS_ECDSA_P256_SHA256);
        let mut config = gullible(&TLS13, Some((chain, private(&key))));
        config.alpn_protocols = offered;
        let answer = first_answer(&served, config).await;
        assert!(answer.is_err(), "{answer:?}");
    }
}

#[tokio::test]
async fn a_removed_partner_is_refused_in_the_connection_that_it_has_open() {
    let (served, east) = west_knows_east().await;
    let client = served.client_of(&east);
    assert!(client.agreements(RequestId::random()).await.is_ok());
    served.daemon.partners.lock().unwrap().clear();
    let error = client.agreements(RequestId::random()).await.unwrap_err();
    assert!(
        matches!(&error, PeerError::Refused(p) if p.code() == "unknown_partner"),
        "{error}"
    );
}

#[tokio::test]
async fn sessions_are_not_resumed() {
    let served = Served::start(&Daemon::new()).await;
    let (chain, key) = fresh(&rcgen::PKCS_ECDSA_P256_SHA256);
    let mut config = gullible(&TLS13, Some((chain, private(&key))));
    config.resumption = rustls::client::Resumption::in_memory_sessions(8);
    let config = Arc::new(config);
    for _ in 0..3 {
        let stream = TcpStream::connect(served.address).await.unwrap();
        let name = ServerName::try_from("west.example").unwrap();
        let mut stream = TlsConnector::from(config.clone())
            .connect(name, stream)
            .await
            .unwrap();
        // Tickets would arrive with the first bytes.
        let _ = stream.read(&mut [0; 64]).await.unwrap();
        let kind = stream.get_ref().1.handshake_kind();
        assert_eq!(kind, Some(rustls::HandshakeKind::Full));
    }
}

#[tokio::test]
async fn the_name_in_the_url_decides_nothing() {
    let (served, east) = west_knows_east().await;
    let url = format!("https://localhost:{}", served.address.port());
    let client = client(&east, &served.daemon.id(), &url);
    assert!(client.agreements(RequestId::random()).await.is_ok());
}

#[test]
fn a_client_is_for_one_partner_and_speaks_tls_1_3_only() {
    let (west, east) = (Daemon::new(), Daemon::new());
    let config = client_config(&east.identity, west.id()).unwrap();
    assert_eq!(config.alpn_protocols, [b"h2".to_vec()]);
    let url = "http://west.example";
    assert!(PeerClient::new(&east.identity, west.id(), url, Default::default()).is_err());
}
