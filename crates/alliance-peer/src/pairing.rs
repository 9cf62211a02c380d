//! The secret of an invitation: who knows it may look at the invitation and accept it, once.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const SECRET_LEN: usize = 32;

/// The scheme of the `authorization` header that carries it.
pub const SCHEME: &str = "Alliance";

/// 32 random bytes, base64url. The inviter keeps [`PairingSecret::hash`] only.
#[derive(Clone)]
pub struct PairingSecret(Zeroizing<[u8; SECRET_LEN]>);

/// A string of another form. Says nothing of the string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 32 bytes in base64url without padding")]
pub struct NotASecret;

impl PairingSecret {
    /// A new one.
    ///
    /// # Errors
    /// Only if the system's random number generator fails.
    pub fn generate() -> Result<Self, NotASecret> {
        let mut bytes = Zeroizing::new([0; SECRET_LEN]);
        aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| NotASecret)?;
        Ok(Self(bytes))
    }

    /// What the inviter stores: lowercase hex SHA-256. A plain hash is enough, the secret has 256
    /// bits.
    pub fn hash(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(self.0.as_slice()))
    }

    /// Whether `hash` is this secret's, in constant time.
    pub fn matches(&self, hash: &str) -> bool {
        verify_slices_are_equal(self.hash().as_bytes(), hash.as_bytes()).is_ok()
    }

    /// Reads the value of an `authorization` header.
    ///
    /// # Errors
    /// Another scheme, or no secret.
    pub fn from_authorization(value: &str) -> Result<Self, NotASecret> {
        let (scheme, secret) = value.split_once(' ').ok_or(NotASecret)?;
        if scheme.eq_ignore_ascii_case(SCHEME) {
            secret.parse()
        } else {
            Err(NotASecret)
        }
    }

    /// The secret as it stands in the invitation.
    pub fn expose(&self) -> Zeroizing<String> {
        BASE64URL_NOPAD.encode(self.0.as_slice()).into()
    }
}

impl FromStr for PairingSecret {
    type Err = NotASecret;

    fn from_str(text: &str) -> Result<Self, NotASecret> {
        let bytes = BASE64URL_NOPAD
            .decode(text.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| NotASecret)?;
        let bytes = bytes.as_slice().try_into().map_err(|_| NotASecret)?;
        Ok(Self(Zeroizing::new(bytes)))
    }
}

impl fmt::Debug for PairingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairingSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_its_own_hash_only() {
        let secret = PairingSecret::generate().unwrap();
        let other = PairingSecret::generate().unwrap();
        assert!(secret.matches(&secret.hash()));
        assert!(!secret.matches(&other.hash()));
        assert!(!secret.matches(""));
        assert!(!secret.matches(&secret.hash().to_uppercase()));
    }

    #[test]
    fn it_travels_in_the_authorization_header_and_stays_out_of_debug() {
        let secret = PairingSecret::generate().unwrap();
        let text = secret.expose();
        let header = format!("Alliance {}", *text);
        let read = PairingSecret::from_authorization(&header).unwrap();
        assert!(read.matches(&secret.hash()));
        assert!(!format!("{secret:?}").contains(&text[..8]));
        for wrong in [
            format!("Bearer {}", *text),
            text.to_string(),
            format!("Alliance {}=", *text),
            format!("Alliance {}", &text[..40]),
            "Alliance ".into(),
        ] {
            assert!(PairingSecret::from_authorization(&wrong).is_err());
        }
    }
}
