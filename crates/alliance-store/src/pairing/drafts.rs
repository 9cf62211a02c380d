//! Pairings under way, whichever side began: what a list of partners shows as drafts.

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::invitation::InvitationState;
use alliance_core::partner::Role;
use alliance_core::token::Login;

use super::acceptances::Acceptances;
use super::invitations::Invitations;
use crate::Store;
use crate::error::Result;

/// A pairing under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The alias that it holds.
    pub name: String,
    /// What the other cloud will be to us.
    pub role: Role,
    /// Who the other cloud is, if known by now.
    pub cloud_id: Option<CloudId>,
    /// On which side it began, and how far it is.
    pub of: DraftOf,
    /// When it ends by itself.
    pub expires_at: Seconds,
    /// When the trust will end.
    pub trust_till: Option<Seconds>,
    /// How users will log in.
    pub login: Login,
    /// When it began.
    pub created_at: Seconds,
}

/// On which side a pairing began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DraftOf {
    /// We invited.
    Invitation {
        /// The invitation's id.
        id: String,
        /// Open or accepted.
        state: InvitationState,
    },
    /// We accepted, and wait for the inviter.
    Acceptance {
        /// The invitation's id.
        id: String,
    },
}

impl Store {
    /// The pairings under way at `now`, by name.
    ///
    /// # Errors
    /// The database's.
    pub async fn drafts(&self, now: Seconds) -> Result<Vec<Draft>> {
        let invitations = Invitations(&self.database).undecided().await?;
        let acceptances = Acceptances(&self.database).waiting().await?;
        let invited = invitations
            .into_iter()
            .filter(|found| found.state_at(now) != InvitationState::Expired)
            .map(|found| Draft {
                cloud_id: found
                    .acceptor
                    .map(|acceptor| acceptor.cloud_id)
                    .or(found.new.expected),
                name: found.new.name,
                role: found.new.role,
                of: DraftOf::Invitation {
                    id: found.new.id,
                    state: found.state,
                },
                expires_at: found.new.expires_at,
                trust_till: found.new.trust_till,
                login: found.new.login,
                created_at: found.created_at,
            });
        let accepted = acceptances
            .into_iter()
            .filter(|found| now < found.gives_up_at())
            .map(|found| Draft {
                cloud_id: Some(found.inviter),
                name: found.name,
                role: found.role,
                of: DraftOf::Acceptance { id: found.id },
                expires_at: found.expires_at,
                trust_till: found.trust_till,
                login: found.login,
                created_at: found.created_at,
            });
        let mut drafts: Vec<Draft> = invited.chain(accepted).collect();
        drafts.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(drafts)
    }
}
