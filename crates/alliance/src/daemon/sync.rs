//! Keeping up with partners: what they are, what they grant, what they hold of us. Pulled
//! regularly, and at once when a partner pokes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alliance_cloud::keystone::{Catalog, KeystoneError};
use alliance_cloud::versions;
use alliance_core::cloud::CloudId;
use alliance_core::partner::Status;
use alliance_core::refusal::Reason;
use alliance_core::snapshot::Received;
use alliance_core::{CLOCK_SKEW, LONGEST_TOKEN_LIFE, Seconds};
use alliance_peer::client::guard::NoAnswer;
use alliance_peer::client::{DescriptorNews, PeerError};
use alliance_peer::request_id::RequestId;
use alliance_peer::statement;
use alliance_peer::wire::Topic;
use alliance_store::StoredDescriptor;
use anyhow::{Context, ensure};
use futures_util::stream::{self, StreamExt};
use tokio::time::{MissedTickBehavior, interval};
use url::Url;

use super::Daemon;
use super::clock::now;
use super::directory::{Known, Way};
use super::heard::Answer;
use super::own_catalog::{IDENTITY, Offer};

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
/// A partner's clock may have been wrong by [`CLOCK_SKEW`] one way, and then the other: that is not a
/// partner that was set back.
const SET_BACK: Seconds = 2 * CLOCK_SKEW;
/// How many version documents are read at once.
const DOCUMENTS_AT_ONCE: usize = 4;

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
    /// Reads the own catalog every `refresh`, sooner while it cannot be read or when it is another
    /// one, and tells partners when it changed. Runs for ever.
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
                    // Before our own Keystone, which may take its time.
                    self.poke_all(&[Topic::Descriptor]);
                    if let Err(error) = self.publisher.publish(false).await {
                        tracing::error!(%request_id, error = format!("{error:#}"), "the snapshot was not written");
                    }
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
            self.catalog.wait(pause).await;
        }
    }

    async fn read_own_catalog(&self, request_id: RequestId) -> anyhow::Result<bool> {
        let settings = &self.config.catalog;
        let request_id = request_id.to_string();
        let found = self.keystone.catalog(&request_id, &settings.interfaces);
        let Catalog {
            mut regions,
            service_types,
            region_ids,
        } = found.await?;
        let offer = &settings.offer;
        let offered = |kind: &String| {
            kind == IDENTITY || offer.iter().any(|word| word == "*" || word == kind)
        };
        for region in &mut regions {
            region.services.retain(|service| offered(&service.kind));
        }
        self.catalog.replace(Offer {
            regions,
            service_types,
            region_ids,
        })
    }

    /// Reads the version documents of what this cloud offers, each every `refresh`, and tells partners
    /// when one says something else. Runs for ever.
    pub(crate) async fn follow_own_versions(self: Arc<Self>, refresh: Duration) {
        let mut read: HashMap<Url, Instant> = HashMap::new();
        loop {
            let mut documents = self.catalog.documents();
            read.retain(|root, _| documents.contains(root));
            documents.retain(|root| read.get(root).is_none_or(|at| at.elapsed() >= refresh));
            read.extend(documents.iter().map(|root| (root.clone(), Instant::now())));
            let reading = documents.into_iter().map(|root| async {
                let found = versions::read(&root).await;
                (root, found)
            });
            let mut reading = stream::iter(reading).buffer_unordered(DOCUMENTS_AT_ONCE);
            let mut changed = false;
            while let Some((root, found)) = reading.next().await {
                match found {
                    Ok(found) => changed |= self.catalog.learn(root, found),
                    Err(error) => {
                        tracing::debug!(
                            error = format!("{:#}", anyhow::Error::from(error)),
                            "the versions of an API were not read; partners see the last ones"
                        );
                    }
                }
            }
            if changed {
                self.poke_all(&[Topic::Descriptor]);
            }
            self.catalog.other_documents(refresh).await;
        }
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
        let stored = known.facts.descriptor.as_ref();
        let last = stored.and_then(|stored| self.heard.last(stored, now()));
        let known_as = last.as_ref().map(|last| last.etag.as_str());
        let mut is_changed = false;
        let status = match client.descriptor(request_id, known_as).await {
            Ok((news, contact)) => {
                self.border.answered(cloud_id, Some(contact), now());
                match news {
                    DescriptorNews::Told { answer, etag } => {
                        is_changed = self.believe(known, &answer.descriptor).await?;
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
        if known.partner.role.is_host() {
            let (received, etag): (Vec<Received>, _) = if status == Status::Active {
                let answer = client.agreements(request_id).await?;
                if let Some(states) = &answer.contracts {
                    self.follow_contracts(known, client, states, request_id)
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
            .set_seen(cloud_id, Some(status), now())
            .await?;
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
        self.store.partners().set_descriptor(&descriptor).await?;
        Ok(last.is_none_or(|last| !last.says_the_same(&descriptor.claims)))
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
        id: offer.id,
        version: offer.version,
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

    use alliance_core::descriptor::{Descriptor, Endpoint, Region, Service};
    use alliance_peer::identity::Identity;

    use super::*;
    use crate::daemon::bed::fake_home::FakeHome;
    use crate::daemon::bed::{Bed, Failure, Served};

    /// East, a host, and west, a partner that says of itself what the test wants.
    struct Stage {
        east: Bed,
        west: Arc<FakeHome>,
        _served: Served,
    }

    impl Stage {
        async fn new() -> Result<Self, Failure> {
            let (east, west, served) = Bed::with_home().await?;
            Ok(Self {
                east,
                west,
                _served: served,
            })
        }

        async fn pull(&self) -> anyhow::Result<StoredDescriptor> {
            let daemon = &self.east.daemon;
            let partners = daemon.directory.partners();
            let known = partners.by_cloud(self.west.identity.cloud_id());
            let known = known.context("west is no partner")?;
            daemon.pull_facts(known, RequestId::random()).await?;
            self.stored().await
        }

        async fn stored(&self) -> anyhow::Result<StoredDescriptor> {
            let daemon = &self.east.daemon;
            daemon.directory.reload().await?;
            let partners = daemon.directory.partners();
            let known = partners.by_cloud(self.west.identity.cloud_id());
            let facts = known.map(|known| known.facts.descriptor.clone());
            facts.flatten().context("west has no descriptor")
        }

        /// What west says from now on: its descriptor with a change, signed by itself.
        fn says(&self, change: impl Fn(&mut Descriptor) + Send + 'static) {
            self.west.does(|script| script.describe = Box::new(change));
        }
    }

    #[tokio::test]
    async fn a_descriptor_that_says_the_same_is_not_pulled_again() -> Result<(), Failure> {
        let stage = Stage::new().await?;
        let first = stage.pull().await?;
        // Signed anew, a second later.
        stage.says(|descriptor| descriptor.iat += 1);
        assert_eq!(stage.pull().await?.jws, first.jws);
        stage.says(|descriptor| descriptor.name = "another".into());
        assert_eq!(stage.pull().await?.claims.name, "another");
        Ok(())
    }

    #[tokio::test]
    async fn every_answer_measures_the_way_and_only_one_that_says_something_new_is_a_change()
    -> Result<(), Failure> {
        let stage = Stage::new().await?;
        let shown = async || -> anyhow::Result<_> {
            stage.pull().await?;
            let daemon = &stage.east.daemon;
            let partners = daemon.directory.partners();
            let known = partners.by_cloud(stage.west.identity.cloud_id());
            let view = daemon
                .border
                .view(known.context("west is no partner")?, now());
            let measured = view.round_trips.map(|measured| measured.count);
            Ok((measured, view.version.is_some(), view.last_change.is_some()))
        };
        assert_eq!(shown().await?, (Some(1), true, false), "told");
        assert_eq!(shown().await?, (Some(2), true, false), "the same");
        stage.says(|descriptor| descriptor.name = "another".into());
        assert_eq!(shown().await?, (Some(3), true, true), "something new");
        Ok(())
    }

    #[tokio::test]
    async fn a_descriptor_that_is_older_than_the_one_known_is_refused() -> Result<(), Failure> {
        let stage = Stage::new().await?;
        stage.pull().await?;
        stage.says(|descriptor| {
            descriptor.iat -= SET_BACK + 60;
            descriptor.name = "yesterday".into();
        });
        let error = stage.pull().await.err().ok_or("set back")?;
        assert!(error.to_string().contains("older than the one"), "{error}");
        assert_eq!(stage.stored().await?.claims.name, "test");
        Ok(())
    }

    #[tokio::test]
    async fn a_descriptor_of_another_cloud_or_by_another_key_is_refused() -> Result<(), Failure> {
        let stage = Stage::new().await?;
        let thief = Identity::ephemeral()?;
        let (id, key) = (thief.cloud_id().clone(), thief.identity_key().public());
        let jwk = key.to_jwk();
        stage.says(move |descriptor| {
            descriptor.iss = id.clone();
            descriptor.name = "thief".into();
        });
        assert!(stage.pull().await.is_err());
        stage.says(move |descriptor| {
            descriptor.identity_key = jwk.clone();
            descriptor.name = "thief".into();
        });
        assert!(stage.pull().await.is_err());
        assert_eq!(stage.stored().await?.claims.name, "test");
        Ok(())
    }

    #[tokio::test]
    async fn a_descriptor_that_is_too_long_is_refused_and_the_last_one_stays() -> Result<(), Failure>
    {
        let stage = Stage::new().await?;
        stage.says(|descriptor| {
            let endpoint = Endpoint {
                interface: "public".into(),
                url: "https://west.example".into(),
            };
            descriptor.regions = vec![Region {
                id: "west".into(),
                services: vec![Service {
                    kind: "image".into(),
                    name: "glance".into(),
                    endpoints: vec![endpoint; 2000],
                    versions: Vec::new(),
                }],
            }];
        });
        let error = stage.pull().await.err().ok_or("too much")?;
        assert!(format!("{error:#}").contains("bytes"), "{error:#}");
        assert_eq!(stage.stored().await?.claims.regions, []);
        Ok(())
    }

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
