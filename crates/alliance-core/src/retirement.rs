//! What becomes of a partner's project at a host when nobody answers for it any more: its
//! [`Plan`] from the end of access to the deletion of the last port, home's [`ProjectStandings`] that
//! confirm it, the [`Receipt`] at the end.
//!
//! No single event retires anything. A cause must hold when servers are stopped and again when things
//! are deleted; a cause that is home's word is home's word again, asked for then. How long it takes is in
//! the agreement that held last, and home cannot shorten it.

mod plan;
mod receipt;
mod standing;

pub use plan::{Cause, Facts, Next, Phase, Plan, Word, cause, keeping, policy};
pub use receipt::{Fate, ITEMS, Item, Receipt, Receipts, Unsound};
pub use standing::{MOST_PROJECTS, ProjectStandings, Standing};
