//! TLS 1.3 between two clouds that know each other's keys.
//!
//! Both ends show a self-signed certificate of their identity key and prove by the handshake's
//! signature that they hold it. Names, dates and authorities are not looked at: the hash of the
//! key is the cloud's id. A client expects exactly one id. A server takes any, since a cloud that
//! pairs is not known yet, and refuses per request. There is no session resumption, so every
//! connection has proved its key.

use std::sync::Arc;

use alliance_core::cloud::CloudId;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, OtherError,
    ServerConfig, SignatureScheme,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::identity::Identity;
use crate::key::PublicKey;

const ALPN: &[u8] = b"h2";

/// The other end is another cloud than the pinned one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected cloud {expected}, found {found}")]
pub struct WrongKey {
    /// The pinned cloud.
    pub expected: CloudId,
    /// Who answered.
    pub found: CloudId,
}

/// Why a certificate shows no cloud's key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    /// No X.509 certificate at all.
    #[error("expected one X.509 certificate, found something else")]
    NotOne,
    /// A chain, or a certificate by somebody else.
    #[error("expected a self-signed certificate, found one issued by somebody else")]
    NotSelfSigned,
    /// Another kind of key.
    #[error("expected a certificate with a key on the curve P-256, found another")]
    Key,
}

/// The cloud whose key a certificate shows. That the other end holds the key is for the
/// handshake to prove.
///
/// # Errors
/// See [`BadCertificate`].
pub fn cloud_of(certificate: &CertificateDer<'_>) -> Result<CloudId, BadCertificate> {
    let (rest, parsed) =
        X509Certificate::from_der(certificate).map_err(|_| BadCertificate::NotOne)?;
    if !rest.is_empty() {
        return Err(BadCertificate::NotOne);
    }
    if parsed.issuer() != parsed.subject() {
        return Err(BadCertificate::NotSelfSigned);
    }
    PublicKey::from_spki(parsed.public_key().raw)
        .map(|key| key.cloud_id())
        .map_err(|_| BadCertificate::Key)
}

/// How to connect to one partner, and to nobody else.
///
/// # Errors
/// Only if the cryptographic provider is broken.
pub fn client_config(identity: &Identity, partner: CloudId) -> Result<ClientConfig, rustls::Error> {
    let provider = provider();
    let (chain, key) = identity.tls_credentials();
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OnePartner { partner, provider }))
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// How to be connected to, by anybody with a key.
///
/// # Errors
/// Only if the cryptographic provider is broken.
pub fn server_config(identity: &Identity) -> Result<ServerConfig, rustls::Error> {
    let provider = provider();
    let (chain, key) = identity.tls_credentials();
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(AnyCloud { provider }))
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Whether a finished handshake agreed on HTTP/2.
pub(crate) fn is_http2(alpn: Option<&[u8]>) -> bool {
    alpn == Some(ALPN)
}

/// This crate's own, whatever the process has installed as its default.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn sole_cloud(
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Result<CloudId, rustls::Error> {
    if intermediates.is_empty() {
        cloud_of(end_entity).map_err(other)
    } else {
        Err(other(BadCertificate::NotSelfSigned))
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(error))).into()
}

fn schemes() -> Vec<SignatureScheme> {
    vec![SignatureScheme::ECDSA_NISTP256_SHA256]
}

/// The client's side: one pinned cloud.
#[derive(Debug)]
struct OnePartner {
    partner: CloudId,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OnePartner {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = sole_cloud(end_entity, intermediates)?;
        if found == self.partner {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(other(WrongKey {
                expected: self.partner.clone(),
                found,
            }))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

/// The server's side: any cloud, as long as it proves its key.
#[derive(Debug)]
struct AnyCloud {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyCloud {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        sole_cloud(end_entity, intermediates).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{
        CertificateParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    };

    use super::*;

    fn self_signed(key: &KeyPair) -> CertificateDer<'static> {
        let certificate = CertificateParams::default().self_signed(key).unwrap();
        certificate.der().clone()
    }

    #[test]
    fn a_certificate_shows_the_cloud_of_its_key() {
        let west = Identity::ephemeral().unwrap();
        let (chain, _) = west.tls_credentials();
        assert_eq!(cloud_of(&chain[0]), Ok(west.cloud_id().clone()));
    }

    #[test]
    fn other_certificates_show_no_cloud() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut authority = CertificateParams::default();
        authority
            .distinguished_name
            .push(rcgen::DnType::CommonName, "authority");
        let issuer = Issuer::new(authority, &key);
        let issued = CertificateParams::default()
            .signed_by(&key, &issuer)
            .unwrap();
        let mut trailing = self_signed(&key).to_vec();
        trailing.push(0);
        for (certificate, why) in [
            (self_signed(&p384), BadCertificate::Key),
            (issued.der().clone(), BadCertificate::NotSelfSigned),
            (trailing.into(), BadCertificate::NotOne),
            (Vec::new().into(), BadCertificate::NotOne),
        ] {
            assert_eq!(cloud_of(&certificate), Err(why));
        }
    }

    proptest! {
        #[test]
        fn no_certificate_makes_the_parser_panic(
            at in any::<prop::sample::Index>(), byte: u8, noise in proptest::collection::vec(any::<u8>(), 0..300)
        ) {
            let _ = cloud_of(&noise.into());
            let (chain, _) = Identity::ephemeral().unwrap().tls_credentials();
            let mut der = chain[0].to_vec();
            let at = at.index(der.len());
            der[at] = byte;
            let _ = cloud_of(&der.into());
        }
    }
}
