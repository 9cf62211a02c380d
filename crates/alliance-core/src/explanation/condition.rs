//! A condition: what must be so, how it is, and who mends it.

use serde::{Deserialize, Serialize};

/// One of the things that must be so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Which.
    pub name: Name,
    /// The service type, where it is about one.
    #[serde(default)]
    pub service: Option<String>,
    /// How it is.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// What to do, if something must be done.
    #[serde(default)]
    pub mend: Option<Mend>,
}

/// The conditions there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    /// The project is here, and enabled, and so is its domain.
    Project,
    /// A partner has told of the region.
    Region,
    /// The partner is active here, and a host.
    Partner,
    /// This cloud is active there.
    TheirStatus,
    /// What the partner said of itself has not run out.
    Descriptor,
    /// The partner's daemon answers.
    Reachable,
    /// The partner grants this project something.
    Agreement,
    /// What the agreement limits.
    Quota,
    /// A service of the region is shown.
    Service,
    /// A token of home's may be shown there.
    Login,
    /// The user holds no role that is refused abroad.
    AdminRole,
    /// The user holds a role that the agreement names.
    Role,
    /// Keystone has been told.
    Snapshot,
    /// An endpoint answers.
    Endpoint,
}

impl Name {
    /// Its name on the screen, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Region => "region",
            Self::Partner => "partner",
            Self::TheirStatus => "their_status",
            Self::Descriptor => "descriptor",
            Self::Reachable => "reachable",
            Self::Agreement => "agreement",
            Self::Quota => "quota",
            Self::Service => "service",
            Self::Login => "login",
            Self::AdminRole => "admin_role",
            Self::Role => "role",
            Self::Snapshot => "snapshot",
            Self::Endpoint => "endpoint",
        }
    }
}

/// How a condition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It holds.
    Holds,
    /// It does not.
    Broken,
    /// Nobody could tell.
    Unknown,
    /// It need not hold: left out on purpose.
    LeftOut,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mend {
    /// Whose turn it is.
    pub who: Who,
    /// The command, or what to do.
    pub what: String,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// This cloud's operator.
    ThisOperator,
    /// The partner's.
    PartnersOperator,
}

pub(super) fn condition(name: Name, state: State, detail: impl Into<String>) -> Condition {
    Condition {
        name,
        service: None,
        state,
        detail: detail.into(),
        mend: None,
    }
}

pub(super) fn holds(name: Name, detail: impl Into<String>) -> Condition {
    condition(name, State::Holds, detail)
}

pub(super) fn unknown(name: Name, detail: impl Into<String>) -> Condition {
    condition(name, State::Unknown, detail)
}

pub(super) fn broken(
    name: Name,
    detail: impl Into<String>,
    who: Who,
    what: impl Into<String>,
) -> Condition {
    Condition {
        mend: Some(Mend {
            who,
            what: what.into(),
        }),
        ..condition(name, State::Broken, detail)
    }
}
