//! Another cloud that this one is paired with.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::Seconds;
use crate::cloud::CloudId;
use crate::keystone_id;
use crate::refusal::Reason;
use crate::token::TokenFormat;
use crate::word::words;

/// The name of the federation protocol that each partner's identity provider has in Keystone.
pub const PROTOCOL: &str = "alliance";

/// What a partner runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An Alliance daemon.
    #[default]
    Alliance,
    /// A Keystone and no Alliance. It is always a guest, and its tokens have no tag.
    Keystone,
}

words!(Kind { Kind::Alliance = "alliance", Kind::Keystone = "keystone" });

/// What a partner is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Its users come here.
    Guest,
    /// Our users go there.
    Host,
    /// Both.
    Both,
}

impl Role {
    /// Whether the partner's users may come here.
    pub fn is_guest(self) -> bool {
        matches!(self, Role::Guest | Role::Both)
    }

    /// Whether our users may go there.
    pub fn is_host(self) -> bool {
        matches!(self, Role::Host | Role::Both)
    }

    /// What we are to the partner, if this is what it is to us.
    pub fn seen_from_the_other_side(self) -> Self {
        match self {
            Role::Guest => Role::Host,
            Role::Host => Role::Guest,
            Role::Both => Role::Both,
        }
    }
}

/// How far the pairing is, and whether its tokens count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Invited or accepted, not confirmed: nothing is allowed yet.
    Draft,
    /// Paired.
    Active,
    /// Stopped by this side's operator; `resume` brings it back.
    Suspended,
    /// `trust_till` has passed.
    Expired,
    /// Gone; kept for the record.
    Removed,
}

words!(Role { Role::Guest = "guest", Role::Host = "host", Role::Both = "both" });
words!(Status {
    Status::Draft = "draft",
    Status::Active = "active",
    Status::Suspended = "suspended",
    Status::Expired = "expired",
    Status::Removed = "removed",
});

impl Status {
    /// The rule of trust: what may become what, and by whose hand it stays. Setting a status again
    /// is allowed and changes nothing; nothing comes back from [`Status::Removed`].
    ///
    /// # Errors
    /// The pair that is not allowed.
    pub fn may_become(self, next: Status) -> Result<(), IllegalChange> {
        use Status::{Active, Draft, Expired, Removed, Suspended};
        let legal = self == next
            || matches!(
                (self, next),
                (Draft, Active | Removed)
                    | (Active, Suspended | Expired | Removed)
                    | (Suspended, Active | Expired | Removed)
                    | (Expired, Active | Removed)
            );
        if legal {
            Ok(())
        } else {
            Err(IllegalChange {
                from: self,
                to: next,
            })
        }
    }
}

/// A change of status that the rule of [`Status::may_become`] does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a partner that is {from} cannot become {to}")]
pub struct IllegalChange {
    /// What it is.
    pub from: Status,
    /// What it should have become.
    pub to: Status,
}

/// A partner as this cloud's database knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Partner {
    /// Who it is; the only thing that identifies it.
    pub cloud_id: CloudId,
    /// What this cloud's operator calls it; unique here among partners that are not removed.
    pub name: String,
    /// What it runs.
    #[serde(default)]
    pub kind: Kind,
    /// What it is to us.
    pub role: Role,
    /// How far the pairing is.
    pub status: Status,
    /// Where its daemon answers (`https://…`), or its Keystone if it has none.
    pub peer_url: String,
    /// When the pairing became active.
    pub trust_since: Option<Seconds>,
    /// When it ends by itself.
    pub trust_till: Option<Seconds>,
    /// At most this many shadow users here.
    pub max_users: Option<u32>,
    /// At most this many of its projects here.
    pub max_projects: Option<u32>,
    /// When this row was made.
    pub created_at: Seconds,
}

impl Partner {
    /// The status at `now`: an active partner whose time is over has expired, whoever noticed.
    pub fn status_at(&self, now: Seconds) -> Status {
        match (self.status, self.trust_till) {
            (Status::Active | Status::Suspended, Some(till)) if now >= till => Status::Expired,
            (status, _) => status,
        }
    }

    /// Whether statements and questions of this partner count at `now`.
    ///
    /// # Errors
    /// The reason why they do not.
    pub fn require_active(&self, now: Seconds) -> Result<(), Reason> {
        match self.status_at(now) {
            Status::Active => Ok(()),
            Status::Suspended => Err(Reason::PartnerSuspended),
            Status::Expired => Err(Reason::PartnerExpired),
            Status::Draft | Status::Removed => Err(Reason::UnknownPartner),
        }
    }

    /// Whether its users may come here at `now`.
    ///
    /// # Errors
    /// The reason why not.
    pub fn require_guest(&self, now: Seconds) -> Result<(), Reason> {
        self.require_active(now)?;
        if self.role.is_guest() {
            Ok(())
        } else {
            Err(Reason::NotAGuest)
        }
    }

    /// Whether our users may go there at `now`.
    ///
    /// # Errors
    /// The reason why not.
    pub fn require_host(&self, now: Seconds) -> Result<(), Reason> {
        self.require_active(now)?;
        if self.role.is_host() {
            Ok(())
        } else {
            Err(Reason::NotAGuest)
        }
    }

    /// The id of the Keystone domain that holds its users and projects here.
    pub fn domain_id(&self) -> String {
        keystone_id::domain(&self.cloud_id)
    }
}

/// How a partner of [`Kind::Keystone`] is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeystoneAccess {
    /// Its Keystone.
    pub auth_url: AuthUrl,
    /// The service user that we are there.
    pub username: String,
    /// The domain of that user.
    pub user_domain_name: String,
    /// The project on which the user may validate tokens.
    pub project_name: String,
    /// The domain of that project.
    pub project_domain_name: String,
    /// The file that holds the password. The password itself is stored nowhere else.
    pub password_file: PathBuf,
    /// The authorities that its certificate may be signed by; the platform's if none.
    pub ca_file: Option<PathBuf>,
    /// The formats whose untagged tokens are this partner's.
    pub formats: BTreeSet<TokenFormat>,
    /// PEM file or folder of the keys with which it signs tokens.
    pub signing_keys: Option<PathBuf>,
}

/// The version 3 URL of a Keystone, in the one spelling from which its [`CloudId`] follows: no slash
/// at the end, no default port, `/v3` always there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AuthUrl(Url);

/// What a text that should be Keystone's URL is instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAuthUrl {
    /// None at all, or of another scheme.
    #[error("expected an http or https URL of a Keystone, found {0:?}")]
    NotHttp(String),
    /// A user or password in it.
    #[error("the URL carries a user name or a password; there are options for these")]
    Credentials,
    /// Something behind the path.
    #[error("{0:?} has something behind its path: expected a URL that ends with /v3")]
    Tail(String),
    /// The interface before version 3.
    #[error("{0:?} is version 2 of Keystone's interface: expected a URL that ends with /v3")]
    Version2(String),
}

impl AuthUrl {
    /// The URL, with `/v3`.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// Whether what is asked there can be read on the way.
    pub fn is_readable(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// The id of the cloud whose Keystone this is.
    pub fn cloud_id(&self) -> CloudId {
        CloudId::from_auth_url(self.0.as_str())
    }
}

impl FromStr for AuthUrl {
    type Err = BadAuthUrl;

    fn from_str(text: &str) -> Result<Self, BadAuthUrl> {
        let no_url = || BadAuthUrl::NotHttp(text.to_owned());
        let mut url = Url::parse(text).map_err(|_| no_url())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadAuthUrl::Credentials);
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(no_url());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BadAuthUrl::Tail(text.to_owned()));
        }
        let path = url.path().trim_end_matches('/');
        if path.ends_with("/v2.0") {
            return Err(BadAuthUrl::Version2(text.to_owned()));
        }
        let path = if path.ends_with("/v3") {
            path.to_owned()
        } else {
            format!("{path}/v3")
        };
        url.set_path(&path);
        Ok(Self(url))
    }
}

impl TryFrom<String> for AuthUrl {
    type Error = BadAuthUrl;

    fn try_from(text: String) -> Result<Self, BadAuthUrl> {
        text.parse()
    }
}

impl From<AuthUrl> for String {
    fn from(url: AuthUrl) -> Self {
        url.0.into()
    }
}

impl fmt::Display for AuthUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn west() -> Partner {
        Partner {
            cloud_id: CloudId::from_spki(b"west"),
            name: "west".into(),
            kind: Kind::Alliance,
            role: Role::Guest,
            status: Status::Active,
            peer_url: "https://west:5443".into(),
            trust_since: Some(0),
            trust_till: None,
            max_users: None,
            max_projects: None,
            created_at: 0,
        }
    }

    #[test]
    fn trust_ends_at_the_second_it_was_given_until() {
        let partner = Partner {
            trust_till: Some(100),
            ..west()
        };
        assert_eq!(partner.require_guest(99), Ok(()));
        assert_eq!(partner.require_guest(100), Err(Reason::PartnerExpired));
    }

    #[test]
    fn only_an_active_guest_is_let_in() {
        for (status, reason) in [
            (Status::Draft, Reason::UnknownPartner),
            (Status::Suspended, Reason::PartnerSuspended),
            (Status::Removed, Reason::UnknownPartner),
        ] {
            assert_eq!(Partner { status, ..west() }.require_guest(1), Err(reason));
        }
        let host = Partner {
            role: Role::Host,
            ..west()
        };
        assert_eq!(host.require_guest(1), Err(Reason::NotAGuest));
    }

    #[test]
    fn nothing_comes_back_from_removed_and_nothing_becomes_draft_again() {
        use Status::{Active, Draft, Expired, Removed, Suspended};
        let all = [Draft, Active, Suspended, Expired, Removed];
        for status in all {
            assert_eq!(status.may_become(status), Ok(()));
            assert_eq!(Removed.may_become(status).is_ok(), status == Removed);
            assert_eq!(status.may_become(Draft).is_ok(), status == Draft);
            assert_eq!(status.may_become(Removed), Ok(()));
        }
        assert_eq!(Suspended.may_become(Active), Ok(()));
        assert_eq!(Expired.may_become(Active), Ok(()));
        assert!(Expired.may_become(Suspended).is_err());
        assert!(Draft.may_become(Suspended).is_err());
    }

    #[test]
    fn words_read_back() {
        for role in [Role::Guest, Role::Host, Role::Both] {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(
                role.seen_from_the_other_side().seen_from_the_other_side(),
                role
            );
        }
        assert!("Guest".parse::<Role>().is_err());
        for kind in [Kind::Alliance, Kind::Keystone] {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
    }

    #[test]
    fn whatever_the_spelling_of_its_url_a_keystone_is_one_cloud() {
        let parse = |text: &str| text.parse::<AuthUrl>();
        for (given, expected) in [
            ("https://k.example", "https://k.example/v3"),
            ("https://K.example:443/", "https://k.example/v3"),
            ("https://k.example/v3//", "https://k.example/v3"),
            ("HTTP://k:5000/v3", "http://k:5000/v3"),
            ("https://k/identity/", "https://k/identity/v3"),
        ] {
            let url = parse(given);
            assert_eq!(url.as_ref().map(ToString::to_string), Ok(expected.into()));
            let again = parse(expected).map(|url| url.cloud_id());
            assert_eq!(url.map(|url| url.cloud_id()), again);
        }
        let id = |text| parse(text).map(|url| url.cloud_id());
        assert_ne!(id("https://k/v3"), id("http://k/v3"));
        assert_ne!(id("https://k/v3"), id("https://k/identity/v3"));
        assert_ne!(id("https://k/v3"), Ok(CloudId::from_spki(b"https://k/v3")));
    }

    #[test]
    fn what_is_no_version_3_url_is_refused_and_no_password_is_repeated() {
        for wrong in ["k:5000", "ftp://k/v3", "", "file:///v3", "https://"] {
            assert_eq!(
                wrong.parse::<AuthUrl>(),
                Err(BadAuthUrl::NotHttp(wrong.into())),
                "{wrong}"
            );
        }
        for credentials in ["https://user:secret@k/v3", "ftp://user@k"] {
            let refused = credentials.parse::<AuthUrl>();
            assert_eq!(refused, Err(BadAuthUrl::Credentials));
        }
        for tail in ["https://k/v3?x=1", "https://k/v3#x"] {
            let refused = tail.parse::<AuthUrl>();
            assert_eq!(refused, Err(BadAuthUrl::Tail(tail.into())));
        }
        let old = "http://k:5000/v2.0/".parse::<AuthUrl>();
        assert!(matches!(old, Err(BadAuthUrl::Version2(_))), "{old:?}");
    }
}
