//! The side that accepts.

use std::sync::Arc;
use std::time::Duration;

use alliance_core::descriptor::Descriptor;
use alliance_core::invitation::{AcceptanceState, Invitation};
use alliance_peer::client::PeerError;
use alliance_peer::error::Problem;
use alliance_peer::pairing::PairingSecret;
use alliance_peer::request_id::RequestId;
use alliance_peer::statement;
use alliance_peer::wire::{PairingState, PairingView};
use alliance_store::{Acceptance, Error, NewAcceptance, StoredDescriptor};
use anyhow::Context;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::{require_alias, require_future};
use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::daemon::delegate::ApiError;
use crate::wire::{AcceptRequest, AcceptanceView, InspectAnswer};

/// How often the inviter is asked again when it does not answer.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// How long the inviter may hold an answer back.
const LONG_POLL: Duration = Duration::from_secs(25);

impl Daemon {
    pub(crate) async fn inspect(&self, text: &str) -> Result<InspectAnswer, ApiError> {
        let invitation = self.usable(text)?;
        let (view, descriptor) = self.look(&invitation).await?;
        if view.state != PairingState::Open && view.state != PairingState::Accepted {
            return Err(ApiError::conflict(format!(
                "the invitation is {}; ask the partner's operator for a new one",
                view.state
            )));
        }
        Ok(InspectAnswer {
            id: invitation.id,
            inviter: self.cloud_view(&descriptor),
            role: view.role_offered.seen_from_the_other_side(),
            expires_at: invitation.exp,
        })
    }

    pub(crate) async fn accept(
        self: &Arc<Self>,
        request: &AcceptRequest,
    ) -> Result<AcceptanceView, ApiError> {
        let invitation = self.usable(&request.invitation)?;
        require_alias(&request.name)?;
        require_future(request.trust_till)?;
        let (view, descriptor) = self.look(&invitation).await?;
        let jws = view.descriptor;
        let new = NewAcceptance {
            id: invitation.id.clone(),
            name: request.name.clone(),
            role: view.role_offered.seen_from_the_other_side(),
            url: invitation.url.clone(),
            secret: invitation.secret.clone(),
            trust_till: request.trust_till,
            login: request.login,
            expires_at: invitation.exp,
            descriptor: StoredDescriptor {
                jws,
                claims: descriptor,
            },
        };
        let acceptance = self.store.acceptances().create(&new, now()).await?;
        if let Err(error) = self.send_acceptance(&acceptance).await {
            self.store
                .acceptances()
                .cancel(&invitation.id, now())
                .await?;
            // Where the inviter's answer got lost, it may have been accepted there.
            self.withdraw_soon(acceptance);
            return Err(ApiError::upstream(format!(
                "the inviter did not take the acceptance: {error:#}"
            )));
        }
        self.audit(
            "operator",
            "invitation.taken",
            &request.name,
            &invitation.id,
        )
        .await;
        self.ask_inviter_soon(acceptance);
        self.acceptance(&invitation.id, Duration::ZERO).await
    }

    async fn send_acceptance(&self, acceptance: &Acceptance) -> anyhow::Result<()> {
        let (id, secret) = keys_of(acceptance)?;
        let client = self
            .directory
            .client(&acceptance.inviter, &acceptance.url)?;
        client
            .pairing_accept(RequestId::random(), id, &secret, self.descriptor()?)
            .await?;
        Ok(())
    }

    /// Answers when the acceptance is no longer waiting, or after `wait`.
    pub(crate) async fn acceptance(
        &self,
        id: &str,
        wait: Duration,
    ) -> Result<AcceptanceView, ApiError> {
        let look = || async move {
            let found = self.store.acceptances().by_id(id).await?;
            found
                .ok_or_else(|| ApiError::not_found(format!("no invitation {id} was accepted here")))
        };
        let found = self
            .settled(wait, look, |found| found.state != AcceptanceState::Waiting)
            .await?;
        Ok(AcceptanceView {
            id: found.id,
            state: found.state.to_string(),
        })
    }

    /// Takes an acceptance back. The inviter is told until it hears, as long as the daemon runs.
    pub(crate) async fn cancel_acceptance(
        self: &Arc<Self>,
        id: &str,
    ) -> Result<AcceptanceView, ApiError> {
        let acceptance = self.store.acceptances().by_id(id).await?;
        self.store.acceptances().cancel(id, now()).await?;
        if let Some(acceptance) = acceptance.filter(|found| found.state == AcceptanceState::Waiting)
        {
            self.withdraw_soon(acceptance);
        }
        self.audit("operator", "invitation.cancelled", id, "").await;
        self.pairings_changed();
        self.acceptance(id, Duration::ZERO).await
    }

    fn withdraw_soon(self: &Arc<Self>, acceptance: Acceptance) {
        let daemon = Arc::clone(self);
        self.spawn(async move {
            while now() < acceptance.gives_up_at() {
                match daemon.tell_withdrawal(&acceptance).await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::info!(
                            invitation = acceptance.id,
                            error = format!("{error:#}"),
                            "the inviter was not told that its invitation is not wanted"
                        );
                        tokio::time::sleep(ASK_AGAIN).await;
                    }
                }
            }
        });
    }

    async fn tell_withdrawal(&self, acceptance: &Acceptance) -> anyhow::Result<()> {
        let (id, secret) = keys_of(acceptance)?;
        let client = self
            .directory
            .client(&acceptance.inviter, &acceptance.url)?;
        match client
            .pairing_withdraw(RequestId::random(), id, &secret)
            .await
        {
            // Decided over there already, or never heard of: nothing is left to take back.
            Err(PeerError::Refused(problem)) if is_over(&problem) => {
                tracing::info!(invitation = acceptance.id, %problem, "the inviter had decided already");
                Ok(())
            }
            told => Ok(told?),
        }
    }

    /// Takes up what waited when the daemon stopped, and ends what waited too long. Runs for ever.
    pub(crate) async fn follow_acceptances(self: Arc<Self>) {
        match self.store.acceptances().waiting().await {
            Ok(waiting) => waiting
                .into_iter()
                .for_each(|acceptance| self.ask_inviter_soon(acceptance)),
            Err(error) => {
                tracing::error!(%error, "pairings under way were not taken up; restart the daemon when the database works")
            }
        }
        let mut ticks = interval(ASK_AGAIN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let at = now();
            match (
                self.store.acceptances().expire_due(at).await,
                self.store.invitations().expire_due(at).await,
            ) {
                (Ok(acceptances), Ok(invitations)) => {
                    if !acceptances.is_empty() || !invitations.is_empty() {
                        self.pairings_changed();
                    }
                }
                (Err(error), _) | (_, Err(error)) => {
                    tracing::error!(%error, "pairings that were never completed did not expire")
                }
            }
        }
    }

    /// Asks the inviter until it decides, this side cancels, or the time is over.
    fn ask_inviter_soon(self: &Arc<Self>, acceptance: Acceptance) {
        let daemon = Arc::clone(self);
        self.spawn(async move {
            loop {
                match daemon.store.acceptances().by_id(&acceptance.id).await {
                    Ok(Some(found)) if found.state == AcceptanceState::Waiting => {}
                    Ok(_) => return,
                    Err(error) => tracing::error!(%error, "a pairing under way cannot be read"),
                }
                match daemon.ask_inviter(&acceptance).await {
                    Ok(true) => return daemon.pairings_changed(),
                    Ok(false) => {}
                    Err(error) => {
                        tracing::info!(
                            invitation = acceptance.id,
                            error = format!("{error:#}"),
                            "the inviter does not say yet how the pairing goes"
                        );
                        tokio::time::sleep(ASK_AGAIN).await;
                    }
                }
            }
        });
    }

    /// True if it is decided.
    async fn ask_inviter(self: &Arc<Self>, acceptance: &Acceptance) -> anyhow::Result<bool> {
        let (id, secret) = keys_of(acceptance)?;
        let client = self
            .directory
            .client(&acceptance.inviter, &acceptance.url)?;
        let view = match client
            .pairing_look(RequestId::random(), id, &secret, LONG_POLL)
            .await
        {
            Ok(view) => view,
            Err(PeerError::Refused(problem)) if is_over(&problem) => {
                tracing::warn!(invitation = acceptance.id, %problem, "the inviter refused the pairing");
                self.store
                    .acceptances()
                    .reject(&acceptance.id, now())
                    .await?;
                return Ok(true);
            }
            Err(error) => return Err(error.into()),
        };
        match view.state {
            // Open again: the inviter was restored from a backup, or never stored our acceptance.
            PairingState::Open => {
                self.send_acceptance(acceptance).await?;
                Ok(false)
            }
            PairingState::Accepted => Ok(false),
            PairingState::Rejected => {
                self.store
                    .acceptances()
                    .reject(&acceptance.id, now())
                    .await?;
                Ok(true)
            }
            PairingState::Expired => {
                self.store
                    .acceptances()
                    .expire(&acceptance.id, now())
                    .await?;
                Ok(true)
            }
            PairingState::Confirmed => {
                let claims = statement::verify_descriptor(&view.descriptor, &acceptance.inviter)?;
                let descriptor = StoredDescriptor {
                    jws: view.descriptor,
                    claims,
                };
                let acceptances = self.store.acceptances();
                match acceptances.pair(&acceptance.id, &descriptor, now()).await {
                    Ok(paired) => self.paired(&paired).await?,
                    // Another pairing of the two clouds was quicker: this one leads nowhere.
                    Err(error @ (Error::CloudTaken { .. } | Error::TagCollision { .. })) => {
                        tracing::warn!(invitation = acceptance.id, %error, "a pairing was confirmed that cannot be any more");
                        acceptances.reject(&acceptance.id, now()).await?;
                    }
                    Err(error) => return Err(error.into()),
                }
                Ok(true)
            }
        }
    }

    fn usable(&self, text: &str) -> Result<Invitation, ApiError> {
        let invitation: Invitation =
            text.parse()
                .map_err(|error: alliance_core::invitation::BadInvitation| {
                    ApiError::invalid(error.to_string())
                })?;
        invitation
            .require_usable(self.identity.cloud_id(), now())
            .map_err(|error| ApiError::invalid(error.to_string()))?;
        Ok(invitation)
    }

    async fn look(&self, invitation: &Invitation) -> Result<(PairingView, Descriptor), ApiError> {
        let id = Uuid::parse_str(&invitation.id)
            .map_err(|_| ApiError::invalid("the invitation's id is none"))?;
        let secret = invitation
            .secret
            .parse()
            .map_err(|_| ApiError::invalid("the invitation's secret is none"))?;
        let client = self
            .directory
            .client(&invitation.cloud, &invitation.url)
            .map_err(|error| ApiError::invalid(format!("{error:#}")))?;
        let view = client
            .pairing_look(RequestId::random(), id, &secret, Duration::ZERO)
            .await
            .map_err(|error| {
                ApiError::upstream(format!(
                    "{} did not show its invitation: {error}",
                    invitation.url
                ))
            })?;
        let descriptor = statement::verify_descriptor(&view.descriptor, &invitation.cloud)
            .and_then(|descriptor| {
                statement::require_current(&descriptor, now())?;
                Ok(descriptor)
            })
            .map_err(|error| {
                ApiError::upstream(format!("the inviter's descriptor was refused: {error}"))
            })?;
        Ok((view, descriptor))
    }
}

/// Whether the inviter knows nothing of the invitation, or has decided.
fn is_over(problem: &Problem) -> bool {
    matches!(problem.status, 401 | 409)
}

fn keys_of(acceptance: &Acceptance) -> anyhow::Result<(Uuid, PairingSecret)> {
    let id = Uuid::parse_str(&acceptance.id).context("the invitation's id is none")?;
    let secret = acceptance
        .secret
        .as_deref()
        .context("the invitation's secret is gone: it is decided")?;
    Ok((id, secret.parse()?))
}
