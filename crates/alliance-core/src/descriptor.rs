//! A cloud's signed self-description, and what of it may be believed.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

use crate::Seconds;
use crate::cloud::CloudId;
use crate::statement::Statement;
use crate::word::words;

/// How long a descriptor is valid, in seconds.
pub const DESCRIPTOR_LIFETIME: Seconds = 24 * 3600;

/// A public key as a JWK (RFC 7517; EC P-256).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// `EC`.
    pub kty: String,
    /// `P-256`.
    pub crv: String,
    /// Base64url, 32 bytes.
    pub x: String,
    /// Base64url, 32 bytes.
    pub y: String,
    /// `ES256`.
    pub alg: String,
    /// The first 16 characters of the lowercase base32 SHA-256 of the key's
    /// `SubjectPublicKeyInfo`.
    pub kid: String,
}

/// The claims of a descriptor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Version of this structure: 1.
    pub v: u32,
    /// The cloud that describes itself.
    pub iss: CloudId,
    /// When, seconds.
    pub iat: Seconds,
    /// Until when, seconds.
    pub exp: Seconds,
    /// What it calls itself; a suggestion.
    pub name: String,
    /// Where its daemon answers.
    pub peer_url: String,
    /// The key whose hash is `iss`.
    pub identity_key: Jwk,
    /// Keys that sign its passports and grant statements.
    pub signing_keys: Vec<Jwk>,
    /// Keys with which its Keystone signs tokens, if it does.
    #[serde(default, deserialize_with = "understood")]
    pub token_keys: Vec<TokenKey>,
    /// What it offers.
    pub regions: Vec<Region>,
    /// What its daemon can do.
    pub capabilities: Vec<String>,
}

impl Descriptor {
    /// Whether `other` says the same, whenever it was made.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let renewed = Self {
            iat: self.iat,
            exp: self.exp,
            ..other.clone()
        };
        *self == renewed
    }
}

impl Statement for Descriptor {
    const TYP: &'static str = "alliance-descriptor+jwt";
    const MAX_LEN: usize = 64 << 10;

    fn issuer(&self) -> &CloudId {
        &self.iss
    }

    fn audience(&self) -> Option<&CloudId> {
        None
    }

    fn issued_at(&self) -> Seconds {
        self.iat
    }
}

/// A key with which a Keystone signs tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenKey {
    /// What it signs.
    pub family: SignatureFamily,
    /// Base64 of DER: a `SubjectPublicKeyInfo` for `jws`, an X.509 certificate for `cms`.
    pub der: String,
    /// When its tokens stop counting: it is not used any more. `None`: it is.
    #[serde(default)]
    pub retired_at: Option<Seconds>,
}

/// Those keys that this version understands: a newer cloud may have others.
fn understood<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<TokenKey>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Key {
        Understood(TokenKey),
        Other(IgnoredAny),
    }
    let keys: Vec<Key> = Vec::deserialize(deserializer)?;
    let understood = keys.into_iter().filter_map(|key| match key {
        Key::Understood(key) => Some(key),
        Key::Other(_) => None,
    });
    Ok(understood.collect())
}

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureFamily {
    /// JWS, ES256.
    Jws,
    /// CMS signed data: PKI and PKIZ.
    Cms,
}

words!(SignatureFamily { SignatureFamily::Jws = "jws", SignatureFamily::Cms = "cms" });

/// A region of a cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Its id in that cloud's Keystone.
    pub id: String,
    /// Its services.
    pub services: Vec<Service>,
}

/// A service of a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Service type (`image`, `compute`, …).
    #[serde(rename = "type")]
    pub kind: String,
    /// Service name.
    pub name: String,
    /// Where it answers.
    pub endpoints: Vec<Endpoint>,
    /// The versions of its API, if it says so to anybody. Older clouds do not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<ApiVersion>,
}

impl Service {
    /// The version that clients take unless told otherwise, and its newest microversion if it has
    /// such: `v2.1, 2.100`.
    pub fn current_version(&self) -> Option<String> {
        let current = self.versions.iter().find(|version| version.is_current());
        let version = current.or_else(|| self.versions.last())?;
        Some(match &version.max {
            Some(max) => format!("{}, {max}", version.id),
            None => version.id.clone(),
        })
    }
}

/// A version of an API, as its version document says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ApiVersion {
    /// `v2.1`
    pub id: String,
    /// `CURRENT`, `SUPPORTED`, `stable`, …
    pub status: String,
    /// The oldest microversion, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<String>,
    /// The newest one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
}

impl ApiVersion {
    fn is_current(&self) -> bool {
        let says = |word| self.status.eq_ignore_ascii_case(word);
        says("CURRENT") || says("stable")
    }
}

/// An endpoint of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `public`, `internal` or `admin`.
    pub interface: String,
    /// URL, with Keystone's templates (`%(project_id)s`).
    pub url: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_kind_that_is_unknown_here_spoils_no_descriptor() {
        #[derive(Deserialize)]
        struct Keys {
            #[serde(default, deserialize_with = "understood")]
            keys: Vec<TokenKey>,
        }
        let read = |json: &str| {
            serde_json::from_str::<Keys>(json)
                .map(|keys| keys.keys.len())
                .ok()
        };
        let jws = r#"{"family": "jws", "der": "AA==", "retired_at": null}"#;
        let newer = r#"{"family": "paseto", "der": "AA=="}"#;
        assert_eq!(
            read(&format!(r#"{{"keys": [{jws}, {newer}, 7, {jws}]}}"#)),
            Some(2)
        );
        assert_eq!(read("{}"), Some(0));
        assert_eq!(read(r#"{"keys": 7}"#), None);
    }
}
