//! A token with its issuer's tag: `k3v9q2xa~gAAAA…`.

use std::fmt;

use alliance_core::cloud::Tag;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::format::Format;

/// Longest token that is looked at, in bytes. Web servers refuse longer headers (8,190).
pub const MAX_TOKEN_LEN: usize = 8190;

/// A foreign token in its one spelling. `Debug` and `Display` print its tag and 4 bytes of its
/// hash; the secret leaves only by [`TaggedToken::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct TaggedToken {
    whole: Zeroizing<String>,
    tag: Tag,
    format: Format,
    digest: [u8; 32],
    sha256: String,
}

/// Why a string is no tagged token. Says nothing of the string itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Nothing there.
    #[error("the token is empty")]
    Empty,
    /// Over [`MAX_TOKEN_LEN`].
    #[error("the token is longer than {MAX_TOKEN_LEN} bytes")]
    TooLong,
    /// No tag, or more than one `~`, or no tag's form before it.
    #[error("expected eight characters of a-z and 2-7, one '~', and a token")]
    Tag,
    /// The rest fits no format, or not in its canonical spelling.
    #[error("what follows the tag is no Fernet or JWS token in its canonical spelling")]
    Format,
}

impl TaggedToken {
    /// Reads a token.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if text.is_empty() {
            return Err(Malformed::Empty);
        }
        if text.len() > MAX_TOKEN_LEN {
            return Err(Malformed::TooLong);
        }
        let (tag, inner) = text.split_once('~').ok_or(Malformed::Tag)?;
        let tag: Tag = tag.parse().map_err(|_| Malformed::Tag)?;
        if inner.contains('~') {
            return Err(Malformed::Tag);
        }
        let format = Format::recognise(inner).ok_or(Malformed::Format)?;
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        Ok(Self {
            whole: Zeroizing::new(text.to_owned()),
            tag,
            format,
            digest,
            sha256: HEXLOWER.encode(&digest),
        })
    }

    /// Who issued it.
    pub fn tag(&self) -> &Tag {
        &self.tag
    }

    /// What it is.
    pub fn format(&self) -> Format {
        self.format
    }

    /// SHA-256 of the whole string.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The same as lowercase hex, as the services' caches know it.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The secret, tag included.
    pub fn expose(&self) -> &str {
        &self.whole
    }
}

impl fmt::Display for TaggedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~#{}", self.tag, &self.sha256[..8])
    }
}

impl fmt::Debug for TaggedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaggedToken({self})")
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;

    use super::*;

    fn inner() -> String {
        let mut bytes = vec![0x80, 0, 0, 0, 0];
        bytes.resize(1 + 8 + 16 + 48 + 32, 9);
        BASE64URL_NOPAD.encode(&bytes)
    }

    #[test]
    fn it_tells_its_issuer_and_hides_itself() {
        let text = format!("k3v7q2xa~{}", inner());
        let token = TaggedToken::parse(&text).map_err(|e| e.to_string());
        let Ok(token) = token else {
            unreachable!("{token:?}")
        };
        assert_eq!(token.tag().as_str(), "k3v7q2xa");
        assert_eq!(token.expose(), text);
        for shown in [format!("{token}"), format!("{token:?}")] {
            assert!(!shown.contains(&inner()[..12]), "{shown}");
            assert!(shown.contains("k3v7q2xa~#"), "{shown}");
        }
    }

    #[test]
    fn what_is_no_tagged_token_is_refused() {
        let inner = inner();
        for (text, why) in [
            (String::new(), Malformed::Empty),
            ("a".repeat(MAX_TOKEN_LEN + 1), Malformed::TooLong),
            ("a".repeat(1 << 20), Malformed::TooLong),
            (inner.clone(), Malformed::Tag),
            (format!("~{inner}"), Malformed::Tag),
            (format!("K3V7Q2XA~{inner}"), Malformed::Tag),
            (format!("k3v7q2xa~k3v7q2xa~{inner}"), Malformed::Tag),
            (format!("k3v7q2xa~{inner}~"), Malformed::Tag),
            (format!("k3v7q2xa~{inner}="), Malformed::Format),
            (format!("k3v7q2xa~{inner}\r\n"), Malformed::Format),
            ("k3v7q2xa~".to_owned(), Malformed::Format),
        ] {
            assert_eq!(TaggedToken::parse(&text).err(), Some(why), "{text:.40}");
        }
    }
}
