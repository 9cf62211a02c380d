//! Keys on the curve P-256 in the four forms that matter here: a private key, a JWK, a
//! `SubjectPublicKeyInfo`, and the hash that names one.

use std::fmt;

use alliance_core::cloud::{CloudId, base32_lower};
use alliance_core::descriptor::Jwk;
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{DecodingKey, EncodingKey};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};

const COORDINATE_LEN: usize = 32;
const KID_LEN: usize = 16;

/// RFC 5480 §2: `id-ecPublicKey` with `secp256r1`, then a bit string that begins an uncompressed
/// point. A key has this one spelling, so that it has one hash.
const SPKI_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
const SPKI_LEN: usize = SPKI_PREFIX.len() + 2 * COORDINATE_LEN;

/// A private key for ES256. `Debug` shows its public half's id.
pub struct SigningKey {
    pair: KeyPair,
    encoding: EncodingKey,
    public: PublicKey,
}

/// A public key on P-256, known to be well formed (not: to be on the curve, which its first use
/// tells).
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    spki: [u8; SPKI_LEN],
}

/// Why something is no key for ES256.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// A private key in another form.
    #[error("expected a PKCS #8 private key on the curve P-256 in PEM: {0}")]
    Private(String),
    /// A public key of another kind, or in another spelling.
    #[error("expected an uncompressed public key on the curve P-256, found {0}")]
    Public(String),
    /// A JWK that says one thing and is another.
    #[error("expected kid {expected:?} for this key, found {found:?}")]
    Kid {
        /// What follows from the key.
        expected: String,
        /// What the JWK says.
        found: String,
    },
}

impl SigningKey {
    /// A new key from the system's random numbers.
    ///
    /// # Errors
    /// Only if the random number generator fails.
    pub fn generate() -> Result<Self, BadKey> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map_err(|e| BadKey::Private(e.to_string()))?;
        Self::from_pair(pair)
    }

    /// Reads a PKCS #8 key in PEM (RFC 7468 §10).
    ///
    /// # Errors
    /// What is wrong with it, without any of its content.
    pub fn from_pem(pem: &str) -> Result<Self, BadKey> {
        let pair = KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_ECDSA_P256_SHA256)
            .map_err(|e| BadKey::Private(e.to_string()))?;
        Self::from_pair(pair)
    }

    fn from_pair(pair: KeyPair) -> Result<Self, BadKey> {
        let public = PublicKey::from_spki(&pair.subject_public_key_info())?;
        let encoding = EncodingKey::from_ec_der(pair.serialized_der());
        Ok(Self {
            pair,
            encoding,
            public,
        })
    }

    /// Its public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The key in PEM. Secret.
    pub(crate) fn to_pem(&self) -> zeroize::Zeroizing<String> {
        self.pair.serialize_pem().into()
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }

    pub(crate) fn encoding(&self) -> &EncodingKey {
        &self.encoding
    }

    pub(crate) fn for_tls(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.pair.serialize_der()).into()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.kid())
    }
}

impl PublicKey {
    /// Reads a DER `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// Another algorithm, curve or spelling.
    pub fn from_spki(der: &[u8]) -> Result<Self, BadKey> {
        match <[u8; SPKI_LEN]>::try_from(der) {
            Ok(spki) if spki.starts_with(&SPKI_PREFIX) => Ok(Self { spki }),
            _ => Err(BadKey::Public(format!(
                "{} bytes of another kind of key",
                der.len()
            ))),
        }
    }

    /// Reads a JWK. Its `kid` must be the one that follows from the key.
    ///
    /// # Errors
    /// Another kind of key, coordinates of another length, another `kid`.
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, BadKey> {
        let key = Self::from_coordinates(jwk)?;
        if key.kid() == jwk.kid {
            Ok(key)
        } else {
            Err(BadKey::Kid {
                expected: key.kid(),
                found: jwk.kid.chars().take(60).collect(),
            })
        }
    }

    /// Reads a JWK whose `kid` does not matter: it is somebody's who is no cloud.
    ///
    /// # Errors
    /// Another kind of key, coordinates of another length.
    pub(crate) fn from_coordinates(jwk: &Jwk) -> Result<Self, BadKey> {
        if (jwk.kty.as_str(), jwk.crv.as_str(), jwk.alg.as_str()) != ("EC", "P-256", "ES256") {
            let found = format!("kty {:?}, crv {:?}, alg {:?}", jwk.kty, jwk.crv, jwk.alg);
            return Err(BadKey::Public(found.chars().take(120).collect()));
        }
        let mut spki = Vec::with_capacity(SPKI_LEN);
        spki.extend_from_slice(&SPKI_PREFIX);
        for coordinate in [&jwk.x, &jwk.y] {
            let bytes = BASE64URL_NOPAD
                .decode(coordinate.as_bytes())
                .map_err(|e| BadKey::Public(format!("a coordinate that is not base64url: {e}")))?;
            if bytes.len() != COORDINATE_LEN {
                return Err(BadKey::Public(format!(
                    "a coordinate of {} bytes",
                    bytes.len()
                )));
            }
            spki.extend_from_slice(&bytes);
        }
        Self::from_spki(&spki)
    }

    /// Its JWK thumbprint with SHA-256 (RFC 7638).
    pub(crate) fn thumbprint(&self) -> String {
        let (x, y) = self.coordinates();
        let (x, y) = (BASE64URL_NOPAD.encode(x), BASE64URL_NOPAD.encode(y));
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        BASE64URL_NOPAD.encode(&Sha256::digest(members))
    }

    /// The cloud whose identity key this is.
    pub fn cloud_id(&self) -> CloudId {
        CloudId::from_spki(&self.spki)
    }

    /// The `kid` that follows from the key.
    pub fn kid(&self) -> String {
        let mut kid = base32_lower(&Sha256::digest(self.spki));
        kid.truncate(KID_LEN);
        kid
    }

    /// The key as a JWK.
    pub fn to_jwk(&self) -> Jwk {
        let (x, y) = self.coordinates();
        Jwk {
            kty: "EC".into(),
            crv: "P-256".into(),
            x: BASE64URL_NOPAD.encode(x),
            y: BASE64URL_NOPAD.encode(y),
            alg: "ES256".into(),
            kid: self.kid(),
        }
    }

    pub(crate) fn decoding(&self) -> DecodingKey {
        // The point with its leading 0x04, as the verifier takes it.
        DecodingKey::from_ec_der(&self.spki[SPKI_PREFIX.len() - 1..])
    }

    fn coordinates(&self) -> (&[u8], &[u8]) {
        self.spki[SPKI_PREFIX.len()..].split_at(COORDINATE_LEN)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.kid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_survives_each_of_its_forms() {
        let key = SigningKey::generate().unwrap();
        let public = key.public().clone();
        assert_eq!(PublicKey::from_jwk(&public.to_jwk()), Ok(public.clone()));
        assert_eq!(PublicKey::from_spki(&public.spki), Ok(public.clone()));
        let read = SigningKey::from_pem(&key.to_pem()).unwrap();
        assert_eq!(read.public(), &public);
        assert!(public.cloud_id().as_str().starts_with(&public.kid()));
    }

    #[test]
    fn a_jwk_that_lies_is_refused() {
        let jwk = SigningKey::generate().unwrap().public().to_jwk();
        let other = SigningKey::generate().unwrap().public().to_jwk();
        for wrong in [
            Jwk {
                kid: other.kid.clone(),
                ..jwk.clone()
            },
            Jwk {
                kty: "RSA".into(),
                ..jwk.clone()
            },
            Jwk {
                crv: "P-384".into(),
                ..jwk.clone()
            },
            Jwk {
                alg: "none".into(),
                ..jwk.clone()
            },
            Jwk {
                x: format!("{}=", jwk.x),
                ..jwk.clone()
            },
            Jwk {
                x: jwk.x[..40].to_owned(),
                ..jwk.clone()
            },
            Jwk {
                y: other.y,
                ..jwk.clone()
            },
        ] {
            assert!(PublicKey::from_jwk(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_key_never_shows_its_private_half() {
        let key = SigningKey::generate().unwrap();
        assert_eq!(
            format!("{key:?}"),
            format!("SigningKey({})", key.public().kid())
        );
    }
}
