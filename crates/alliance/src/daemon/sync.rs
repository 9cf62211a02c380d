//! Keeping up with partners: what they are, what they grant, what they hold of us. Pulled
//! regularly, and at once when a partner pokes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alliance_cloud::keystone::KeystoneError;
use alliance_core::cloud::CloudId;
use alliance_core::partner::Status;
use alliance_core::refusal::Reason;
use alliance_core::snapshot::Received;
use alliance_core::{LONGEST_TOKEN_LIFE, Seconds};
use alliance_peer::client::PeerError;
use alliance_peer::client::guard::NoAnswer;
use alliance_peer::request_id::RequestId;
use alliance_peer::statement;
use alliance_peer::wire::Topic;
use alliance_store::StoredDescriptor;
use anyhow::Context;
use tokio::time::{MissedTickBehavior, interval};

use super::Daemon;
use super::clock::now;
use super::directory::{Known, Way};
use super::own_catalog::Offer;

/// Pause after a first failure to read the own catalog.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// How long a partner's next poke waits for the last one's pull: each may change the snapshot, and
/// then Keystone drops what it has cached, of local users too.
const BETWEEN_PULLS: Duration = Duration::from_millis(500);
/// How long wishes for a partner's news wait for the last one: anybody can cause them.
const BETWEEN_WISHES: Duration = Duration::from_secs(5);
/// How long before its start a daemon looks for agreements that ended while it was away: services
/// remember tokens for less. Seconds.
const LOOK_BACK: Seconds = 900;
/// The interface under which this cloud's endpoints are told to partners.
const PUBLIC: &str = "public";

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
    /// Reads the own catalog every `refresh`, sooner while it cannot be read, and tells partners
    /// when it changed. Runs for ever.
    pub(crate) async fn follow_own_catalog(self: Arc<Self>, refresh: Duration) {
        let mut pause = FIRST_RETRY;
        loop {
            let request_id = RequestId::random();
            match self.token_keys.read(now()).await {
                Ok(false) => {}
                Ok(true) => self.poke_all(&[Topic::Descriptor]),
                Err(error) => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "the keys of [signing] were not read; partners go on with the last ones"
                    );
                }
            }
            match self.read_own_catalog(request_id).await {
                Ok(false) => pause = refresh,
                Ok(true) => {
                    pause = refresh;
                    if let Err(error) = self.publisher.publish(false).await {
                        tracing::error!(%request_id, error = format!("{error:#}"), "the snapshot was not written");
                    }
                    self.poke_all(&[Topic::Descriptor]);
                }
                Err(error) => {
                    tracing::warn!(%request_id, error = format!("{error:#}"), "the own catalog was not read; partners see the last one");
                    pause = if pause < refresh {
                        (pause * 2).min(refresh)
                    } else {
                        FIRST_RETRY
                    };
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn read_own_catalog(&self, request_id: RequestId) -> anyhow::Result<bool> {
        let (mut regions, service_types) = self.keystone.catalog(&request_id.to_string()).await?;
        let offer = &self.config.catalog.offer;
        let offered = |kind: &String| {
            kind == "identity" || offer.iter().any(|word| word == "*" || word == kind)
        };
        for region in &mut regions {
            region.services.retain(|service| offered(&service.kind));
            // Whatever they are called here: these are the ones that partners' users take.
            let endpoints = region
                .services
                .iter_mut()
                .flat_map(|service| &mut service.endpoints);
            endpoints.for_each(|endpoint| PUBLIC.clone_into(&mut endpoint.interface));
        }
        Ok(self.catalog.replace(Offer {
            regions,
            service_types,
        }))
    }

    /// Pulls from every partner every `refresh`, or sooner when one pokes. Runs for ever.
    pub(crate) async fn follow_partners(self: Arc<Self>, refresh: Duration) {
        let mut ticks = interval(refresh);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
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

    /// Ends what has ended by itself, once a second. Runs for ever.
    pub(crate) async fn follow_clock(self: Arc<Self>) {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen_to = now() - LOOK_BACK;
        loop {
            ticks.tick().await;
            let at = now();
            match self.expire_due(seen_to, at).await {
                Ok(()) => seen_to = at,
                Err(error) => tracing::error!(
                    error = format!("{error:#}"),
                    "what is due to expire was not stored; it counts as expired all the same"
                ),
            }
            if let Err(error) = self.host.write_projects().await {
                tracing::warn!(%error, "which projects of partners were here is not in the database yet");
            }
            if let Err(error) = self.store.used_passports().forget_expired(now()).await {
                tracing::warn!(%error, "used login passports that have expired stay in the database for now");
            }
            if let Err(error) = self.store.ended_sessions().forget_expired(now()).await {
                tracing::error!(%error, "expired entries were not deleted");
            }
            let too_old = now() - LONGEST_TOKEN_LIFE;
            if let Err(error) = self.store.sign_outs().forget_before(too_old).await {
                tracing::error!(%error, "old sign-outs were not deleted");
            }
            if let Err(error) = self.store.seen_tokens().forget_expired(now()).await {
                tracing::error!(%error, "expired entries were not deleted");
            }
        }
    }

    /// Pulls from one partner in the background.
    pub(crate) fn pull_soon(self: &Arc<Self>, cloud_id: &CloudId) {
        let (daemon, cloud_id) = (Arc::clone(self), cloud_id.clone());
        self.spawn(async move {
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
        if let Err(error) = self.pull_facts(known, request_id).await {
            if is_silence(&error) {
                let cloud_id = &known.partner.cloud_id;
                self.border.was_silent(cloud_id, &known.facts, now());
            }
            let error = format!("{error:#}");
            if known.facts.last_error.as_deref() != Some(&error) {
                tracing::warn!(%request_id, partner = known.partner.name, error, "a partner was not heard");
            }
            self.store
                .partners()
                .set_failed(&known.partner.cloud_id, &error)
                .await?;
        }
        self.directory.reload().await?;
        self.publisher.publish(false).await?;
        Ok(())
    }

    async fn pull_facts(&self, known: &Arc<Known>, request_id: RequestId) -> anyhow::Result<()> {
        let cloud_id = &known.partner.cloud_id;
        let client = match &known.way {
            Way::Peer(client) => client,
            Way::Keystone(plain) => {
                // Its user's own token tells whether all that is needed works.
                let request_id = request_id.to_string();
                plain.keystone.service_roles(&request_id).await?;
                self.border.answered(cloud_id, None, now());
                self.store
                    .partners()
                    .set_seen(cloud_id, None, now())
                    .await?;
                return Ok(());
            }
        };
        let answer = match client.descriptor(request_id).await {
            Ok((answer, contact)) => {
                self.border.answered(cloud_id, Some(contact), now());
                answer
            }
            Err(PeerError::Refused(problem)) => {
                self.border.answered(cloud_id, None, now());
                let Some(status) = problem.reason().and_then(ended) else {
                    return Err(PeerError::Refused(problem).into());
                };
                // It answers, and it wants nothing to do with us: nothing of its is offered here.
                self.store
                    .partners()
                    .set_received(cloud_id, &[], None)
                    .await?;
                self.store
                    .partners()
                    .set_seen(cloud_id, Some(status), now())
                    .await?;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let claims = statement::verify_descriptor(&answer.descriptor, cloud_id)
            .context("the partner's descriptor was refused")?;
        statement::require_current(&claims, now())?;
        let descriptor = StoredDescriptor {
            jws: answer.descriptor,
            claims,
        };
        let mut is_changed = known
            .descriptor()
            .is_none_or(|known| !known.says_the_same(&descriptor.claims));
        self.store.partners().set_descriptor(&descriptor).await?;
        if known.partner.role.is_host() {
            let (received, etag): (Vec<Received>, _) = if answer.status == Status::Active {
                let answer = client.agreements(request_id).await?;
                (
                    answer.agreements.into_iter().map(received).collect(),
                    Some(answer.etag),
                )
            } else {
                (Vec::new(), None)
            };
            is_changed |= received != known.facts.received;
            self.store
                .partners()
                .set_received(cloud_id, &received, etag.as_deref())
                .await?;
        }
        if is_changed {
            self.store.partners().set_changed(cloud_id, now()).await?;
        }
        self.store
            .partners()
            .set_seen(cloud_id, Some(answer.status), now())
            .await?;
        Ok(())
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
        self.spawn(async move {
            let request_id = RequestId::random();
            if let Err(error) = client.poke(request_id, changed).await {
                tracing::info!(%request_id, partner, %error, "a partner was not poked; it pulls by itself later");
            }
        });
    }
}

/// Whether nobody answered, or at least not the partner. A Keystone says no more than that.
fn is_silence(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<PeerError>() {
        Some(error) => !error.is_answer(),
        None => error.is::<KeystoneError>(),
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
        project_id: offer.project_id,
        roles: offer.roles,
        services: offer.services,
        till: offer.till,
        transitive: offer.transitive,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_partner_that_pokes_without_end_is_pulled_from_twice_a_second() {
        let (pulls, pulled) = (Arc::new(Pulls::default()), Arc::new(AtomicUsize::new(0)));
        let west = CloudId::from_spki(b"west");
        let poke = || {
            let (pulls, pulled, west) = (Arc::clone(&pulls), Arc::clone(&pulled), west.clone());
            tokio::spawn(async move {
                let pull = || async {
                    pulled.fetch_add(1, Ordering::SeqCst);
                };
                pulls.one_by_one(&west, pull).await;
            })
        };
        let first = poke();
        while pulled.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..1000 {
            assert!(poke().await.is_ok());
        }
        assert_eq!(pulled.load(Ordering::SeqCst), 1);
        // The pokes meanwhile are heard too, all at once.
        assert!(first.await.is_ok());
        assert_eq!(pulled.load(Ordering::SeqCst), 2);
        assert!(pulls.lock().is_empty());
    }
}
