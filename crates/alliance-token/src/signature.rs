//! Whether a pinned certificate's key signed a CMS, and if not, what else happened.

use alliance_core::descriptor::SignatureFamily;
use alliance_core::{CLOCK_SKEW, Seconds};
use aws_lc_rs::digest::{self, Algorithm};
use aws_lc_rs::signature::ParsedPublicKey;
use num_bigint::BigUint;

use crate::cms::{DigestKind, Scheme, SignedData};
use crate::keys::{Certificate, CertifiedKey, KeyRing, RsaKey, SigningKey};
use crate::verify::Unverified;

/// The pinned key that signed `signed`.
pub(crate) fn signer<'r>(
    signed: &SignedData<'_>,
    ring: &'r KeyRing,
    allow_sha1: bool,
    now: Seconds,
) -> Result<&'r SigningKey, Unverified> {
    let digest = Digest::allowed(signed, allow_sha1)?;
    let mut of_issuer = ring
        .cms()
        .filter(|(_, certificate)| certificate.issuer == signed.issuer)
        .peekable();
    if of_issuer.peek().is_none() {
        return Err(if ring.has(SignatureFamily::Cms) {
            Unverified::WrongIssuer
        } else {
            Unverified::UnknownKey
        });
    }
    let mut refused = Unverified::UnknownKey;
    for (key, certificate) in of_issuer {
        if certificate.serial != signed.serial {
            continue;
        }
        match certificate.key.check(signed, digest) {
            Ok(()) => return in_use(key, certificate, now).map(|()| key),
            Err(why) => refused = why,
        }
    }
    Err(refused)
}

/// Whether tokens of `key`, retired at `retired_at`, count.
pub(crate) fn not_retired(key: &SigningKey, now: Seconds) -> Result<(), Unverified> {
    match key.retired_at {
        Some(retired_at) if retired_at <= now => Err(Unverified::RetiredKey),
        _ => Ok(()),
    }
}

fn in_use(key: &SigningKey, certificate: &Certificate, now: Seconds) -> Result<(), Unverified> {
    if certificate.not_before > now + CLOCK_SKEW {
        return Err(Unverified::UnknownKey);
    }
    if certificate.not_after < now {
        return Err(Unverified::ExpiredCertificate);
    }
    not_retired(key, now)
}

impl CertifiedKey {
    fn check(&self, signed: &SignedData<'_>, digest: Digest) -> Result<(), Unverified> {
        let (key, rsa) = match (self, signed.scheme) {
            (Self::P256(key), Scheme::Ecdsa) => (key, None),
            (Self::Rsa(rsa), Scheme::Rsa) => (rsa.with(digest), Some(rsa)),
            (Self::P256(_), Scheme::Rsa) | (Self::Rsa(_), Scheme::Ecdsa) => {
                return Err(Unverified::UnknownKey);
            }
        };
        let fits = match &signed.attributes {
            None => key.verify_sig(signed.content, signed.signature).is_ok(),
            Some(attributes) => {
                let content = digest::digest(digest.algorithm(), signed.content);
                key.verify_sig(&attributes.signed_bytes(), signed.signature)
                    .is_ok()
                    && content.as_ref() == attributes.message_digest
            }
        };
        match rsa {
            _ if fits => Ok(()),
            Some(rsa) if !rsa.made(signed.signature) => Err(Unverified::UnknownKey),
            _ => Err(Unverified::BadSignature),
        }
    }
}

impl RsaKey {
    fn with(&self, digest: Digest) -> &ParsedPublicKey {
        match digest {
            Digest::Sha1 => &self.sha1,
            Digest::Sha256 => &self.sha256,
            Digest::Sha384 => &self.sha384,
            Digest::Sha512 => &self.sha512,
        }
    }

    /// Whether a signature, of whatever, was made by this key: it then contains PKCS #1's padding
    /// (RFC 8017 §9.2). Public arithmetic on a token that has been refused already, to tell one
    /// that was altered from one that somebody else signed; nothing is ever accepted by it.
    fn made(&self, signature: &[u8]) -> bool {
        let modulus = BigUint::from_bytes_be(&self.modulus);
        let exponent = BigUint::from_bytes_be(&self.exponent);
        let block = BigUint::from_bytes_be(signature).modpow(&exponent, &modulus);
        // Its first byte is a 0, hence not there.
        block
            .to_bytes_be()
            .starts_with(b"\x01\xff\xff\xff\xff\xff\xff\xff\xff")
    }
}

#[derive(Clone, Copy)]
enum Digest {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Digest {
    fn allowed(signed: &SignedData<'_>, allow_sha1: bool) -> Result<Self, Unverified> {
        match (signed.digest, signed.scheme) {
            (DigestKind::Sha1, Scheme::Rsa) if allow_sha1 => Ok(Self::Sha1),
            (DigestKind::Sha1 | DigestKind::Weak(_), _) => Err(Unverified::WeakAlgorithm),
            (DigestKind::Sha256, _) => Ok(Self::Sha256),
            (DigestKind::Sha384, Scheme::Rsa) => Ok(Self::Sha384),
            (DigestKind::Sha512, Scheme::Rsa) => Ok(Self::Sha512),
            (DigestKind::Sha384 | DigestKind::Sha512, Scheme::Ecdsa) => Err(Unverified::Malformed(
                "ECDSA with SHA-256 names another digest than SHA-256",
            )),
        }
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}
