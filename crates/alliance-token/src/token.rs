//! A token in its one spelling: `k3v9q2xa~gAAAA…` with its issuer's tag, or without one as a plain
//! Keystone makes it.

use std::fmt;

use alliance_core::cloud::Tag;
use alliance_core::token::TokenFormat;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::spelling::Form;

/// Longest token that is looked at, in bytes, tag included: as much as Apache and gunicorn take in
/// one header.
pub const MAX_TOKEN_LEN: usize = 8190;

/// A token that has been recognised. `Debug` and `Display` print its tag (or its format) and 4
/// bytes of its hash; the secret leaves only by [`Token::expose`] and [`Token::inner`].
#[derive(Clone)]
pub struct Token {
    whole: Zeroizing<String>,
    tag: Option<Tag>,
    form: Form,
    digest: [u8; 32],
    sha256: String,
}

/// Why a string is no token. Says nothing of the string itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Nothing there.
    #[error("the token is empty")]
    Empty,
    /// Over [`MAX_TOKEN_LEN`].
    #[error(
        "the token is longer than {MAX_TOKEN_LEN} bytes, the most that Apache and gunicorn take in \
         a header. If it is a PKI token, its catalog is too large: PKIZ is the same, compressed"
    )]
    TooLong,
    /// No tag where there must be one, or more than one `~`, or no tag's form before it.
    #[error("expected eight characters of a-z and 2-7, one '~', and a token")]
    Tag,
    /// It fits no format, or not in its canonical spelling.
    #[error(
        "it is no UUID, Fernet, PKI, PKIZ or JWS token (of ES256) in its canonical spelling, or \
         its tag is missing"
    )]
    Format,
}

impl Token {
    /// Reads a token, with or without a tag.
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
        let (tag, inner) = match text.split_once('~') {
            None => (None, text),
            Some((tag, inner)) if !inner.contains('~') => {
                let tag: Tag = tag.parse().map_err(|_| Malformed::Tag)?;
                (Some(tag), inner)
            }
            Some(_) => return Err(Malformed::Tag),
        };
        let form = Form::recognise(inner).ok_or(Malformed::Format)?;
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        Ok(Self {
            whole: Zeroizing::new(text.to_owned()),
            tag,
            form,
            digest,
            sha256: HEXLOWER.encode(&digest),
        })
    }

    /// Reads a token of a cloud that tags its tokens.
    ///
    /// # Errors
    /// See [`Malformed`]; [`Malformed::Tag`] also if it has no tag.
    pub fn parse_tagged(text: &str) -> Result<Self, Malformed> {
        let token = Self::parse(text)?;
        match token.tag {
            Some(_) => Ok(token),
            None => Err(Malformed::Tag),
        }
    }

    /// Who issued it; none for a token of a plain Keystone.
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// What it is.
    pub fn format(&self) -> TokenFormat {
        self.form.format()
    }

    /// When it was made, in seconds since the Unix epoch, as far as that can be read without
    /// believing anybody: Fernet's timestamp, for a check of plausibility.
    pub fn made_at(&self) -> Option<i64> {
        match self.form {
            Form::Fernet { made_at } => Some(made_at),
            _ => None,
        }
    }

    /// The secret as its issuer's own provider made it, without the tag.
    pub fn inner(&self) -> &str {
        let start = self.tag.as_ref().map_or(0, |tag| tag.as_str().len() + 1);
        &self.whole[start..]
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

    pub(crate) fn form(&self) -> &Form {
        &self.form
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Token {}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = &self.sha256[..8];
        match &self.tag {
            Some(tag) => write!(f, "{tag}~#{hash}"),
            None => write!(f, "{}#{hash}", self.format()),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;

    use super::*;

    const UUID: &str = "0123456789abcdef0123456789abcdef";

    fn inner() -> String {
        let mut bytes = vec![0x80, 0, 0, 0, 0];
        bytes.resize(1 + 8 + 16 + 48 + 32, 9);
        BASE64URL_NOPAD.encode(&bytes)
    }

    #[test]
    fn it_tells_its_issuer_and_hides_itself() {
        let text = format!("k3v7q2xa~{}", inner());
        let token = Token::parse(&text).unwrap();
        assert_eq!(token.tag().map(Tag::as_str), Some("k3v7q2xa"));
        assert_eq!(token.expose(), text);
        assert_eq!(token.inner(), inner());
        for shown in [format!("{token}"), format!("{token:?}")] {
            assert!(!shown.contains(&inner()[..12]), "{shown}");
            assert!(shown.contains("k3v7q2xa~#"), "{shown}");
        }
    }

    #[test]
    fn a_token_of_a_plain_keystone_has_no_tag() {
        let token = Token::parse(UUID).unwrap();
        assert_eq!((token.tag(), token.format()), (None, TokenFormat::Uuid));
        assert_eq!((token.inner(), token.expose()), (UUID, UUID));
        assert_eq!(token.to_string(), format!("uuid#{}", &token.sha256()[..8]));
        assert_eq!(Token::parse_tagged(UUID), Err(Malformed::Tag));
        let tagged = format!("k3v7q2xa~{UUID}");
        assert_eq!(Token::parse_tagged(&tagged), Token::parse(&tagged));
        assert_ne!(Token::parse(&tagged), Token::parse(UUID));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let inner = inner();
        for (text, why) in [
            (String::new(), Malformed::Empty),
            ("a".repeat(MAX_TOKEN_LEN + 1), Malformed::TooLong),
            ("a".repeat(1 << 20), Malformed::TooLong),
            (format!("~{inner}"), Malformed::Tag),
            (format!("K3V7Q2XA~{inner}"), Malformed::Tag),
            (format!("k3v7q2xa~k3v7q2xa~{inner}"), Malformed::Tag),
            (format!("k3v7q2xa~{inner}~"), Malformed::Tag),
            (format!("k3v7q2xa{inner}"), Malformed::Format),
            (format!("k3v7q2xa~{inner}="), Malformed::Format),
            (format!("k3v7q2xa~{inner}\r\n"), Malformed::Format),
            ("k3v7q2xa~".to_owned(), Malformed::Format),
        ] {
            assert_eq!(Token::parse(&text), Err(why), "{text:.40}");
        }
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_told_the_limit_and_a_way_out() {
        let said = Malformed::TooLong.to_string();
        assert!(said.contains("8190") && said.contains("PKIZ"), "{said}");
    }
}
