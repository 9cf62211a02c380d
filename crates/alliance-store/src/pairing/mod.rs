//! Pairings under way, on either side. They hold their alias, and become a partner in the same
//! transaction that decides them.

pub(crate) mod acceptances;
pub(crate) mod crossing;
pub(crate) mod drafts;
pub(crate) mod invitations;
