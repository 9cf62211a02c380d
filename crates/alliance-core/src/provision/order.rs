//! What home orders of a host.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::plan::Plan;
use crate::Seconds;
use crate::cloud::CloudId;
use crate::statement::said_to_one;
use crate::word::words;

/// How long an order may wait until it is begun. Seconds.
pub const ORDER_LIFETIME: Seconds = 86_400;
/// Longest name of a stack, in bytes.
const MAX_NAME: usize = 64;

/// Home's word that a host is to make, change or remove what a project has there. What one plan makes is
/// a *stack*, and has a name in its project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisionOrder {
    /// Home.
    pub iss: CloudId,
    /// The host.
    pub aud: CloudId,
    /// When it was given, seconds.
    pub iat: Seconds,
    /// Until when it may be begun, seconds.
    pub exp: Seconds,
    /// Unique (UUID): whoever hears it twice has heard it once.
    pub jti: String,
    /// Later orders for a stack have greater numbers; milliseconds since the epoch, about.
    pub number: u64,
    /// The project's id at home.
    pub project: String,
    /// What home calls the project; a host makes it where nobody of it has been yet. Display only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<Called>,
    /// The stack's name.
    pub stack: String,
    /// What is ordered.
    #[serde(flatten)]
    pub action: Action,
}

/// What home calls a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// Its name.
    pub name: String,
    /// The name of its domain.
    pub domain: String,
}

said_to_one!(ProvisionOrder, "alliance-provision+jwt", at most 64 << 10);

/// What is ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Make the project, and nothing in it.
    Prepare,
    /// Make the stack as the plan says.
    Apply {
        /// What.
        plan: Plan,
        /// Whether resources may be deleted and made again where the plan has changed.
        #[serde(default)]
        replace: bool,
    },
    /// Remove all of it.
    Destroy,
    /// Give up the apply that is under way, and remove what it made.
    Cancel,
}

impl Action {
    /// Its name in tables.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Apply { .. } => "apply",
            Self::Destroy => "destroy",
            Self::Cancel => "cancel",
        }
    }
}

/// How a stack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StackState {
    /// The host has the order, and has not begun.
    Ordered,
    /// It is being made, changed or removed.
    Running,
    /// What was made is being removed, since something failed or it was cancelled.
    Undoing,
    /// It is as the plan says.
    Complete,
    /// The order was not carried out; what it made is gone, unless said otherwise.
    Failed,
    /// The same, because home wanted it so.
    Cancelled,
    /// Nothing is left of it.
    Destroyed,
}

words!(StackState {
    StackState::Ordered = "ordered",
    StackState::Running = "running",
    StackState::Undoing = "undoing",
    StackState::Complete = "complete",
    StackState::Failed = "failed",
    StackState::Cancelled = "cancelled",
    StackState::Destroyed = "destroyed",
});

impl StackState {
    /// Whether the host still works on it.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Ordered | Self::Running | Self::Undoing)
    }
}

/// The id of a stack, which both sides compute.
pub fn stack_id(host: &CloudId, home: &CloudId, project_id: &str, name: &str) -> String {
    let text = format!("stack:{host}:{home}:{project_id}:{name}");
    Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).to_string()
}

/// What is written at a resource, so that it is found again.
pub fn marker(stack_id: &str, resource: &str) -> String {
    format!("alliance:{stack_id}/{resource}")
}

/// A name that no stack may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a name of 1 to {MAX_NAME} letters, digits, '-', '_' or '.'")]
pub struct BadName;

/// Checks the name of a stack.
///
/// # Errors
/// [`BadName`].
pub fn require_name(name: &str) -> Result<(), BadName> {
    let is_fine = (1..=MAX_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if is_fine { Ok(()) } else { Err(BadName) }
}
