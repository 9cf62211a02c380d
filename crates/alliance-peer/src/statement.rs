//! Signing and verifying what clouds say to each other (JWS compact serialisation, RFC 7515 §7.1).
//!
//! A verifier takes nothing from the statement on trust: the algorithm is ES256, the `typ` is that
//! of the type asked for (RFC 8725 §3.11), the `kid` must name one of the keys given, and issuer
//! and audience must be the ones expected. Whether a statement is fresh is for the caller to say,
//! who knows the time: [`alliance_core::statement::require_fresh`], [`require_current`].

use alliance_core::cloud::CloudId;
use alliance_core::descriptor::{Descriptor, Jwk};
use alliance_core::statement::Statement;
use alliance_core::{CLOCK_SKEW, Seconds};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::key::{BadKey, PublicKey, SigningKey};

/// A cloud has its current signing key, and perhaps its last and its next.
const MAX_SIGNING_KEYS: usize = 8;
const DESCRIPTOR_VERSION: u32 = 1;
/// As long as a statement may be, unless its type says otherwise.
const MAX_CLAIMED_LEN: usize = 16 << 10;

/// Why a statement is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Too long to be looked at.
    #[error("expected at most {limit} bytes, found {found}")]
    TooLong {
        /// The limit for its type.
        limit: usize,
        /// Its length.
        found: usize,
    },
    /// Not a JWS, or not in its one spelling.
    #[error("expected three parts in base64url without padding, separated by dots")]
    NotAJws,
    /// A header that is not understood.
    #[error("the statement's header is not understood: {0}")]
    Header(String),
    /// Another type of statement.
    #[error("expected a statement of type {expected:?}, found {found:?}")]
    Type {
        /// The type asked for.
        expected: &'static str,
        /// The header's `typ`.
        found: Option<String>,
    },
    /// Another algorithm.
    #[error("expected algorithm ES256, found {found}")]
    Algorithm {
        /// The header's `alg`.
        found: String,
    },
    /// A header that demands an extension (RFC 7515 §4.1.11).
    #[error("the statement demands extensions ({0}); none is known")]
    Critical(String),
    /// Signed by a key that is not the issuer's, or no longer.
    #[error(
        "expected a signature by one of the keys {expected:?}, found {found:?}; the issuer may have new keys: fetch its descriptor again"
    )]
    UnknownKey {
        /// The `kid`s of the keys given.
        expected: Vec<String>,
        /// The header's `kid`.
        found: Option<String>,
    },
    /// A key among those given that is none.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// Altered, or signed by another key of that name.
    #[error("the signature does not fit the statement and the key {0}")]
    Signature(String),
    /// Signed by the right key, yet not of the expected shape.
    #[error("the statement's content is not that of its type: {0}")]
    Content(String),
    /// Said by somebody else.
    #[error("expected a statement of cloud {expected}, found one of {found}")]
    Issuer {
        /// Who should have said it.
        expected: CloudId,
        /// Who did.
        found: CloudId,
    },
    /// Said to somebody else.
    #[error("expected a statement for {}, found one for {}", show(expected.as_ref()), show(found.as_ref()))]
    Audience {
        /// To whom it should have been said.
        expected: Option<CloudId>,
        /// To whom it was.
        found: Option<CloudId>,
    },
    /// A descriptor whose key is not the cloud's.
    #[error("expected the descriptor of cloud {expected}, found the identity key of {found}")]
    Identity {
        /// The pinned id.
        expected: CloudId,
        /// The id of the key in the descriptor.
        found: CloudId,
    },
    /// A descriptor that says nothing usable.
    #[error("the descriptor is of no use: {0}")]
    Descriptor(String),
    /// Outside its time.
    #[error(
        "expected a descriptor that is valid at {now}, found one from {iat} until {exp}; compare the clouds' clocks"
    )]
    NotCurrent {
        /// Now.
        now: Seconds,
        /// Issued.
        iat: Seconds,
        /// Expires.
        exp: Seconds,
    },
}

/// Signs claims.
///
/// # Errors
/// Only if the claims cannot be written as JSON or the random number generator fails.
pub fn sign<T: Statement + Serialize>(
    claims: &T,
    key: &SigningKey,
) -> Result<String, jsonwebtoken::errors::Error> {
    jsonwebtoken::encode(&header::<T>(key), claims, key.encoding())
}

fn header<T: Statement>(key: &SigningKey) -> Header {
    let mut header = Header::new(Algorithm::ES256);
    header.typ = Some(T::TYP.to_owned());
    header.kid = Some(key.public().kid());
    header
}

/// Verifies a statement that `issuer` made for `audience` (`None`: for nobody in particular), with
/// one of the issuer's `keys`. Time is not looked at.
///
/// # Errors
/// What was expected and what was found.
pub fn verify<T: Statement + DeserializeOwned>(
    jws: &str,
    keys: &[Jwk],
    issuer: &CloudId,
    audience: Option<&CloudId>,
) -> Result<T, StatementError> {
    let limit = T::MAX_LEN;
    if jws.len() > limit {
        return Err(StatementError::TooLong {
            limit,
            found: jws.len(),
        });
    }
    require_canonical(jws)?;
    let key = choose_key::<T>(jws, keys)?;
    // The rest is checked below, on the typed claims; time by the caller.
    let claims = jsonwebtoken::decode::<T>(jws, &key.decoding(), &signature_alone())
        .map_err(|e| match e.kind() {
            jsonwebtoken::errors::ErrorKind::Json(e) => StatementError::Content(e.to_string()),
            _ => StatementError::Signature(key.kid()),
        })?
        .claims;
    if claims.issuer() != issuer {
        return Err(StatementError::Issuer {
            expected: issuer.clone(),
            found: claims.issuer().clone(),
        });
    }
    if claims.audience() != audience {
        return Err(StatementError::Audience {
            expected: audience.cloned(),
            found: claims.audience().cloned(),
        });
    }
    Ok(claims)
}

/// Verifies a descriptor of the cloud whose id is pinned. It carries its own key, which counts
/// only because its hash is the pinned id. The signing keys and the peer URL in it are well formed.
/// Its time is not looked at: see [`require_current`].
///
/// # Errors
/// What was expected and what was found.
pub fn verify_descriptor(jws: &str, pinned: &CloudId) -> Result<Descriptor, StatementError> {
    #[derive(Deserialize)]
    struct KeyOnly {
        identity_key: Jwk,
    }

    if jws.len() > Descriptor::MAX_LEN {
        return Err(StatementError::TooLong {
            limit: Descriptor::MAX_LEN,
            found: jws.len(),
        });
    }
    let payload = part(jws, 1)?;
    let claimed: KeyOnly =
        serde_json::from_slice(&payload).map_err(|e| StatementError::Content(e.to_string()))?;
    let found = PublicKey::from_jwk(&claimed.identity_key)?.cloud_id();
    if found != *pinned {
        return Err(StatementError::Identity {
            expected: pinned.clone(),
            found,
        });
    }
    let descriptor: Descriptor = verify(jws, &[claimed.identity_key], pinned, None)?;
    require_useful(&descriptor)?;
    Ok(descriptor)
}

/// Checks that `now` lies within a descriptor's time, give or take [`CLOCK_SKEW`].
///
/// # Errors
/// [`StatementError::NotCurrent`].
pub fn require_current(descriptor: &Descriptor, now: Seconds) -> Result<(), StatementError> {
    let Descriptor { iat, exp, .. } = *descriptor;
    if iat <= now.saturating_add(CLOCK_SKEW) && now < exp.saturating_add(CLOCK_SKEW) {
        Ok(())
    } else {
        Err(StatementError::NotCurrent { now, iat, exp })
    }
}

fn require_useful(descriptor: &Descriptor) -> Result<(), StatementError> {
    // What a newer version says beside is left out; what it says in other words is not read at all.
    if descriptor.v < DESCRIPTOR_VERSION {
        return Err(StatementError::Descriptor(format!(
            "version {}, expected {DESCRIPTOR_VERSION} or newer",
            descriptor.v
        )));
    }
    let count = descriptor.signing_keys.len();
    if !(1..=MAX_SIGNING_KEYS).contains(&count) {
        return Err(StatementError::Descriptor(format!(
            "{count} signing keys, expected 1 to {MAX_SIGNING_KEYS}"
        )));
    }
    for jwk in &descriptor.signing_keys {
        PublicKey::from_jwk(jwk)?;
    }
    // It is stored, and asked at from then on.
    crate::client::origin(&descriptor.peer_url)
        .map_err(|error| StatementError::Descriptor(error.to_string()))?;
    Ok(())
}

/// What names a signed statement, whoever signed it and when: lowercase hex SHA-256 of its payload.
///
/// # Errors
/// [`StatementError::NotAJws`].
pub fn payload_sha256(jws: &str) -> Result<String, StatementError> {
    Ok(HEXLOWER.encode(&Sha256::digest(part(jws, 1)?)))
}

/// The same statement, byte for byte, by another key of its issuer's: who hears it later may know
/// that one only.
///
/// # Errors
/// [`StatementError::NotAJws`]; else only if the random number generator fails.
pub fn sign_again<T: Statement>(jws: &str, key: &SigningKey) -> Result<String, StatementError> {
    let payload = jws.split('.').nth(1).ok_or(StatementError::NotAJws)?;
    let failed = |error: jsonwebtoken::errors::Error| StatementError::Content(error.to_string());
    let header = serde_json::to_vec(&header::<T>(key));
    let header = header.map_err(|error| StatementError::Content(error.to_string()))?;
    let signed = format!("{}.{payload}", BASE64URL_NOPAD.encode(&header));
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), key.encoding(), Algorithm::ES256);
    Ok(format!("{signed}.{}", signature.map_err(failed)?))
}

/// Who claims to have made a statement: nothing of it was verified.
///
/// # Errors
/// [`StatementError::NotAJws`], [`StatementError::Content`], [`StatementError::TooLong`].
pub fn claimed_issuer(jws: &str) -> Result<CloudId, StatementError> {
    #[derive(Deserialize)]
    struct IssuerOnly {
        iss: CloudId,
    }
    if jws.len() > MAX_CLAIMED_LEN {
        return Err(StatementError::TooLong {
            limit: MAX_CLAIMED_LEN,
            found: jws.len(),
        });
    }
    let claimed: IssuerOnly = serde_json::from_slice(&part(jws, 1)?)
        .map_err(|e| StatementError::Content(e.to_string()))?;
    Ok(claimed.iss)
}

/// The key that the header names, if the header is one that we would have written.
fn choose_key<T: Statement>(jws: &str, keys: &[Jwk]) -> Result<PublicKey, StatementError> {
    #[derive(Deserialize)]
    struct JoseHeader {
        alg: Option<String>,
        typ: Option<String>,
        kid: Option<String>,
        crit: Option<Vec<String>>,
    }

    let header: JoseHeader = serde_json::from_slice(&part(jws, 0)?)
        .map_err(|e| StatementError::Header(e.to_string()))?;
    if header.typ.as_deref() != Some(T::TYP) {
        return Err(StatementError::Type {
            expected: T::TYP,
            found: header.typ.map(|t| shorten(&t)),
        });
    }
    if header.alg.as_deref() != Some("ES256") {
        return Err(StatementError::Algorithm {
            found: shorten(&header.alg.unwrap_or_else(|| "none".to_owned())),
        });
    }
    if let Some(names) = header.crit {
        return Err(StatementError::Critical(shorten(&names.join(", "))));
    }
    let jwk = keys.iter().find(|k| Some(&k.kid) == header.kid.as_ref());
    match jwk {
        Some(jwk) => Ok(PublicKey::from_jwk(jwk)?),
        None => Err(StatementError::UnknownKey {
            expected: keys.iter().map(|k| k.kid.clone()).collect(),
            found: header.kid.map(|k| shorten(&k)),
        }),
    }
}

/// One statement has one spelling.
fn require_canonical(jws: &str) -> Result<(), StatementError> {
    for index in 0..3 {
        part(jws, index)?;
    }
    Ok(())
}

/// Nothing but the signature is looked at.
pub(crate) fn signature_alone() -> Validation {
    let mut validation = Validation::new(Algorithm::ES256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}

/// The bytes of one of the three parts.
pub(crate) fn part(jws: &str, index: usize) -> Result<Vec<u8>, StatementError> {
    let mut parts = jws.split('.');
    let part = parts.nth(index).ok_or(StatementError::NotAJws)?;
    if parts.count() != 2 - index {
        return Err(StatementError::NotAJws);
    }
    BASE64URL_NOPAD
        .decode(part.as_bytes())
        .map_err(|_| StatementError::NotAJws)
}

fn shorten(text: &str) -> String {
    alliance_core::label::clean(text, 60)
}

fn show(cloud: Option<&CloudId>) -> &str {
    cloud.map_or("nobody", CloudId::as_str)
}

#[cfg(test)]
mod tests;
