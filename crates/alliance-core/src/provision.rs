//! Remote provisioning: what a project of home wants to have at a host, as a plan, and the rules by which
//! the host makes it.
//!
//! A plan is a subset of Heat's template (HOT), so that the same file serves where Heat runs. It is read
//! at home, crosses the border as JSON in a signed order, and is read again by whoever acts on it.

mod admission;
mod changes;
mod fault;
mod form;
mod kind;
mod order;
mod plan;
mod template;

pub use admission::{NotAllowed, allow, require_within};
pub use changes::{Change, What, changes, reverse};
pub use fault::{BadPlan, Fault};
pub use kind::Kind;
pub use order::{
    Action, BadName, Called, ORDER_LIFETIME, ProvisionOrder, StackState, marker, require_name,
    stack_id,
};
pub use plan::{MAX_RESOURCES, Node, Plan, made_by};
pub use template::{Parameters, read};

#[cfg(test)]
mod tests;
