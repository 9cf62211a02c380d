//! Home's word on its projects.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Seconds;
use crate::cloud::CloudId;
use crate::statement::said_to_one;
use crate::word::words;

/// About how many projects home is asked at once.
pub const MOST_PROJECTS: usize = 100;

/// How a project is at home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It and its domain are enabled.
    Enabled,
    /// It or its domain is disabled.
    Disabled,
    /// There is none of that id.
    Deleted,
}

words!(Standing {
    Standing::Enabled = "enabled",
    Standing::Disabled = "disabled",
    Standing::Deleted = "deleted",
});

/// Home's word about how projects of its are there now, for one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProjectStandings {
    /// Home.
    pub iss: CloudId,
    /// The host that asked.
    pub aud: CloudId,
    /// When home looked, seconds.
    pub iat: Seconds,
    /// By the project's id at home. Of one that is not named nothing is said.
    pub projects: BTreeMap<String, Standing>,
}

said_to_one!(ProjectStandings, "alliance-project-standing+jwt");
