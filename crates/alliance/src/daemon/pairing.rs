//! Becoming partners: the inviter's side and the acceptor's side.
//!
//! What an operator or a partner was told is in the database before. The acceptor goes on asking
//! after a restart, so that a pairing that the inviter confirmed is completed by itself.

use std::sync::Arc;
use std::time::Duration;

use alliance_core::cloud::{CloudId, fingerprint};
use alliance_core::descriptor::Descriptor;
use alliance_core::invitation::{AcceptanceState, Invitation, InvitationState};
use alliance_core::label::{clean, is_alias};
use alliance_core::partner::Status;
use alliance_core::{keystone_id, partner::Partner};
use alliance_peer::client::PeerError;
use alliance_peer::error::ApiError as PeerApiError;
use alliance_peer::pairing::PairingSecret;
use alliance_peer::request_id::RequestId;
use alliance_peer::service::Acceptor;
use alliance_peer::statement;
use alliance_peer::wire::{PairingState, PairingView, Topic};
use alliance_store::{Acceptance, DraftOf, Error, NewAcceptance, NewInvitation, StoredDescriptor};
use anyhow::Context;
use http::StatusCode;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use uuid::Uuid;

use super::Daemon;
use super::clock::now;
use super::delegate::ApiError;
use crate::wire::{
    AcceptRequest, AcceptanceView, CloudView, InspectAnswer, InvitationView, InviteAnswer,
    InviteRequest, PartnerView,
};

/// Longest name of another cloud that is shown, in characters.
const NAME_LEN: usize = 64;
/// How often the inviter is asked again when it does not answer.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// How long the inviter may hold an answer back.
const LONG_POLL: Duration = Duration::from_secs(25);

/// The inviter's side.
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
        let deadline = Instant::now() + wait;
        let mut changes = self.pairings.subscribe();
        loop {
            changes.borrow_and_update();
            let found = self.store.invitations().by_id(id).await?;
            let found = found.ok_or_else(|| Error::NoSuchInvitation(id.to_owned()))?;
            if found.state_at(now()) != state
                || timeout_at(deadline, changes.changed()).await.is_err()
            {
                return Ok(found);
            }
        }
    }

    pub(crate) async fn confirm_invitation(
        self: &Arc<Self>,
        id: &str,
    ) -> Result<InvitationView, ApiError> {
        let partner = match self.store.invitations().confirm(id, now()).await {
            Ok(partner) => partner,
            // It has become a partner another way meanwhile: who accepted need not wait for a yes.
            Err(error @ (Error::CloudTaken { .. } | Error::TagCollision { .. })) => {
                self.reject_invitation(id).await?;
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        };
        self.paired(&partner).await?;
        self.invitation(id, Duration::ZERO).await
    }

    pub(crate) async fn reject_invitation(&self, id: &str) -> Result<InvitationView, ApiError> {
        self.store.invitations().reject(id, now()).await?;
        self.audit("operator", "invitation.rejected", id, "").await;
        self.pairing_changed();
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
                self.pairing_changed();
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
            Err(error @ (Error::CloudTaken { .. } | Error::TagCollision { .. })) => {
                Err(PeerApiError::pairing_closed(format!(
                    "the inviter cannot pair with this cloud: {error}"
                )))
            }
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
                self.pairing_changed();
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
                tracing::warn!(invitation = %id, %caller, "a cloud asked for an invitation that it does not know");
                Err(PeerApiError::no_such_pairing())
            }
        }
    }
}

/// The acceptor's side.
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
            expires_at: invitation.exp,
            descriptor: StoredDescriptor {
                jws,
                claims: descriptor,
            },
        };
        let acceptance = self.store.acceptances().create(&new, now()).await?;
        if let Err(error) = self.send_acceptance(&acceptance).await {
            // Where the inviter's answer got lost, it may have been accepted there: the
            // background goes on asking only for what this side still wants.
            self.store
                .acceptances()
                .cancel(&invitation.id, now())
                .await?;
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
        let deadline = Instant::now() + wait;
        let mut changes = self.pairings.subscribe();
        loop {
            changes.borrow_and_update();
            let found = self.store.acceptances().by_id(id).await?;
            let found = found.ok_or_else(|| {
                ApiError::not_found(format!("no invitation {id} was accepted here"))
            })?;
            let waiting = found.state == AcceptanceState::Waiting;
            if !waiting || timeout_at(deadline, changes.changed()).await.is_err() {
                return Ok(AcceptanceView {
                    id: found.id,
                    state: found.state.to_string(),
                });
            }
        }
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
        self.pairing_changed();
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
            Err(PeerError::Refused(problem)) if matches!(problem.status, 401 | 409) => {
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
                        self.pairing_changed();
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
                    Ok(true) => return daemon.pairing_changed(),
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
            Err(PeerError::Refused(problem)) if matches!(problem.status, 401 | 409) => {
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
                let partner = self
                    .store
                    .acceptances()
                    .pair(&acceptance.id, &descriptor, now())
                    .await?;
                self.paired(&partner).await?;
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

/// Both sides.
impl Daemon {
    /// The pairings that are not completed, for the listing of partners.
    pub(crate) async fn drafts(&self) -> Result<Vec<PartnerView>, ApiError> {
        let drafts = self.store.drafts(now()).await?;
        let views = drafts.into_iter().filter_map(|draft| {
            let cloud_id = draft.cloud_id?;
            let waits_for = match draft.of {
                DraftOf::Invitation { .. } => {
                    "it accepted; waiting for our operator's confirmation"
                }
                DraftOf::Acceptance { .. } => {
                    "we accepted; waiting for its operator's confirmation"
                }
            };
            Some(PartnerView {
                fingerprint: fingerprint(self.identity.cloud_id(), &cloud_id),
                calls_itself: String::new(),
                regions: Vec::new(),
                their_status: None,
                last_seen: None,
                last_error: Some(waits_for.to_owned()),
                keystone: None,
                domain_id: keystone_id::domain(&cloud_id),
                agreements_given: 0,
                agreements_received: 0,
                partner: Partner {
                    cloud_id,
                    name: draft.name,
                    role: draft.role,
                    status: Status::Draft,
                    peer_url: String::new(),
                    trust_since: None,
                    trust_till: draft.trust_till,
                    max_users: None,
                    max_projects: None,
                    created_at: draft.created_at,
                },
            })
        });
        Ok(views.collect())
    }

    /// Ends the pairing under way that holds this name; false if there is none.
    pub(crate) async fn withdraw(self: &Arc<Self>, name: &str) -> Result<bool, ApiError> {
        let drafts = self.store.drafts(now()).await?;
        let Some(draft) = drafts.into_iter().find(|draft| draft.name == name) else {
            return Ok(false);
        };
        match draft.of {
            DraftOf::Invitation { id, .. } => drop(self.reject_invitation(&id).await?),
            DraftOf::Acceptance { id } => drop(self.cancel_acceptance(&id).await?),
        }
        Ok(true)
    }

    async fn paired(self: &Arc<Self>, partner: &Partner) -> anyhow::Result<()> {
        tracing::info!(partner = partner.name, cloud_id = %partner.cloud_id, role = %partner.role, "paired");
        self.audit(
            "daemon",
            "partner.paired",
            &partner.name,
            partner.cloud_id.as_str(),
        )
        .await;
        self.directory.reload().await?;
        self.pairing_changed();
        self.publisher.publish(false).await?;
        self.pull_soon(&partner.cloud_id);
        if let Some(known) = self.directory.partners().by_cloud(&partner.cloud_id) {
            self.poke_soon(known, &[Topic::Status]);
        }
        Ok(())
    }

    fn pairing_changed(&self) {
        self.pairings.send_modify(|changes| *changes += 1);
    }

    fn cloud_view(&self, descriptor: &Descriptor) -> CloudView {
        CloudView {
            cloud_id: descriptor.iss.clone(),
            name: clean(&descriptor.name, NAME_LEN),
            peer_url: clean(&descriptor.peer_url, 200),
            regions: descriptor.regions.clone(),
            fingerprint: fingerprint(self.identity.cloud_id(), &descriptor.iss),
            domain_id: keystone_id::domain(&descriptor.iss),
        }
    }
}

fn keys_of(acceptance: &Acceptance) -> anyhow::Result<(Uuid, PairingSecret)> {
    let id = Uuid::parse_str(&acceptance.id).context("the invitation's id is none")?;
    let secret = acceptance
        .secret
        .as_deref()
        .context("the invitation's secret is gone: it is decided")?;
    Ok((id, secret.parse()?))
}

fn require_alias(name: &str) -> Result<(), ApiError> {
    if is_alias(name) {
        Ok(())
    } else {
        Err(ApiError::invalid(
            "a partner's name is 1 to 32 letters, digits, '-', '_' or '.', and begins with a letter or digit",
        ))
    }
}

fn require_future(trust_till: Option<i64>) -> Result<(), ApiError> {
    match trust_till {
        Some(till) if till <= now() => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalid",
            "the end of trust lies in the past",
        )),
        _ => Ok(()),
    }
}
