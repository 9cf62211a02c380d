//! Recognising a token's format. Recognition never guesses: what fits no format is refused, and
//! so is every spelling but the canonical one.

use data_encoding::BASE64URL_NOPAD;

/// Version byte, timestamp, IV, one block and MAC: less is no Fernet token.
const FERNET_MIN_LEN: usize = 1 + 8 + 16 + 16 + 32;

/// The formats of tokens that cross a border.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Keystone's Fernet (version byte 0x80, base64url without padding).
    Fernet {
        /// When it was made, seconds since the Unix epoch: its one readable field.
        made_at: i64,
    },
    /// Keystone's JWS (compact serialisation, RFC 7515 §7.1).
    Jws,
}

impl Format {
    /// The format of `inner` (a token without its tag) if it is in its canonical spelling.
    pub fn recognise(inner: &str) -> Option<Self> {
        if let Some(made_at) = fernet_timestamp(inner) {
            return Some(Format::Fernet { made_at });
        }
        let mut parts = inner.split('.');
        let three = [parts.next(), parts.next(), parts.next(), parts.next()];
        match three {
            [Some(header), Some(claims), Some(signature), None] => {
                let canonical = [header, claims, signature]
                    .into_iter()
                    .all(|part| !part.is_empty() && canonical_base64url(part).is_some());
                (canonical && header.starts_with("eyJ")).then_some(Format::Jws)
            }
            _ => None,
        }
    }
}

/// When a canonical Fernet token was made, in seconds. `None` if `inner` is no canonical Fernet
/// token.
fn fernet_timestamp(inner: &str) -> Option<i64> {
    let bytes = canonical_base64url(inner)?;
    let block_aligned = bytes.len() >= FERNET_MIN_LEN && (bytes.len() - 1 - 8 - 16 - 32) % 16 == 0;
    if !block_aligned || bytes[0] != 0x80 {
        return None;
    }
    let timestamp: [u8; 8] = bytes[1..9].try_into().ok()?;
    i64::try_from(u64::from_be_bytes(timestamp)).ok()
}

/// `data_encoding` refuses padding, foreign characters and non-zero trailing bits.
fn canonical_base64url(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fernet(blocks: usize) -> String {
        let mut bytes = vec![0x80];
        bytes.extend_from_slice(&1_700_000_000u64.to_be_bytes());
        bytes.resize(1 + 8 + 16 + 16 * blocks + 32, 7);
        BASE64URL_NOPAD.encode(&bytes)
    }

    #[test]
    fn a_fernet_token_tells_when_it_was_made() {
        assert_eq!(fernet_timestamp(&fernet(3)), Some(1_700_000_000));
        let made_at = 1_700_000_000;
        assert_eq!(
            Format::recognise(&fernet(3)),
            Some(Format::Fernet { made_at })
        );
        assert!(fernet(3).starts_with("gAAAA"));
    }

    #[test]
    fn other_spellings_are_refused() {
        let token = fernet(3);
        for wrong in [
            format!("{token}="),
            format!("{token}=="),
            token.replace('A', "+"),
            format!(" {token}"),
            format!("{token}\n"),
            token[..token.len() - 1].to_owned(),
            String::new(),
            "0123456789abcdef0123456789abcdef".to_owned(),
        ] {
            assert_eq!(Format::recognise(&wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_jws_has_three_canonical_parts() {
        let jws = format!(
            "{}.{}.{}",
            "eyJhbGciOiJFUzI1NiJ9", "eyJzdWIiOiJ1In0", "AAAA"
        );
        assert_eq!(Format::recognise(&jws), Some(Format::Jws));
        for wrong in [
            format!("{jws}."),
            format!("{jws}="),
            jws.replace("AAAA", ""),
            jws.replace("eyJh", "AAAA"),
        ] {
            assert_eq!(Format::recognise(&wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics_and_a_changed_trailing_bit_is_another_token(text in ".{0,300}", blocks in 1usize..8) {
            let _ = Format::recognise(&text);
            let token = fernet(blocks);
            let mut other = token.clone();
            let last = other.pop().unwrap_or('A');
            other.push(if last == 'A' { 'B' } else { 'A' });
            prop_assert!(fernet_timestamp(&other).is_none() || other != token);
        }
    }
}
