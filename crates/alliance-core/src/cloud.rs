//! Who a cloud is: an id that follows from its key, and the short forms of that id.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const ID_LEN: usize = 52;
const TAG_LEN: usize = 8;
/// Words in a pairing's fingerprint: 12 × 11 bits. Who replaces an invitation looks for two keys with
/// one fingerprint, offline: half of these bits have to be out of reach.
const FINGERPRINT_WORDS: usize = 12;

/// A cloud's identity: lowercase base32 (RFC 4648, no padding) of the SHA-256 of its identity
/// key's `SubjectPublicKeyInfo`. 52 characters of `[a-z2-7]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CloudId(String);

/// What a string that should be a cloud id or a tag is instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} characters of a-z and 2-7, found {found:?}")]
pub struct NotACloudId {
    expected: usize,
    found: String,
}

impl CloudId {
    /// The id of the cloud that owns the key with this DER `SubjectPublicKeyInfo`.
    pub fn from_spki(der: &[u8]) -> Self {
        Self(base32_lower(&Sha256::digest(der)))
    }

    /// The id of a cloud without Alliance, and so without a key: that of its Keystone's one URL. No
    /// key has it, since DER does not begin with this text.
    pub(crate) fn from_auth_url(url: &str) -> Self {
        Self(base32_lower(&Sha256::digest(format!(
            "alliance-keystone:{url}"
        ))))
    }

    /// The 52 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The SHA-256 that it is, in hexadecimal: as other keys are called.
    pub fn to_hex(&self) -> String {
        let digest = BASE32_NOPAD.decode(self.0.to_ascii_uppercase().as_bytes());
        // It was one.
        digest.map_or_else(|_| String::new(), |digest| HEXLOWER.encode(&digest))
    }

    /// What this cloud's tokens begin with.
    pub fn tag(&self) -> Tag {
        Tag(self.0[..TAG_LEN].to_owned())
    }
}

impl FromStr for CloudId {
    type Err = NotACloudId;

    fn from_str(text: &str) -> Result<Self, NotACloudId> {
        let canonical = text.len() == ID_LEN
            && BASE32_NOPAD
                .decode(text.to_ascii_uppercase().as_bytes())
                .is_ok_and(|bytes| base32_lower(&bytes) == text);
        if canonical {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotACloudId {
                expected: ID_LEN,
                found: text.chars().take(60).collect(),
            })
        }
    }
}

impl TryFrom<String> for CloudId {
    type Error = NotACloudId;

    fn try_from(text: String) -> Result<Self, NotACloudId> {
        text.parse()
    }
}

impl From<CloudId> for String {
    fn from(id: CloudId) -> Self {
        id.0
    }
}

impl fmt::Display for CloudId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CloudId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloudId({}…)", &self.0[..TAG_LEN])
    }
}

/// The first 8 characters of a [`CloudId`]: the prefix of a token, up to its `~`. Not secret.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

impl Tag {
    /// The 8 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = NotACloudId;

    fn from_str(text: &str) -> Result<Self, NotACloudId> {
        let canonical =
            text.len() == TAG_LEN && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
        if canonical {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotACloudId {
                expected: TAG_LEN,
                found: text.chars().take(60).collect(),
            })
        }
    }
}

impl TryFrom<String> for Tag {
    type Error = NotACloudId;

    fn try_from(text: String) -> Result<Self, NotACloudId> {
        text.parse()
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({})", self.0)
    }
}

/// Twelve words that both sides of one pairing see, the same on either side whoever invited: two
/// operators read them to each other. 132 bits of a hash over both cloud ids.
pub fn fingerprint(one: &CloudId, other: &CloudId) -> String {
    let (first, second) = if one <= other {
        (one, other)
    } else {
        (other, one)
    };
    let digest = Sha256::new()
        .chain_update(b"alliance pairing fingerprint v1\0")
        .chain_update(first.as_str())
        .chain_update(b"\0")
        .chain_update(second.as_str())
        .finalize();
    let list = bip39::Language::English.word_list();
    let mut bits = 0u32;
    let mut held = 0u32;
    let mut words = Vec::with_capacity(FINGERPRINT_WORDS);
    for byte in digest {
        bits = (bits << 8) | u32::from(byte);
        held += 8;
        if held >= 11 {
            held -= 11;
            words.push(list[((bits >> held) & 0x7ff) as usize]);
            if words.len() == FINGERPRINT_WORDS {
                break;
            }
        }
    }
    words.join("-")
}

/// The spelling of ids everywhere: base32, lowercase, no padding.
pub fn base32_lower(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_itself_and_begins_with_its_tag() {
        let id = CloudId::from_spki(b"a key");
        assert_eq!(id.as_str().len(), 52);
        assert_eq!(id.to_hex(), HEXLOWER.encode(&Sha256::digest(b"a key")));
        assert_eq!(id.as_str().parse::<CloudId>().as_ref(), Ok(&id));
        assert!(id.as_str().starts_with(id.tag().as_str()));
    }

    #[test]
    fn other_spellings_of_an_id_are_refused() {
        let id = CloudId::from_spki(b"a key").to_string();
        for wrong in [
            id.to_uppercase(),
            format!("{id}="),
            id[..51].to_owned(),
            format!("{}1", &id[..51]),
            String::new(),
            "ü".repeat(26),
        ] {
            assert!(wrong.parse::<CloudId>().is_err(), "{wrong}");
        }
        // 52 base32 characters carry 260 bits; the 4 beyond the hash must be zero.
        assert!(format!("{}b", &"a".repeat(51)).parse::<CloudId>().is_err());
    }

    #[test]
    fn both_sides_see_the_same_words_and_another_cloud_sees_others() {
        let (west, east, north) = (
            CloudId::from_spki(b"west"),
            CloudId::from_spki(b"east"),
            CloudId::from_spki(b"north"),
        );
        assert_eq!(fingerprint(&west, &east), fingerprint(&east, &west));
        assert_ne!(fingerprint(&west, &east), fingerprint(&west, &north));
        assert_eq!(fingerprint(&west, &east).split('-').count(), 12);
    }
}
