//! The keys of one partner: the only ones that its tokens may be signed with. They are pinned by
//! whoever fills a [`KeyRing`]; none is ever taken from a token.

use std::fmt;
use std::sync::Arc;

use alliance_core::Seconds;
use alliance_core::descriptor::SignatureFamily;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, VerificationAlgorithm,
};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_PKCS1_RSAENCRYPTION};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Longest key or certificate that is read, in bytes of PEM or DER.
const MAX_LEN: usize = 64 << 10;
/// Most keys of one family in a ring. A JWS does not say by which key it was signed, so each is
/// tried.
const MAX_KEYS: usize = 16;

/// A public key with which a Keystone signs tokens, parsed. Cheap to clone.
#[derive(Clone)]
pub struct SigningKey {
    parsed: Arc<Parsed>,
    /// When its tokens stop counting, since it is not used any more. `None`: it is.
    pub retired_at: Option<Seconds>,
}

struct Parsed {
    id: String,
    der: Vec<u8>,
    kind: Kind,
}

enum Kind {
    Jws(ParsedPublicKey),
    Cms(Certificate),
}

/// What counts of a certificate: it is pinned, so its own signature and its extensions do not.
pub(crate) struct Certificate {
    /// Its issuer's name, DER.
    pub(crate) issuer: Vec<u8>,
    /// Content octets of its serial number.
    pub(crate) serial: Vec<u8>,
    pub(crate) not_before: Seconds,
    pub(crate) not_after: Seconds,
    pub(crate) key: CertifiedKey,
}

pub(crate) enum CertifiedKey {
    /// Signatures in ASN.1.
    P256(ParsedPublicKey),
    Rsa(Box<RsaKey>),
}

/// The same key for each digest.
pub(crate) struct RsaKey {
    pub(crate) sha1: ParsedPublicKey,
    pub(crate) sha256: ParsedPublicKey,
    pub(crate) sha384: ParsedPublicKey,
    pub(crate) sha512: ParsedPublicKey,
    /// Big-endian.
    pub(crate) modulus: Vec<u8>,
    /// Big-endian.
    pub(crate) exponent: Vec<u8>,
}

/// Why something is no key that tokens may be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRejected {
    /// Over 64 KiB.
    #[error("it is longer than {MAX_LEN} bytes; expected one public key or certificate")]
    TooLong,
    /// No PEM, or another number of blocks than one.
    #[error("expected PEM with one block, PUBLIC KEY (for JWS) or CERTIFICATE (for PKI and PKIZ)")]
    Pem,
    /// The wrong half of a key pair.
    #[error(
        "it is a private key, which only the cloud that signs may have; expected its public key \
         or certificate"
    )]
    Private,
    /// No such DER.
    #[error("it is no {0} in DER")]
    Der(&'static str),
    /// A key of another kind or size.
    #[error(
        "tokens are signed by EC P-256 (JWS, PKI, PKIZ) or RSA of 2048 to 8192 bits (PKI, PKIZ) \
         only; this key is another"
    )]
    Kind,
    /// More than a ring holds.
    #[error("more than {MAX_KEYS} keys for tokens of one family")]
    TooMany,
}

impl SigningKey {
    /// Until when it signs, in seconds since the Unix epoch, if it is a certificate.
    pub fn not_after(&self) -> Option<Seconds> {
        match &self.parsed.kind {
            Kind::Jws(_) => None,
            Kind::Cms(certificate) => Some(certificate.not_after),
        }
    }

    /// Keys of either family in a PEM file: each `PUBLIC KEY` is one for JWS, each `CERTIFICATE`
    /// one for PKI and PKIZ. Text around the blocks is skipped.
    ///
    /// # Errors
    /// If there is none, or one is refused.
    pub fn all_from_pem(pem: &[u8]) -> Result<Vec<Self>, KeyRejected> {
        if pem.len() > MAX_LEN {
            return Err(KeyRejected::TooLong);
        }
        let keys = Pem::iter_from_buffer(pem)
            .map(|block| {
                let block = block.map_err(|_| KeyRejected::Pem)?;
                match block.label.as_str() {
                    "PUBLIC KEY" => Self::jws_from_spki_der(&block.contents),
                    "CERTIFICATE" => Self::cms_from_der(&block.contents),
                    label if label.ends_with("PRIVATE KEY") => Err(KeyRejected::Private),
                    _ => Err(KeyRejected::Pem),
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(KeyRejected::Pem);
        }
        Ok(keys)
    }

    /// The one public key in a PEM file, as `keystone-manage create_jws_keypair` writes it.
    ///
    /// # Errors
    /// If it is not exactly one, of EC P-256.
    pub fn jws_from_pem(pem: &[u8]) -> Result<Self, KeyRejected> {
        Self::one_from_pem(pem, SignatureFamily::Jws)
    }

    /// The one certificate in a PEM file.
    ///
    /// # Errors
    /// If it is not exactly one, or its key is of no kind that signs tokens.
    pub fn cms_from_pem(pem: &[u8]) -> Result<Self, KeyRejected> {
        Self::one_from_pem(pem, SignatureFamily::Cms)
    }

    fn one_from_pem(pem: &[u8], family: SignatureFamily) -> Result<Self, KeyRejected> {
        let mut keys = Self::all_from_pem(pem)?;
        match (keys.pop(), keys.is_empty()) {
            (Some(key), true) if key.format_family() == family => Ok(key),
            _ => Err(KeyRejected::Pem),
        }
    }

    /// A `SubjectPublicKeyInfo` of EC P-256.
    ///
    /// # Errors
    /// If it is none.
    pub fn jws_from_spki_der(der: &[u8]) -> Result<Self, KeyRejected> {
        let rejected = KeyRejected::Der("SubjectPublicKeyInfo");
        if der.len() > MAX_LEN {
            return Err(KeyRejected::TooLong);
        }
        let (rest, _) = SubjectPublicKeyInfo::from_der(der).map_err(|_| rejected)?;
        if !rest.is_empty() {
            return Err(rejected);
        }
        let key = parse(&ECDSA_P256_SHA256_FIXED, der)?;
        Ok(Self::new(der, Kind::Jws(key)))
    }

    /// An X.509 certificate.
    ///
    /// # Errors
    /// If it is none, or its key is of no kind that signs tokens.
    pub fn cms_from_der(der: &[u8]) -> Result<Self, KeyRejected> {
        let rejected = KeyRejected::Der("X.509 certificate");
        if der.len() > MAX_LEN {
            return Err(KeyRejected::TooLong);
        }
        let (rest, x509) = X509Certificate::from_der(der).map_err(|_| rejected)?;
        if !rest.is_empty() {
            return Err(rejected);
        }
        let certificate = Certificate {
            issuer: x509.issuer().as_raw().to_vec(),
            serial: x509.raw_serial().to_vec(),
            not_before: x509.validity().not_before.timestamp(),
            not_after: x509.validity().not_after.timestamp(),
            key: CertifiedKey::new(x509.public_key())?,
        };
        Ok(Self::new(der, Kind::Cms(certificate)))
    }

    fn new(der: &[u8], kind: Kind) -> Self {
        Self {
            parsed: Arc::new(Parsed {
                id: HEXLOWER.encode(&Sha256::digest(der)),
                der: der.to_vec(),
                kind,
            }),
            retired_at: None,
        }
    }

    /// SHA-256 of its DER, lowercase hex.
    pub fn id(&self) -> &str {
        &self.parsed.id
    }

    /// Which tokens it signs.
    pub fn format_family(&self) -> SignatureFamily {
        match self.parsed.kind {
            Kind::Jws(_) => SignatureFamily::Jws,
            Kind::Cms(_) => SignatureFamily::Cms,
        }
    }

    /// The `SubjectPublicKeyInfo`, or the certificate.
    pub fn to_der(&self) -> &[u8] {
        &self.parsed.der
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("family", &self.format_family())
            .field("id", &self.id())
            .field("retired_at", &self.retired_at)
            .finish()
    }
}

impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        (self.id(), self.format_family(), self.retired_at)
            == (other.id(), other.format_family(), other.retired_at)
    }
}

impl Eq for SigningKey {}

impl CertifiedKey {
    fn new(spki: &SubjectPublicKeyInfo<'_>) -> Result<Self, KeyRejected> {
        if is_p256(spki) {
            return parse(&ECDSA_P256_SHA256_ASN1, spki.raw).map(Self::P256);
        }
        if spki.algorithm.algorithm != OID_PKCS1_RSAENCRYPTION {
            return Err(KeyRejected::Kind);
        }
        let Ok(PublicKey::RSA(rsa)) = spki.parsed() else {
            return Err(KeyRejected::Kind);
        };
        if !(2048..=8192).contains(&rsa.key_size()) {
            return Err(KeyRejected::Kind);
        }
        Ok(Self::Rsa(Box::new(RsaKey {
            sha1: parse(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, spki.raw)?,
            sha256: parse(&RSA_PKCS1_2048_8192_SHA256, spki.raw)?,
            sha384: parse(&RSA_PKCS1_2048_8192_SHA384, spki.raw)?,
            sha512: parse(&RSA_PKCS1_2048_8192_SHA512, spki.raw)?,
            modulus: rsa.modulus.to_vec(),
            exponent: rsa.exponent.to_vec(),
        })))
    }
}

fn is_p256(spki: &SubjectPublicKeyInfo<'_>) -> bool {
    let curve = spki.algorithm.parameters.as_ref();
    spki.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY
        && curve.and_then(|curve| curve.as_oid().ok()) == Some(OID_EC_P256)
}

fn parse(
    algorithm: &'static dyn VerificationAlgorithm,
    spki: &[u8],
) -> Result<ParsedPublicKey, KeyRejected> {
    ParsedPublicKey::new(algorithm, spki).map_err(|_| KeyRejected::Kind)
}

/// The keys of one partner. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct KeyRing(Arc<[SigningKey]>);

impl KeyRing {
    /// A ring of these keys, retired ones among them: they tell a token of yesterday's key from
    /// one of nobody's.
    ///
    /// # Errors
    /// [`KeyRejected::TooMany`] if there are more than 16 of one family.
    pub fn new(keys: impl IntoIterator<Item = SigningKey>) -> Result<Self, KeyRejected> {
        let keys: Arc<[SigningKey]> = keys.into_iter().collect();
        for family in [SignatureFamily::Jws, SignatureFamily::Cms] {
            let of_family = keys.iter().filter(|key| key.format_family() == family);
            if of_family.count() > MAX_KEYS {
                return Err(KeyRejected::TooMany);
            }
        }
        Ok(Self(keys))
    }

    /// All of them.
    pub fn keys(&self) -> &[SigningKey] {
        &self.0
    }

    /// Whether it could verify tokens of this family at all.
    pub fn has(&self, family: SignatureFamily) -> bool {
        self.0.iter().any(|key| key.format_family() == family)
    }

    pub(crate) fn jws(&self) -> impl Iterator<Item = (&SigningKey, &ParsedPublicKey)> {
        self.0.iter().filter_map(|key| match &key.parsed.kind {
            Kind::Jws(public) => Some((key, public)),
            Kind::Cms(_) => None,
        })
    }

    pub(crate) fn cms(&self) -> impl Iterator<Item = (&SigningKey, &Certificate)> {
        self.0.iter().filter_map(|key| match &key.parsed.kind {
            Kind::Jws(_) => None,
            Kind::Cms(certificate) => Some((key, certificate)),
        })
    }
}
