//! Agreements as contracts: the host signs each version, home replies
//! ([ADR 0022](../../../../../docs/adr/0022-agreements-are-signed-by-both-sides.md)).

mod change;
mod home;
mod host;
#[cfg(test)]
mod tests;
mod view;

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::contract::{Reply, Said};
use alliance_peer::statement;
use anyhow::Context;

use super::Daemon;
use super::clock::now;

pub(crate) use change::first_terms;
pub(crate) use view::{Shown, given_contract, is_offered, received_contract};

/// The capability of a daemon that signs agreements, as its descriptor names it.
pub(crate) const CAPABILITY: &str = "contracts";
/// How many agreements a partner may tell of.
const MAX_CONTRACTS: usize = 256;
/// Who replies where nobody needs to be asked.
const DAEMON: &str = "daemon";

impl Daemon {
    /// This cloud's word about a version, decided at that time and signed now.
    fn sign_word(
        &self,
        partner: &CloudId,
        agreement: &str,
        (version, sha256): (u32, &str),
        (said, decided_at): (Said, Seconds),
    ) -> anyhow::Result<String> {
        let word = Reply {
            iss: self.identity.cloud_id().clone(),
            aud: partner.clone(),
            iat: now(),
            agreement: agreement.to_owned(),
            version,
            sha256: sha256.to_owned(),
            said,
            decided_at: Some(decided_at),
        };
        statement::sign(&word, self.identity.signing_key())
            .context("signing what is said of an agreement")
    }
}
