//! What projects want to have at partners, and what partners' projects have here.
//!
//! At home an order is stored before it is sent, and sent until the host has answered. At the host the
//! last order for a stack is kept as it was signed, with a journal of what it has made.

mod given;
mod journal;
mod stacks;

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::provision::{Node, StackState};

use crate::database::Database;

/// See [`Store::provisions`](crate::Store::provisions).
#[derive(Debug, Clone, Copy)]
pub struct Provisions<'a>(pub(crate) &'a Database);

/// An order that this cloud gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenOrder {
    /// Its id (UUID).
    pub id: String,
    /// To whom.
    pub host: CloudId,
    /// The project, of this cloud.
    pub project_id: String,
    /// The stack's name.
    pub stack: String,
    /// Later ones for the stack have greater numbers.
    pub number: u64,
    /// What was ordered, in a word.
    pub action: String,
    /// As it was signed.
    pub signed: String,
    /// When.
    pub at: Seconds,
    /// By whom.
    pub by: String,
    /// When the host answered.
    pub heard_at: Option<Seconds>,
    /// Why the host does not carry it out.
    pub refused: Option<String>,
}

/// An order that a partner gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenOrder {
    /// The stack's id.
    pub stack_id: String,
    /// Who gave it.
    pub home: CloudId,
    /// The project's id at home.
    pub project_id: String,
    /// The stack's name.
    pub name: String,
    /// The order's id.
    pub id: String,
    /// Its number.
    pub number: u64,
    /// What is ordered, in a word.
    pub action: String,
    /// As it was signed.
    pub signed: String,
}

/// What became of an order that was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is carried out.
    New,
    /// It was taken in before.
    Known,
    /// A later one was.
    Old,
    /// Another one is being carried out: this one.
    Busy(Box<Stack>),
    /// There is nothing to destroy or to cancel.
    Nothing,
}

/// A stack of a partner's project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// Its id.
    pub id: String,
    /// Whose.
    pub home: CloudId,
    /// The project's id at home.
    pub project_id: String,
    /// Its name.
    pub name: String,
    /// The last order's id.
    pub order_id: String,
    /// What that ordered, in a word.
    pub action: String,
    /// As it was signed.
    pub signed: String,
    /// When it came.
    pub ordered_at: Seconds,
    /// The signed order to give up, if there is one.
    pub cancel: Option<String>,
    /// How it is.
    pub state: StackState,
    /// How it ends when everything is undone.
    pub ends_as: Option<StackState>,
    /// Why it is so.
    pub detail: Option<String>,
    /// Since when.
    pub changed_at: Seconds,
}

/// One resource of a stack that is there, or may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name in the plan.
    pub resource: String,
    /// The order that made it.
    pub order_id: String,
    /// What it is, as the plan had it.
    pub node: Node,
    /// How far it is.
    pub state: StepState,
    /// Its id at the service, if that has told.
    pub resource_id: Option<String>,
    /// Why it is so.
    pub detail: Option<String>,
    /// Since when.
    pub changed_at: Seconds,
}

/// How far a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// The service is about to be asked, or was.
    Started,
    /// It is there.
    Done,
    /// It is being deleted.
    Removing,
}

impl StepState {
    /// Its name in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Done => "done",
            Self::Removing => "removing",
        }
    }
}

impl std::str::FromStr for StepState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Started, Self::Done, Self::Removing];
        let found = all.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no state of a step"))
    }
}
