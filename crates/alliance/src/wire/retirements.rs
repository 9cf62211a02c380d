//! Retirements and orphans, as operators see them.

use std::fmt;

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::retirement::{Cause, Phase};
use serde::{Deserialize, Serialize};

/// A project that is being retired here, or ours at a partner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RetirementView {
    /// Its id, the same on both sides.
    pub id: String,
    /// Whether it is here; otherwise at the partner, as its receipt says.
    pub here: bool,
    /// What the partner is called here, or its cloud id if it is none any more.
    pub partner: String,
    /// Its cloud id.
    pub partner_id: CloudId,
    /// The project's id at home.
    pub project_id: String,
    /// The project's id at the host.
    pub host_project_id: String,
    /// Why.
    pub cause: Cause,
    /// How far it is.
    pub phase: Phase,
    /// When access ended.
    pub began: Seconds,
    /// When servers are stopped.
    pub quarantine_at: Option<Seconds>,
    /// When they were.
    pub quarantined_at: Option<Seconds>,
    /// When everything is deleted, if there is a date.
    pub delete_at: Option<Seconds>,
    /// Whether the operator has stopped the clock.
    pub held: bool,
    /// Since when home's word is waited for.
    pub waits_since: Option<Seconds>,
    /// How many things could not be stopped or deleted.
    pub remainder: u32,
    /// When it was over.
    pub ended_at: Option<Seconds>,
    /// The last receipt.
    pub receipt: Option<ReceiptView>,
    /// Its resources; of a listing none.
    pub items: Vec<RetiredItem>,
}

/// How it is with a receipt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReceiptView {
    /// Its number among those of this retirement.
    pub revision: u32,
    /// Whether home has taken it in.
    pub acknowledged: bool,
    /// Why home does not.
    pub refusal: Option<String>,
}

/// What became of a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RetiredItem {
    /// What it is.
    pub kind: String,
    /// Its id at the host.
    pub id: String,
    /// Its name there.
    pub name: Option<String>,
    /// `found`, `stopped`, `restored`, `deleting`, `deleted` or `left`.
    pub state: String,
    /// Why it is still there.
    pub detail: Option<String>,
}

/// What an operator wants of a retirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetirementOrder {
    /// Stop its clock.
    Hold,
    /// Let it go on.
    Resume,
    /// Do not wait for its dates.
    Now,
}

impl fmt::Display for RetirementOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hold => "hold",
            Self::Resume => "resume",
            Self::Now => "now",
        })
    }
}

/// A partner's project that no agreement keeps and nobody retires.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OrphanView {
    /// What the partner is called here, or its cloud id if it is none any more.
    pub partner: String,
    /// Its cloud id.
    pub partner_id: CloudId,
    /// The project's id at home.
    pub project_id: String,
    /// What home last called it.
    pub name: Option<String>,
    /// The project's id here.
    pub host_project_id: String,
    /// How many resources of it are metered.
    pub resources: u64,
    /// When one of its users was last let in.
    pub last_seen: Option<Seconds>,
}

/// Which orphans are to be retired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OrphansToRetire {
    /// By their ids here.
    #[serde(default)]
    pub host_project_ids: Vec<String>,
    /// All there are.
    #[serde(default)]
    pub all: bool,
}
