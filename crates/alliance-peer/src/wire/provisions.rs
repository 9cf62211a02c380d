//! What partners order of each other.

use alliance_core::Seconds;
use alliance_core::provision::{Change, Kind, Plan, StackState};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// `POST /v1/provisions`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProvisionRequest {
    /// What the caller orders (JWS, `alliance-provision+jwt`).
    pub order: String,
}

/// The answer: how the stack is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProvisionAnswer {
    /// `None`: there is nothing to destroy or to cancel.
    #[serde(default)]
    pub stack: Option<StackReport>,
}

/// `POST /v1/provisions/plan`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanQuestion {
    /// The project's id at the caller.
    pub project_id: String,
    /// The stack's name.
    pub stack: String,
    /// What it is to be.
    #[schema(value_type = Object)]
    pub plan: Plan,
    /// Whether resources may be replaced.
    #[serde(default)]
    pub replace: bool,
}

/// The answer: what would be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanAnswer {
    /// Each resource, with what becomes of it.
    #[schema(value_type = Vec<Object>)]
    pub changes: Vec<Change>,
}

/// `GET /v1/provisions`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StacksQuery {
    /// A project's id at the caller; none: all of the caller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// A stack's name; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
}

/// The answer to `GET /v1/provisions`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StacksAnswer {
    /// The stacks, by project and name.
    pub stacks: Vec<StackReport>,
}

/// How a stack is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StackReport {
    /// Its id (UUID).
    pub id: String,
    /// The project's id at the caller.
    pub project_id: String,
    /// Its name.
    pub name: String,
    /// How it is.
    #[schema(value_type = String, example = "running")]
    pub state: StackState,
    /// The last order: `apply` or `destroy`.
    pub action: String,
    /// That order's id.
    pub order_id: String,
    /// Why it is so.
    #[serde(default)]
    pub detail: Option<String>,
    /// Since when, seconds.
    pub changed_at: Seconds,
    /// What it consists of; while the host works on it, also what is to be made still.
    pub resources: Vec<ResourceReport>,
}

/// How one resource of a stack is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResourceReport {
    /// Its name in the plan.
    pub resource: String,
    /// What it is.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "OS::Nova::Server")]
    pub kind: Kind,
    /// `waiting`, `started`, `done` or `removing`.
    pub state: String,
    /// Its id at the service.
    #[serde(default)]
    pub id: Option<String>,
    /// Why it is so.
    #[serde(default)]
    pub detail: Option<String>,
}
