//! What a host grants a partner's projects. Without one: nothing.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Seconds;
use crate::cloud::CloudId;

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
    /// The roles that a user may have here, if the user has them at home too. Names.
    pub roles: BTreeSet<String>,
    /// The service types that home's catalog shows; `None`: those that home has itself.
    pub services: Option<BTreeSet<String>>,
    /// Whether guests of the partner may come as well.
    pub transitive: bool,
    /// From when.
    pub since: Seconds,
    /// Until when.
    pub till: Option<Seconds>,
    /// When an operator ended it.
    pub ended_at: Option<Seconds>,
}

impl Agreement {
    /// Whether it holds at `now`.
    pub fn is_live(&self, now: Seconds) -> bool {
        self.ended_at.is_none() && self.since <= now && self.till.is_none_or(|till| now < till)
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

    pub(crate) fn member(projects: &str) -> Agreement {
        Agreement {
            id: format!("for {projects}"),
            partner: CloudId::from_spki(b"west"),
            projects: projects.to_owned().into(),
            project_name: None,
            project_domain: None,
            roles: ["member".to_owned()].into(),
            services: None,
            transitive: false,
            since: 10,
            till: Some(20),
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
    }

    #[test]
    fn a_project_is_covered_by_its_id_or_by_the_star() {
        let all = [member("*"), member("p"), member("q")];
        let ids: Vec<_> = covering(&all, "p", 15).map(|a| a.id.as_str()).collect();
        assert_eq!(ids, ["for *", "for p"]);
    }
}
