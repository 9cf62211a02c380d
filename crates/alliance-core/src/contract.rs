//! An agreement as two clouds sign it: the host proposes each version, home replies.

use serde::{Deserialize, Serialize};

use crate::Seconds;
use crate::agreement::Projects;
use crate::cloud::CloudId;
use crate::statement::said_to_one;
use crate::terms::Terms;

/// How many versions an agreement may have.
pub const MAX_VERSIONS: u32 = 1000;

/// One version of an agreement, signed by the host. What is signed is what counts: the SHA-256 of its
/// payload's bytes names it in the reply and in the next version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The host.
    pub iss: CloudId,
    /// Home.
    pub aud: CloudId,
    /// When it was made, seconds.
    pub iat: Seconds,
    /// The agreement's id (UUID).
    pub agreement: String,
    /// 1, 2, …: without a gap.
    pub version: u32,
    /// For which projects of home.
    pub projects: Projects,
    /// The project's name at home when the agreement was made; display only.
    #[serde(default)]
    pub project_name: Option<String>,
    /// The name of that project's domain at home; display only.
    #[serde(default)]
    pub project_domain: Option<String>,
    /// What the agreement says from then on.
    pub terms: Terms,
    /// Lowercase hex SHA-256 of the payload of the version before; none of the first.
    #[serde(default)]
    pub previous: Option<String>,
}

said_to_one!(Proposal, "alliance-agreement+jwt", at most 24 << 10);

/// What is said of a version: by home in reply, or by either side when it ends the agreement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// Who says it.
    pub iss: CloudId,
    /// The other side.
    pub aud: CloudId,
    /// When, seconds.
    pub iat: Seconds,
    /// The agreement's id.
    pub agreement: String,
    /// The version.
    pub version: u32,
    /// Lowercase hex SHA-256 of the version's payload.
    pub sha256: String,
    /// What.
    pub said: Said,
    /// When that was decided: a word that was not heard is signed again. A version before this field means
    /// `iat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Seconds>,
}

impl Reply {
    /// When that was decided, not later than it was signed.
    pub fn decided_at(&self) -> Seconds {
        self.decided_at.unwrap_or(self.iat).min(self.iat)
    }
}

said_to_one!(Reply, "alliance-agreement-reply+jwt");

/// What can be said of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// It is agreed to.
    Accepted,
    /// It is not.
    Rejected,
    /// The whole agreement ends.
    Ended,
}

impl Said {
    /// Its name in statements and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Ended => "ended",
        }
    }
}

impl std::str::FromStr for Said {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let all = [Self::Accepted, Self::Rejected, Self::Ended];
        let found = all.into_iter().find(|said| said.as_str() == text);
        found.ok_or_else(|| UnknownWord(text.to_owned()))
    }
}

/// Nothing that is said of a version.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is none of accepted, rejected, ended")]
pub struct UnknownWord(String);

/// A version that is known, by what names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link<'a> {
    /// Its number.
    pub version: u32,
    /// Lowercase hex SHA-256 of its payload.
    pub sha256: &'a str,
}

/// Why a proposal is not the next version of what is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// It comes after versions that are not known, or before those that are.
    #[error("expected version {expected}, found {found}")]
    Number {
        /// The next.
        expected: u32,
        /// What was there.
        found: u32,
    },
    /// It follows another version of that number.
    #[error("version {found} does not follow the version {} that is known here: the host has told another one", .found - 1)]
    Past {
        /// The version.
        found: u32,
    },
}

impl Proposal {
    /// Checks that it is the version after `last`, or the first.
    ///
    /// # Errors
    /// See [`Break`].
    pub fn require_next(&self, last: Option<Link<'_>>) -> Result<(), Break> {
        let expected = last.map_or(0, |last| last.version) + 1;
        if self.version != expected {
            return Err(Break::Number {
                expected,
                found: self.version,
            });
        }
        if self.previous.as_deref() != last.map(|last| last.sha256) {
            return Err(Break::Past {
                found: self.version,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms::tests::member;

    fn version(version: u32, previous: Option<&str>) -> Proposal {
        Proposal {
            iss: CloudId::from_spki(b"east"),
            aud: CloudId::from_spki(b"west"),
            iat: 5,
            agreement: "a".into(),
            version,
            projects: Projects::All,
            project_name: None,
            project_domain: None,
            terms: member(),
            previous: previous.map(str::to_owned),
        }
    }

    #[test]
    fn each_version_names_the_one_before() {
        let first = Link {
            version: 1,
            sha256: "aa",
        };
        assert_eq!(version(1, None).require_next(None), Ok(()));
        assert_eq!(version(2, Some("aa")).require_next(Some(first)), Ok(()));
        let number = |expected, found| Err(Break::Number { expected, found });
        assert_eq!(
            version(3, Some("bb")).require_next(Some(first)),
            number(2, 3)
        );
        assert_eq!(version(1, None).require_next(Some(first)), number(2, 1));
        assert_eq!(version(2, Some("aa")).require_next(None), number(1, 2));
        for other in [Some("bb"), None] {
            let past = Err(Break::Past { found: 2 });
            assert_eq!(version(2, other).require_next(Some(first)), past);
        }
        let past = Err(Break::Past { found: 1 });
        assert_eq!(version(1, Some("aa")).require_next(None), past);
    }

    #[test]
    fn a_newer_versions_words_are_left_out_and_the_known_ones_used()
    -> Result<(), Box<dyn std::error::Error>> {
        let mut said = serde_json::to_value(version(1, None))?;
        said["colour"] = "blue".into();
        said["terms"]["gpus"] = 8.into();
        said["terms"]["allow"] = serde_json::json!(["trusts", "wormholes"]);
        said["terms"]["quota"] = serde_json::json!({"cores": 8, "qubits": 3});
        let read: Proposal = serde_json::from_value(said)?;
        assert_eq!(read.terms.allow.len(), 1);
        assert_eq!(read.terms.quota.limits().count(), 1);
        Ok(())
    }

    #[test]
    fn what_is_said_of_a_version_has_one_name_everywhere() -> Result<(), Box<dyn std::error::Error>>
    {
        for said in [Said::Accepted, Said::Rejected, Said::Ended] {
            assert_eq!(said.as_str().parse::<Said>()?, said);
            assert_eq!(serde_json::to_value(said)?, said.as_str());
        }
        assert!("maybe".parse::<Said>().is_err());
        Ok(())
    }
}
