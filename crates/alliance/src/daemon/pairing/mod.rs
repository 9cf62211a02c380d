//! Becoming partners: the inviter's side and the acceptor's side.
//!
//! What an operator or a partner was told is in the database before. The acceptor goes on asking
//! after a restart, so that a pairing that the inviter confirmed is completed by itself.

mod acceptor;
mod inviter;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alliance_core::cloud::fingerprint;
use alliance_core::descriptor::Descriptor;
use alliance_core::invitation::{CONFIRMATION_TIME, InvitationState};
use alliance_core::label::{clean, is_alias};
use alliance_core::partner::{Kind, Status};
use alliance_core::{keystone_id, partner::Partner};
use alliance_peer::wire::Topic;
use alliance_store::{DraftOf, Paired};
use tokio::time::{Instant, timeout_at};

use super::Daemon;
use super::clock::now;
use super::delegate::ApiError;
use crate::wire::{CloudView, PartnerView};

/// Longest name of another cloud that is shown, in characters.
const NAME_LEN: usize = 64;

impl Daemon {
    /// The pairings that are not completed, for the listing of partners.
    pub(crate) async fn drafts(&self) -> Result<Vec<PartnerView>, ApiError> {
        let drafts = self.store.drafts(now()).await?;
        let views = drafts.into_iter().filter_map(|draft| {
            let cloud_id = draft.cloud_id?;
            let (waits_for, more_time) = match draft.of {
                DraftOf::Invitation {
                    state: InvitationState::Open,
                    ..
                } => ("we invited; waiting for it to accept", 0),
                DraftOf::Invitation { .. } => (
                    "it accepted; waiting for our operator's confirmation",
                    CONFIRMATION_TIME,
                ),
                DraftOf::Acceptance { .. } => (
                    "we accepted; waiting for its operator's confirmation",
                    CONFIRMATION_TIME,
                ),
            };
            Some(PartnerView {
                fingerprint: Some(fingerprint(self.identity.cloud_id(), &cloud_id)),
                calls_itself: String::new(),
                regions: Vec::new(),
                their_status: None,
                last_seen: None,
                last_error: Some(waits_for.to_owned()),
                keystone: None,
                domain_id: keystone_id::domain(&cloud_id),
                agreements_given: 0,
                agreements_received: 0,
                modes: BTreeMap::new(),
                allow_sha1: false,
                login: draft.login,
                signing_keys: Vec::new(),
                daemon_keys: Vec::new(),
                revocation_list: None,
                access: None,
                border: None,
                lapses_at: Some(draft.expires_at.saturating_add(more_time)),
                partner: Partner {
                    cloud_id,
                    name: draft.name,
                    kind: Kind::Alliance,
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

    async fn paired(self: &Arc<Self>, paired: &Paired) -> anyhow::Result<()> {
        let partner = &paired.partner;
        tracing::info!(partner = partner.name, cloud_id = %partner.cloud_id, role = %partner.role, "paired");
        // Another instance may have been quicker.
        if paired.is_new {
            self.audit(
                "daemon",
                "partner.paired",
                &partner.name,
                partner.cloud_id.as_str(),
            )
            .await;
        }
        self.directory.reload().await?;
        self.pairings_changed();
        self.publisher.publish(false).await?;
        self.pull_soon(&partner.cloud_id);
        if let Some(known) = self.directory.partners().by_cloud(&partner.cloud_id) {
            self.poke_soon(known, &[Topic::Status]);
        }
        Ok(())
    }

    /// What `look` finds as soon as it is `settled`, or when `wait` is over. Looks again whenever a
    /// pairing changes.
    async fn settled<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        wait: Duration,
        look: impl Fn() -> F,
        settled: impl Fn(&T) -> bool,
    ) -> Result<T, E> {
        let deadline = Instant::now() + wait;
        let mut changes = self.pairings.subscribe();
        loop {
            changes.borrow_and_update();
            let found = look().await?;
            if settled(&found) || timeout_at(deadline, changes.changed()).await.is_err() {
                return Ok(found);
            }
        }
    }

    /// Here; other instances are told by the database.
    pub(crate) fn pairings_changed(&self) {
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

pub(super) fn require_alias(name: &str) -> Result<(), ApiError> {
    if is_alias(name) {
        Ok(())
    } else {
        Err(ApiError::invalid(
            "a partner's name is 1 to 32 letters, digits, '-', '_' or '.', and begins with a letter or digit",
        ))
    }
}

pub(super) fn require_future(trust_till: Option<i64>) -> Result<(), ApiError> {
    match trust_till {
        Some(till) if till <= now() => Err(ApiError::invalid("the end of trust lies in the past")),
        _ => Ok(()),
    }
}
