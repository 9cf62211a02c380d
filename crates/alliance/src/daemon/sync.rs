//! Keeping up with partners: what they are, what they grant, what they hold of us. Pulled
//! regularly, and at once when a partner pokes.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alliance_cloud::keystone::KeystoneError;
use alliance_core::cloud::CloudId;
use alliance_core::partner::Status;
use alliance_core::refusal::Reason;
use alliance_core::snapshot::Received;
use alliance_core::{CLOCK_SKEW, Seconds};
use alliance_peer::client::guard::NoAnswer;
use alliance_peer::client::{Contact, DescriptorNews, PeerClient, PeerError};
use alliance_peer::request_id::RequestId;
use alliance_peer::statement;
use alliance_peer::wire::Topic;
use alliance_store::{Bulletin, Facts, StoredDescriptor};
use anyhow::{Context, ensure};
use tokio::time::{MissedTickBehavior, interval};

use super::Daemon;
use super::clock::now;
use super::directory::{Known, Way};
use super::heard::Answer;

/// How long a partner's next poke waits for the last one's pull: each may change the snapshot, and
/// then Keystone drops what it has cached, of local users too.
const BETWEEN_PULLS: Duration = Duration::from_millis(500);
/// How long wishes for a partner's news wait for the last one: anybody can cause them.
const BETWEEN_WISHES: Duration = Duration::from_secs(5);
/// A partner's clock may have been wrong by [`CLOCK_SKEW`] one way, and then the other: that is not a
/// partner that was set back.
const SET_BACK: Seconds = 2 * CLOCK_SKEW;

/// The partners that are being pulled from, and whether once more after that.
#[derive(Default)]
pub(crate) struct Pulls(Mutex<HashMap<CloudId, bool>>);

impl Pulls {
    /// Pulls from a partner by `pull`: one at a time, and once more however many ask meanwhile.
    async fn one_by_one<F: Future<Output = ()>>(&self, cloud_id: &CloudId, pull: impl Fn() -> F) {
        if !self.begin(cloud_id) {
            return;
        }
        let running = Running(self, cloud_id);
        loop {
            pull().await;
            tokio::time::sleep(BETWEEN_PULLS).await;
            if !self.once_more(cloud_id) {
                // There is room already, and perhaps the next one in it.
                std::mem::forget(running);
                return;
            }
        }
    }

    fn begin(&self, cloud_id: &CloudId) -> bool {
        match self.lock().entry(cloud_id.clone()) {
            Entry::Occupied(mut again) => {
                again.insert(true);
                false
            }
            Entry::Vacant(free) => {
                free.insert(false);
                true
            }
        }
    }

    /// Whether somebody has asked since the last time. If not, the next one begins anew.
    fn once_more(&self, cloud_id: &CloudId) -> bool {
        let mut pulls = self.lock();
        let again = pulls.get_mut(cloud_id).is_some_and(std::mem::take);
        if !again {
            pulls.remove(cloud_id);
        }
        again
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CloudId, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pull that is given up or panics makes room for the next.
struct Running<'a>(&'a Pulls, &'a CloudId);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(self.1);
    }
}

impl Daemon {
    /// Pulls from every partner every `refresh`, or sooner when one pokes. Runs for ever.
    pub(crate) async fn follow_partners(self: Arc<Self>, refresh: Duration) {
        let mut ticks = interval(refresh);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // What pulls have noted that brought no news.
            if let Err(error) = self.directory.reload().await {
                let error = format!("{error:#}");
                tracing::error!(error, "what is known of partners was not read again");
            }
            for known in self.directory.partners().all() {
                self.pull_soon(&known.partner.cloud_id);
            }
        }
    }

    /// Pulls from partners whose news somebody wants. Runs for ever.
    pub(crate) async fn follow_wishes(self: Arc<Self>) {
        loop {
            for cloud_id in self.host.wishes().next().await {
                self.pull_soon(&cloud_id);
            }
            tokio::time::sleep(BETWEEN_WISHES).await;
        }
    }

    /// Has the leader pull from one partner, in the background.
    pub(crate) fn pull_soon(self: &Arc<Self>, cloud_id: &CloudId) {
        if !self.board.leads() {
            self.board.tell(Bulletin::Pull {
                partner: cloud_id.clone(),
            });
            return;
        }
        let (daemon, cloud_id) = (Arc::clone(self), cloud_id.clone());
        self.spawn_until_stopped(async move {
            let pull = || daemon.pull_if_known(&cloud_id);
            daemon.pulls.one_by_one(&cloud_id, pull).await;
        });
    }

    async fn pull_if_known(self: &Arc<Self>, cloud_id: &CloudId) {
        let partners = self.directory.partners();
        if let Some(known) = partners.by_cloud(cloud_id)
            && let Err(error) = self.pull(known).await
        {
            tracing::error!(
                partner = known.partner.name,
                error = format!("{error:#}"),
                "what a partner said was not stored"
            );
        }
    }

    /// Pulls from one partner now.
    ///
    /// # Errors
    /// Only if the database or the snapshot fails; a partner that does not answer is a fact that
    /// is stored.
    pub(crate) async fn pull(self: &Arc<Self>, known: &Arc<Known>) -> anyhow::Result<()> {
        if !matches!(known.partner.status, Status::Active | Status::Suspended) {
            return Ok(());
        }
        let request_id = RequestId::random();
        let mut is_noted = false;
        if let Err(error) = self.pull_facts(known, request_id, &mut is_noted).await {
            is_noted |= self.note_silence(known, &error, request_id).await?;
        }
        let partners = self.directory.partners();
        let found = partners.by_cloud(&known.partner.cloud_id);
        let is_another = found.is_none_or(|found| is_news(&known.facts, &found.facts));
        // Thousands of answers that say nothing new cost no look at all that is known. What somebody else has
        // noted meanwhile may be over.
        if is_noted || is_another {
            Box::pin(self.tell_news_of(known)).await?;
        }
        Ok(())
    }

    async fn tell_news_of(self: &Arc<Self>, known: &Known) -> anyhow::Result<()> {
        self.directory.reload().await?;
        let partners = self.directory.partners();
        let found = partners.by_cloud(&known.partner.cloud_id);
        if found.is_none_or(|found| is_news(&known.facts, &found.facts)) {
            self.board.tell(Bulletin::Facts);
        }
        self.publisher.publish(false).await?;
        Ok(())
    }

    /// Returns whether it was another one the last time, or none.
    async fn note_silence(
        &self,
        known: &Known,
        error: &anyhow::Error,
        request_id: RequestId,
    ) -> anyhow::Result<bool> {
        if is_silence(error) {
            let cloud_id = &known.partner.cloud_id;
            self.border.was_silent(cloud_id, &known.facts, now());
        }
        let error = lasting(error);
        if known.facts.last_error.as_deref() == Some(&error) {
            return Ok(false);
        }
        tracing::warn!(%request_id, partner = known.partner.name, error, "a partner was not heard");
        let partners = self.store.partners();
        partners.set_failed(&known.partner.cloud_id, &error).await?;
        Ok(true)
    }

    /// `is_noted` says afterwards, whatever else went wrong, whether anything is in the database that was not
    /// known, beside that the partner was seen.
    async fn pull_facts(
        self: &Arc<Self>,
        known: &Arc<Known>,
        request_id: RequestId,
        is_noted: &mut bool,
    ) -> anyhow::Result<()> {
        let cloud_id = &known.partner.cloud_id;
        let client = match &known.way {
            Way::Peer(client) => client,
            Way::Keystone(plain) => {
                // Its user's own token tells whether all that is needed works.
                let request_id = request_id.to_string();
                plain.keystone.service_roles(&request_id).await?;
                self.border.answered(cloud_id, None, now());
                return self.note_seen(known, None, is_noted).await;
            }
        };
        let stored = known.facts.descriptor.as_ref();
        let last = stored.and_then(|stored| self.heard.last(stored, now()));
        let known_as = last.as_ref().map(|last| last.etag.as_str());
        let answer = client.descriptor(request_id, known_as).await;
        // While many are silent, what to do with an answer takes no room.
        Box::pin(self.take_answer(known, client, (answer, last), request_id, is_noted)).await
    }

    /// As [`Daemon::pull_facts`]; `last` is what the partner was asked to say no more than.
    async fn take_answer(
        self: &Arc<Self>,
        known: &Arc<Known>,
        client: &PeerClient,
        (answer, last): (Result<(DescriptorNews, Contact), PeerError>, Option<Answer>),
        request_id: RequestId,
        is_noted: &mut bool,
    ) -> anyhow::Result<()> {
        let cloud_id = &known.partner.cloud_id;
        let mut is_changed = false;
        let status = match answer {
            Ok((news, contact)) => {
                self.border.answered(cloud_id, Some(contact), now());
                match news {
                    DescriptorNews::Told { answer, etag } => {
                        is_changed = self.believe(known, &answer.descriptor).await?;
                        *is_noted = true;
                        let status = answer.status;
                        let answer = etag.map(|etag| Answer {
                            etag,
                            status,
                            jws: answer.descriptor,
                        });
                        self.heard.note(cloud_id, answer);
                        status
                    }
                    DescriptorNews::Same => last.map_or(Status::Active, |last| last.status),
                }
            }
            Err(PeerError::Refused(problem)) => {
                self.border.answered(cloud_id, None, now());
                let Some(status) = problem.reason().and_then(ended) else {
                    return Err(PeerError::Refused(problem).into());
                };
                // It answers, and it wants nothing to do with us: nothing of its is offered here.
                self.note_received(known, &[], None, is_noted).await?;
                return self.note_seen(known, Some(status), is_noted).await;
            }
            Err(error) => return Err(error.into()),
        };
        if known.partner.role.is_host() {
            let (received, etag): (Vec<Received>, _) = if status == Status::Active {
                // Before the host is asked: what came since is none that it leaves out.
                let held = self.store.contracts().received(cloud_id).await?;
                let answer = client.agreements(request_id).await?;
                if let Some(states) = &answer.contracts {
                    self.follow_contracts(known, client, (states, &held), request_id)
                        .await?;
                }
                let ended = self.ended_here(known).await?;
                let mut grants: Vec<_> = answer.agreements.into_iter().map(received).collect();
                grants.retain(|grant| grant.id.as_ref().is_none_or(|id| !ended.contains(id)));
                (grants, Some(answer.etag))
            } else {
                (Vec::new(), None)
            };
            is_changed |= received != known.facts.received;
            let etag = etag.as_deref();
            self.note_received(known, &received, etag, is_noted).await?;
        }
        if is_changed {
            self.store.partners().set_changed(cloud_id, now()).await?;
        }
        self.note_seen(known, Some(status), is_noted).await
    }

    /// What a host grants; unless who was asked later has answered meanwhile.
    async fn note_received(
        &self,
        known: &Known,
        received: &[Received],
        etag: Option<&str>,
        is_noted: &mut bool,
    ) -> anyhow::Result<()> {
        let (cloud_id, facts) = (&known.partner.cloud_id, &known.facts);
        let last = facts.received_etag.as_deref();
        if (received, etag) == (&facts.received, last) {
            return Ok(());
        }
        let partners = self.store.partners();
        partners
            .set_received(cloud_id, received, etag, last)
            .await?;
        *is_noted = true;
        Ok(())
    }

    /// A partner has answered, and holds this of us.
    async fn note_seen(
        &self,
        known: &Known,
        status: Option<Status>,
        is_noted: &mut bool,
    ) -> anyhow::Result<()> {
        let (cloud_id, facts) = (&known.partner.cloud_id, &known.facts);
        self.store
            .partners()
            .set_seen(cloud_id, status, now())
            .await?;
        let is_known = facts.last_error.is_none() && facts.last_seen.is_some();
        *is_noted |= !is_known || status.is_some() && status != facts.their_status;
        Ok(())
    }

    /// Stores what a partner says of itself; true if that is something new.
    async fn believe(&self, known: &Known, jws: &str) -> anyhow::Result<bool> {
        let claims = statement::verify_descriptor(jws, &known.partner.cloud_id)
            .context("the partner's descriptor was refused")?;
        statement::require_current(&claims, now())?;
        // It may be the partner's backup that speaks, with what it offered and the keys it had then.
        let last = known.descriptor();
        if let Some(last) = last {
            ensure!(
                claims.iat + SET_BACK >= last.iat,
                "the partner's descriptor is older than the one that is known, by {} s; was it set back?",
                last.iat - claims.iat
            );
        }
        let descriptor = StoredDescriptor {
            jws: jws.to_owned(),
            claims,
        };
        let before = known.facts.descriptor.as_ref();
        let before = before.map(|before| before.jws.as_str());
        let partners = self.store.partners();
        let is_stored = partners.set_descriptor(&descriptor, before).await?;
        // If not, who was asked later has answered meanwhile.
        Ok(is_stored && last.is_none_or(|last| !last.says_the_same(&descriptor.claims)))
    }

    /// Tells all active partners that something of ours changed.
    pub(crate) fn poke_all(self: &Arc<Self>, changed: &'static [Topic]) {
        for known in self.directory.partners().all() {
            self.poke_soon(known, changed);
        }
    }

    /// Tells one partner in the background; a plain Keystone has no ear for it.
    pub(crate) fn poke_soon(self: &Arc<Self>, known: &Arc<Known>, changed: &'static [Topic]) {
        if !matches!(known.partner.status, Status::Active | Status::Suspended) {
            return;
        }
        let Some(client) = known.peer().map(Arc::clone) else {
            return;
        };
        let partner = known.partner.name.clone();
        self.spawn_until_stopped(async move {
            let request_id = RequestId::random();
            if let Err(error) = client.poke(request_id, changed).await {
                tracing::info!(%request_id, partner, %error, "a partner was not poked; it pulls by itself later");
            }
        });
    }
}

/// Whether other instances must know of it now.
fn is_news(before: &Facts, after: &Facts) -> bool {
    let told = |facts: &Facts| facts.descriptor.as_ref().map(|told| told.jws.clone());
    let status = |facts: &Facts| (facts.their_status, facts.last_error.clone());
    before.received != after.received
        || status(before) != status(after)
        || told(before) != told(after)
}

/// Whether nobody answered, or at least not the partner. A Keystone says no more than that.
fn is_silence(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<PeerError>() {
        Some(error) => !error.is_answer(),
        None => error.is::<KeystoneError>(),
    }
}

/// What went wrong, in the same words as long as it does: not for how long nobody asks.
fn lasting(error: &anyhow::Error) -> String {
    match error.downcast_ref() {
        Some(PeerError::Paused { last, .. }) => last.clone(),
        _ => format!("{error:#}"),
    }
}

/// What a partner that refuses us holds of us.
fn ended(reason: Reason) -> Option<Status> {
    match reason {
        Reason::PartnerSuspended => Some(Status::Suspended),
        Reason::PartnerExpired => Some(Status::Expired),
        Reason::UnknownPartner => Some(Status::Removed),
        _ => None,
    }
}

fn received(offer: alliance_peer::wire::Offer) -> Received {
    Received {
        id: offer.id,
        version: offer.version,
        project_id: offer.project_id,
        roles: offer.roles,
        services: offer.services,
        till: offer.till,
        transitive: offer.transitive,
    }
}
