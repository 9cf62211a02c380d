//! What a host grants a partner's projects. Without one: nothing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Seconds;
use crate::cloud::CloudId;
use crate::terms::Terms;

/// Which projects of the partner an agreement covers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Projects {
    /// Every native project of the partner (`*`).
    All,
    /// The one with this id at home.
    One(String),
}

impl Projects {
    /// Whether the home project `project_id` is among them.
    pub fn covers(&self, project_id: &str) -> bool {
        match self {
            Projects::All => true,
            Projects::One(id) => id == project_id,
        }
    }
}

impl From<String> for Projects {
    fn from(text: String) -> Self {
        if text == "*" {
            Projects::All
        } else {
            Projects::One(text)
        }
    }
}

impl From<Projects> for String {
    fn from(projects: Projects) -> Self {
        projects.to_string()
    }
}

impl fmt::Display for Projects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Projects::All => f.write_str("*"),
            Projects::One(id) => f.write_str(id),
        }
    }
}

/// What a guest may make at the host although it outlives the login at home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// Application credentials.
    ApplicationCredentials,
    /// EC2 credentials, with which S3 is used too.
    Ec2,
    /// Secrets of one-time passwords.
    Totp,
    /// Trusts, by which a service such as Heat acts for its user.
    Trusts,
    /// OAuth 1 access tokens.
    Oauth,
}

impl Door {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ApplicationCredentials,
        Self::Ec2,
        Self::Totp,
        Self::Trusts,
        Self::Oauth,
    ];

    /// Its name in commands, files and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApplicationCredentials => "application-credentials",
            Self::Ec2 => "ec2",
            Self::Totp => "totp",
            Self::Trusts => "trusts",
            Self::Oauth => "oauth",
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Door {
    type Err = UnknownDoor;

    fn from_str(text: &str) -> Result<Self, UnknownDoor> {
        let found = Self::ALL.into_iter().find(|door| door.as_str() == text);
        found.ok_or_else(|| UnknownDoor(text.to_owned()))
    }
}

/// Nothing that guests can make is called so.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is none of application-credentials, ec2, totp, trusts, oauth")]
pub struct UnknownDoor(String);

/// One agreement, as the host made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Its own id (UUID).
    pub id: String,
    /// With whom.
    pub partner: CloudId,
    /// For which projects of the partner.
    pub projects: Projects,
    /// The project's name at home when the agreement was made; display only.
    pub project_name: Option<String>,
    /// The name of that project's domain at home; display only.
    pub project_domain: Option<String>,
    /// The version that is in force; `None`: none has been agreed to yet.
    #[serde(default = "first")]
    pub version: Option<u32>,
    /// What that version says; where none is in force, the proposed one.
    #[serde(flatten)]
    pub terms: Terms,
    /// When an operator ended it.
    pub ended_at: Option<Seconds>,
}

/// An agreement that was made before there were versions.
#[expect(clippy::unnecessary_wraps, reason = "serde's default for the field")]
fn first() -> Option<u32> {
    Some(1)
}

impl Agreement {
    /// Whether it holds at `now`.
    pub fn is_live(&self, now: Seconds) -> bool {
        let Terms { since, till, .. } = self.terms;
        self.version.is_some()
            && self.ended_at.is_none()
            && since <= now
            && till.is_none_or(|till| now < till)
    }
}

/// The agreements with one partner that cover one project at `now`.
pub fn covering<'a>(
    agreements: &'a [Agreement],
    project_id: &'a str,
    now: Seconds,
) -> impl Iterator<Item = &'a Agreement> {
    agreements
        .iter()
        .filter(move |a| a.is_live(now) && a.projects.covers(project_id))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::terms;

    pub(crate) fn member(projects: &str) -> Agreement {
        Agreement {
            id: format!("for {projects}"),
            partner: CloudId::from_spki(b"west"),
            projects: projects.to_owned().into(),
            project_name: None,
            project_domain: None,
            version: Some(1),
            terms: terms::tests::member(),
            ended_at: None,
        }
    }

    #[test]
    fn an_agreement_holds_from_since_up_to_till() {
        let agreement = member("p");
        assert_eq!(
            [9, 10, 19, 20].map(|now| agreement.is_live(now)),
            [false, true, true, false]
        );
        let ended = Agreement {
            ended_at: Some(12),
            ..agreement
        };
        assert!(!ended.is_live(15));
        let proposed = Agreement {
            version: None,
            ..member("p")
        };
        assert!(!proposed.is_live(15));
    }

    #[test]
    fn each_door_has_one_name_everywhere() -> Result<(), Box<dyn std::error::Error>> {
        for door in Door::ALL {
            assert_eq!(door.as_str().parse::<Door>()?, door);
            assert_eq!(serde_json::to_value(door)?, door.as_str());
        }
        let error = "heat".parse::<Door>().map_err(|error| error.to_string());
        assert_eq!(
            error,
            Err(
                r#""heat" is none of application-credentials, ec2, totp, trusts, oauth"#.to_owned()
            )
        );
        Ok(())
    }

    #[test]
    fn a_project_is_covered_by_its_id_or_by_the_star() {
        let all = [member("*"), member("p"), member("q")];
        let ids: Vec<_> = covering(&all, "p", 15).map(|a| a.id.as_str()).collect();
        assert_eq!(ids, ["for *", "for p"]);
    }
}
