//! What projects of this cloud are to have at partners.

use alliance_core::Seconds;
use alliance_core::provision::{Change, Parameters};
use alliance_peer::wire::StackReport;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where: a project of this cloud's, at a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    /// The host's name here.
    pub partner: String,
    /// The project's id or name.
    pub project: String,
    /// Name or id of its domain, to tell projects of one name apart.
    #[serde(default)]
    pub project_domain: Option<String>,
}

/// A template and what is filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TemplateRequest {
    /// The template, as JSON.
    pub template: Value,
    /// Its parameters' values; the defaults of others count.
    #[serde(default)]
    pub parameters: Parameters,
}

/// `POST /v1/provisions`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OrderRequest {
    /// Where.
    #[serde(flatten)]
    pub target: Target,
    /// The stack's name.
    pub name: String,
    /// What.
    #[serde(flatten)]
    pub wanted: OrderWanted,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub(crate) enum OrderWanted {
    /// The stack is to be as a template says.
    Apply {
        /// Which.
        #[serde(flatten)]
        template: TemplateRequest,
        /// Whether resources may be deleted and made again.
        #[serde(default)]
        replace: bool,
    },
    /// Nothing is to be made but the project itself.
    Prepare,
    /// It is to be removed.
    Destroy,
    /// What is under way is to be given up.
    Cancel,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OrderedView {
    /// The order's id.
    pub order_id: String,
    /// The project's id.
    pub project_id: String,
    /// Its id at the host.
    pub host_project_id: String,
    /// Whether the host has it; else it is told again until it has.
    pub heard: bool,
    /// Why it does not.
    #[serde(default)]
    pub detail: Option<String>,
    /// How the stack is. None: not known, or there is nothing to destroy or to cancel.
    #[serde(default)]
    pub stack: Option<StackReport>,
}

/// `POST /v1/provisions/plan`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PlanRequest {
    /// Where.
    #[serde(flatten)]
    pub target: Target,
    /// The stack's name.
    pub name: String,
    /// What.
    #[serde(flatten)]
    pub template: TemplateRequest,
    /// Whether resources may be deleted and made again.
    #[serde(default)]
    pub replace: bool,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlanView {
    /// The project's id.
    pub project_id: String,
    /// Each resource, with what would become of it.
    pub changes: Vec<Change>,
}

/// `GET /v1/provisions`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StacksRequest {
    /// The host's name here.
    pub partner: String,
    /// The project's id or name; none: all projects.
    #[serde(default)]
    pub project: Option<String>,
    /// Name or id of its domain.
    #[serde(default)]
    pub project_domain: Option<String>,
    /// The stack's name; none: all.
    #[serde(default)]
    pub name: Option<String>,
    /// An order that is to be shown also if the host has answered.
    #[serde(default)]
    pub order: Option<String>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StacksView {
    /// How the stacks are at the host.
    pub stacks: Vec<StackReport>,
    /// Orders that the host has not answered, and the one that was asked for.
    pub orders: Vec<OrderView>,
}

/// An order that this cloud gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OrderView {
    /// Its id.
    pub order_id: String,
    /// The project's id.
    pub project_id: String,
    /// The stack's name.
    pub name: String,
    /// `apply`, `destroy` or `cancel`.
    pub action: String,
    /// When it was given.
    pub given_at: Seconds,
    /// By whom.
    pub given_by: String,
    /// Whether the host has answered.
    pub heard: bool,
    /// Why the host does not carry it out.
    #[serde(default)]
    pub refused: Option<String>,
}
