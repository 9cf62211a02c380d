//! The side that invites.

use std::sync::Arc;
use std::time::Duration;

use alliance_core::cloud::CloudId;
use alliance_core::invitation::{Invitation, InvitationState};
use alliance_peer::error::ApiError as PeerApiError;
use alliance_peer::pairing::PairingSecret;
use alliance_peer::service::Acceptor;
use alliance_peer::statement;
use alliance_peer::wire::{PairingState, PairingView};
use alliance_store::{Error, NewInvitation, StoredDescriptor};
use uuid::Uuid;

use super::{require_alias, require_future};
use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::daemon::delegate::ApiError;
use crate::wire::{InvitationView, InviteAnswer, InviteRequest};

impl Daemon {
    pub(crate) async fn invite(&self, request: &InviteRequest) -> Result<InviteAnswer, ApiError> {
        require_alias(&request.name)?;
        let at = now();
        require_future(request.trust_till)?;
        if request.expect.as_ref() == Some(self.identity.cloud_id()) {
            return Err(ApiError::invalid(
                "--expect names this very cloud; give the partner's cloud id",
            ));
        }
        let secret = PairingSecret::generate()
            .map_err(|_| ApiError::internal("the system's random number generator failed"))?;
        let ttl = i64::try_from(self.config.pairing.invitation_ttl.as_secs()).unwrap_or(i64::MAX);
        let invitation = Invitation {
            v: 1,
            id: Uuid::new_v4().to_string(),
            url: self.peer_url(),
            cloud: self.identity.cloud_id().clone(),
            name: self.config.cloud.name.clone(),
            secret: secret.expose().to_string(),
            role: request.role,
            expected: request.expect.clone(),
            exp: at.saturating_add(ttl),
        };
        let new = NewInvitation {
            id: invitation.id.clone(),
            name: request.name.clone(),
            role: request.role,
            secret_sha256: secret.hash(),
            expected: request.expect.clone(),
            trust_till: request.trust_till,
            login: request.login,
            expires_at: invitation.exp,
        };
        self.store.invitations().create(&new, at).await?;
        self.audit("operator", "partner.invited", &request.name, &invitation.id)
            .await;
        tracing::info!(
            partner = request.name,
            invitation = invitation.id,
            "an invitation was made"
        );
        Ok(InviteAnswer {
            id: invitation.id.clone(),
            invitation: invitation.to_string(),
            expires_at: invitation.exp,
        })
    }

    /// Answers when the invitation is no longer open, or after `wait`.
    pub(crate) async fn invitation(
        &self,
        id: &str,
        wait: Duration,
    ) -> Result<InvitationView, ApiError> {
        let found = self.when_not(id, InvitationState::Open, wait).await?;
        Ok(self.invitation_view(&found))
    }

    async fn when_not(
        &self,
        id: &str,
        state: InvitationState,
        wait: Duration,
    ) -> Result<alliance_store::Invitation, Error> {
        let look = || async move {
            let found = self.store.invitations().by_id(id).await?;
            found.ok_or_else(|| Error::NoSuchInvitation(id.to_owned()))
        };
        self.settled(wait, look, |found| found.state_at(now()) != state)
            .await
    }

    pub(crate) async fn confirm_invitation(
        self: &Arc<Self>,
        id: &str,
    ) -> Result<InvitationView, ApiError> {
        let paired = match self.store.invitations().confirm(id, now()).await {
            Ok(paired) => paired,
            // It has become a partner another way meanwhile: who accepted need not wait for a yes.
            Err(error @ (Error::CloudTaken { .. } | Error::TagCollision { .. })) => {
                self.reject_invitation(id).await?;
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        };
        self.paired(&paired).await?;
        self.invitation(id, Duration::ZERO).await
    }

    pub(crate) async fn reject_invitation(&self, id: &str) -> Result<InvitationView, ApiError> {
        self.store.invitations().reject(id, now()).await?;
        self.audit("operator", "invitation.rejected", id, "").await;
        self.pairings_changed();
        self.invitation(id, Duration::ZERO).await
    }

    fn invitation_view(&self, found: &alliance_store::Invitation) -> InvitationView {
        InvitationView {
            state: found.state_at(now()).to_string(),
            acceptor: found
                .acceptor
                .as_ref()
                .map(|acceptor| self.cloud_view(&acceptor.descriptor.claims)),
            name: found.new.name.clone(),
            role: found.new.role,
        }
    }

    /// The acceptor looks at its invitation.
    pub(crate) async fn pairing_look(
        &self,
        caller: &CloudId,
        id: Uuid,
        secret: &PairingSecret,
        wait: Duration,
    ) -> Result<PairingView, PeerApiError> {
        let found = self.shown_to(caller, id, secret).await?;
        let state = found.state_at(now());
        let wait = match state {
            InvitationState::Open | InvitationState::Accepted => wait,
            // Decided before the question came: nothing more will change.
            InvitationState::Confirmed | InvitationState::Rejected | InvitationState::Expired => {
                Duration::ZERO
            }
        };
        let found = match self.when_not(&id.to_string(), state, wait).await {
            Ok(found) => found,
            Err(error) => return Err(PeerApiError::internal(error)),
        };
        // Who is not the one that accepted learns nothing of how it went on.
        let other = found
            .acceptor
            .as_ref()
            .is_some_and(|acceptor| acceptor.cloud_id != *caller);
        if other {
            return Err(PeerApiError::pairing_closed(
                "the invitation was already used by another cloud; ask for a new one",
            ));
        }
        Ok(PairingView {
            descriptor: self.descriptor().map_err(PeerApiError::internal)?,
            role_offered: found.new.role,
            state: match found.state_at(now()) {
                InvitationState::Open => PairingState::Open,
                InvitationState::Accepted => PairingState::Accepted,
                InvitationState::Confirmed => PairingState::Confirmed,
                InvitationState::Rejected => PairingState::Rejected,
                InvitationState::Expired => PairingState::Expired,
            },
        })
    }

    /// The acceptor accepts.
    pub(crate) async fn pairing_accept(
        &self,
        caller: &CloudId,
        id: Uuid,
        secret: &PairingSecret,
        acceptor: Acceptor,
    ) -> Result<(), PeerApiError> {
        self.shown_to(caller, id, secret).await?;
        statement::require_current(&acceptor.descriptor, now())
            .map_err(|error| PeerApiError::malformed(error.to_string()))?;
        let descriptor = StoredDescriptor {
            jws: acceptor.jws,
            claims: acceptor.descriptor,
        };
        match self
            .store
            .invitations()
            .accept(&id.to_string(), &descriptor, now())
            .await
        {
            Ok(found) => {
                tracing::info!(invitation = %id, %caller, partner = found.new.name, "an invitation was accepted; it waits for the operator's confirmation");
                self.audit(
                    caller.as_str(),
                    "invitation.accepted",
                    &found.new.name,
                    &id.to_string(),
                )
                .await;
                self.pairings_changed();
                Ok(())
            }
            Err(
                error @ (Error::AlreadyUsed | Error::NotExpected { .. } | Error::InvitationIs(_)),
            ) => {
                tracing::warn!(invitation = %id, %caller, %error, "a cloud tried to accept an invitation and was refused");
                self.audit(
                    caller.as_str(),
                    "invitation.refused",
                    &id.to_string(),
                    &error.to_string(),
                )
                .await;
                Err(PeerApiError::pairing_closed(error.to_string()))
            }
            Err(
                error @ (Error::CloudTaken { .. }
                | Error::TagCollision { .. }
                | Error::PairingUnderWay { .. }),
            ) => Err(PeerApiError::pairing_closed(format!(
                "the inviter cannot pair with this cloud: {error}"
            ))),
            Err(error) => Err(PeerApiError::internal(error)),
        }
    }

    /// The acceptor takes its acceptance back.
    pub(crate) async fn pairing_withdraw(
        &self,
        caller: &CloudId,
        id: Uuid,
        secret: &PairingSecret,
    ) -> Result<(), PeerApiError> {
        let found = self.shown_to(caller, id, secret).await?;
        let is_acceptor = found
            .acceptor
            .as_ref()
            .is_some_and(|acceptor| acceptor.cloud_id == *caller);
        if !is_acceptor {
            return Err(PeerApiError::pairing_closed(
                "the invitation was not accepted by this cloud",
            ));
        }
        match self
            .store
            .invitations()
            .reject(&id.to_string(), now())
            .await
        {
            Ok(()) => {
                tracing::info!(invitation = %id, %caller, partner = found.new.name, "an acceptance was taken back");
                self.audit(
                    caller.as_str(),
                    "invitation.withdrawn",
                    &found.new.name,
                    &id.to_string(),
                )
                .await;
                self.pairings_changed();
                Ok(())
            }
            Err(error @ Error::InvitationIs(_)) => {
                Err(PeerApiError::pairing_closed(error.to_string()))
            }
            Err(error) => Err(PeerApiError::internal(error)),
        }
    }

    async fn shown_to(
        &self,
        caller: &CloudId,
        id: Uuid,
        secret: &PairingSecret,
    ) -> Result<alliance_store::Invitation, PeerApiError> {
        let found = self
            .store
            .invitations()
            .by_id(&id.to_string())
            .await
            .map_err(PeerApiError::internal)?;
        match found {
            Some(found) if secret.matches(&found.new.secret_sha256) => Ok(found),
            _ => {
                // Anybody can ask, as often as they like.
                if let Some(untold) = self.strangers.may_speak() {
                    tracing::warn!(invitation = %id, %caller, untold, "a cloud asked for an invitation that it does not know");
                }
                Err(PeerApiError::no_such_pairing())
            }
        }
    }
}
