//! Pairings under way, on either side. They hold their alias, and become a partner in the same
//! transaction that decides them.

pub(crate) mod acceptances;
pub(crate) mod crossing;
pub(crate) mod drafts;
pub(crate) mod invitations;

use alliance_core::partner::Partner;

/// A pairing that is done. Two instances may have finished it, and say so twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Paired {
    /// The partner, as it was stored by whoever was first.
    pub partner: Partner,
    /// Whether that was this call.
    pub is_new: bool,
}
