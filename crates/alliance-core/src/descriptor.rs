//! A cloud's signed self-description, and what of it may be believed.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use url::{Host, Url};

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
}

/// An endpoint of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `public`, `internal` or `admin`.
    pub interface: String,
    /// URL, with Keystone's templates (`%(project_id)s`).
    pub url: String,
}

/// Why an endpoint of a partner is not shown to users.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitUrl {
    /// No URL at all.
    #[error("is not a URL")]
    NotAUrl,
    /// A scheme that is not allowed.
    #[error("has scheme {0:?}, expected https")]
    Scheme(String),
    /// User information in the URL.
    #[error("carries a user name or password")]
    Credentials,
    /// A host that only makes sense inside a machine or a link.
    #[error("points at {0}, which is not reachable from elsewhere")]
    Local(String),
}

/// Whether a partner's endpoint URL may stand in a catalog here. A partner's URL is data: with
/// `allow_http` and `allow_local` false, only https to a host elsewhere passes.
///
/// # Errors
/// Why not.
pub fn require_fit(url: &str, allow_http: bool, allow_local: bool) -> Result<(), UnfitUrl> {
    // Programs differ in what they make of these: one drops them, one takes them for a slash.
    if !url.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
        return Err(UnfitUrl::NotAUrl);
    }
    // The templates of Keystone stand in for a path segment; a URL parser takes them as text.
    let parsed = Url::parse(url).map_err(|_| UnfitUrl::NotAUrl)?;
    match parsed.scheme() {
        "https" => {}
        "http" if allow_http => {}
        other => return Err(UnfitUrl::Scheme(other.to_owned())),
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(UnfitUrl::Credentials);
    }
    let local = match parsed.host() {
        None => return Err(UnfitUrl::NotAUrl),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(ip)) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        Some(Host::Ipv6(ip)) => {
            let mapped = ip.to_ipv4_mapped();
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unicast_link_local()
                || mapped
                    .is_some_and(|ip| ip.is_loopback() || ip.is_link_local() || ip.is_unspecified())
        }
    };
    if local && !allow_local {
        return Err(UnfitUrl::Local(
            parsed.host_str().unwrap_or_default().to_owned(),
        ));
    }
    Ok(())
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

    #[test]
    fn only_https_to_elsewhere_is_fit() {
        assert_eq!(
            require_fit("https://east.example:9292/v2/%(project_id)s", false, false),
            Ok(())
        );
        for wrong in [
            "http://east.example",
            "file:///etc/passwd",
            "https://127.0.0.1:9292",
            "https://169.254.169.254/latest",
            "https://[::1]/",
            "https://[fe80::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://localhost./",
            "https://0.0.0.0/",
            "https://user@east.example/",
            "https://east.example\\@127.0.0.1/",
            "https://east.example/\u{1b}[2J",
            " https://east.example/",
            "https://east.ex\nample/",
            "image",
            "",
        ] {
            assert!(require_fit(wrong, false, false).is_err(), "{wrong}");
        }
        assert_eq!(require_fit("http://127.0.0.1:9292", true, true), Ok(()));
    }
}
