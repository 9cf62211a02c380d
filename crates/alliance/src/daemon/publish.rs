//! Telling Keystone: the snapshot file, and the doorbell that makes every Keystone worker read it
//! and drop what it cached.

mod bell;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alliance_cloud::keystone::{Keystone, KeystoneError};
use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::descriptor::Jwk;
use alliance_core::snapshot::{Inputs, PartnerInputs, Snapshot};
use alliance_peer::request_id::RequestId;
use alliance_store::{EndedSession, Store};
use anyhow::Context;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use self::bell::{Bell, RING_PREFIX};
use super::border::Border;
use super::clock::now;
use super::directory::{Directory, Known};
use super::files;
use super::metrics::{Metrics, RingLabels};
use super::own_catalog::OwnCatalog;
use super::turns::Turns;
use crate::wire::{
    Applied, DoorbellAck, DoorbellDone, DoorbellQuestion, DoorbellWork, Health, ProjectToMake,
};

/// The file's name in the state directory.
pub(crate) const SNAPSHOT: &str = "keystone.json";
/// How long a change waits for Keystone's acknowledgement before it says that it is still missing. In this
/// crate's own tests there is no Keystone.
const ACK_WAIT: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 2000 });
/// Pauses between rings that nobody answered.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How often is rung to see whether anybody hears it.
const TRIALS: usize = 3;

/// Rings about sessions are not closer together than this.
const SIGN_OUT_PAUSE: Duration = Duration::from_millis(500);

/// Writes the snapshot and rings.
pub(crate) struct Publisher {
    directory: Arc<Directory>,
    store: Store,
    keystone: Arc<Keystone>,
    catalog: Arc<OwnCatalog>,
    border: Arc<Border>,
    metrics: Arc<Metrics>,
    settings: Settings,
    bell: Mutex<Bell>,
    state: watch::Sender<State>,
    wake: Notify,
    writing: Turns<Option<Snapshot>>,
}

/// What the publisher must know.
pub(crate) struct Settings {
    /// This cloud.
    pub cloud_id: CloudId,
    /// What it calls itself.
    pub cloud_name: String,
    /// The key that signs attestations.
    pub cloud_key: Jwk,
    /// `[tokens] guest_grace`
    pub guest_grace: Duration,
    /// Where the file goes.
    pub path: PathBuf,
    /// The group that may read it.
    pub group: Option<u32>,
}

/// Why a partner's project is not in our Keystone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotMade {
    /// Keystone's plugin says why.
    #[error("{0}")]
    Refused(String),
    /// It is asked for again.
    #[error("Keystone has not made the project yet")]
    NoAnswer,
}

#[derive(Debug, Clone, Default)]
struct State {
    written: u64,
    acknowledged: u64,
    /// Why the last ring was not acknowledged.
    last_error: Option<String>,
    /// Since when none was.
    deaf_since: Option<Seconds>,
    /// What the plugin said, if it heard the ring and failed.
    plugin_error: Option<String>,
    /// Since when it cannot take grants away that no agreement allows, and what it said.
    unswept: Option<(Seconds, String)>,
}

impl State {
    /// A plugin did what is new.
    fn hears(&mut self) {
        (self.last_error, self.deaf_since) = (None, None);
        self.plugin_error = None;
    }
}

impl Publisher {
    /// Nothing written yet.
    pub(crate) fn new(
        directory: Arc<Directory>,
        store: Store,
        keystone: Arc<Keystone>,
        catalog: Arc<OwnCatalog>,
        border: Arc<Border>,
        metrics: Arc<Metrics>,
        settings: Settings,
    ) -> Self {
        Self {
            directory,
            store,
            keystone,
            catalog,
            border,
            metrics,
            settings,
            bell: Mutex::default(),
            state: watch::Sender::default(),
            wake: Notify::new(),
            writing: Turns::default(),
        }
    }

    /// Writes the file if its content changed, rings, and waits a little until Keystone has
    /// acknowledged what the file says, whoever wrote it. With `always`, rings even if nothing
    /// changed.
    ///
    /// # Errors
    /// If the file cannot be written: Keystone goes on with the old one.
    pub(crate) async fn publish(&self, always: bool) -> anyhow::Result<Applied> {
        let generation = self.write(always).await?;
        let mut state = self.state.subscribe();
        let acknowledged = state.wait_for(|state| state.acknowledged >= generation);
        match timeout(ACK_WAIT, acknowledged).await {
            Ok(Ok(_)) => Ok(Applied {
                keystone_told: true,
                detail: None,
            }),
            _ => {
                let reason = self.state.borrow().last_error.clone();
                let reason = reason.unwrap_or_else(|| "no acknowledgement yet".to_owned());
                Ok(Applied {
                    keystone_told: false,
                    detail: Some(format!(
                        "stored, but Keystone's caches were not told ({reason}). The daemon keeps trying; until then answers that Keystone cached remain valid for up to [token] cache_time"
                    )),
                })
            }
        }
    }

    /// Our Keystone must know that these sessions have ended, and with `flush` that what it remembers
    /// of others does not count any more. It is rung soon.
    pub(crate) fn end_sessions(&self, ended: impl IntoIterator<Item = EndedSession>, flush: bool) {
        self.bell().end_sessions(ended, flush);
        self.wake.notify_one();
    }

    /// The same of those that an instance has left untold. One that was not there the last time is not: it is
    /// just being told.
    pub(crate) fn end_left_sessions(&self, untold: Vec<EndedSession>) {
        let left = self.bell().left_again(untold);
        if !left.is_empty() {
            self.end_sessions(left, false);
        }
    }

    /// Waits until our Keystone knows of these, at most for `patience`.
    pub(crate) async fn knows_of(&self, sessions: &BTreeSet<String>, patience: Duration) -> bool {
        timeout(patience, self.has_told(sessions)).await.is_ok()
    }

    /// Waits until our Keystone knows of these.
    pub(crate) async fn has_told(&self, sessions: &BTreeSet<String>) {
        let mut state = self.state.subscribe();
        let told = state.wait_for(|_| self.bell().has_told(sessions)).await;
        told.map(drop).unwrap_or_default();
    }

    /// Has our Keystone make a partner's project, if it is not there.
    ///
    /// # Errors
    /// Why it is not there.
    pub(crate) async fn make_project(
        &self,
        wanted: ProjectToMake,
        patience: Duration,
    ) -> Result<(), NotMade> {
        let mut state = self.state.subscribe();
        let here = self.bell().make_project(wanted);
        self.wake.notify_one();
        let said = state.wait_for(|_| self.bell().made(&here).is_some());
        // Without an answer it is said below what is known.
        let _ = timeout(patience, said).await;
        match self.bell().made(&here) {
            Some(Ok(())) => Ok(()),
            Some(Err(why)) => Err(NotMade::Refused(why)),
            None => Err(NotMade::NoAnswer),
        }
    }

    /// What our Keystone must do; `None` if the question's secret, what follows [`RING_PREFIX`], is not
    /// that of the newest snapshot.
    pub(crate) fn answer(&self, question: &DoorbellQuestion) -> Option<DoorbellWork> {
        let begin = Instant::now();
        let mut bell = self.bell();
        let is_lost = bell.is_rung_by(&question.secret) && bell.is_sweeper_lost(begin);
        let work = bell.answer(question, begin);
        drop(bell);
        if is_lost {
            let error = "the plugin that was asked has not said what became of it".to_owned();
            tracing::warn!(
                error,
                "Keystone may not have taken away grants that no agreement allows; it is asked again"
            );
            self.state.send_modify(|state| {
                state.unswept.get_or_insert_with(|| (now(), error));
            });
        }
        work
    }

    /// The plugin has done what it was told. Returns the sessions that it knows of now, or `None` if
    /// `ack.ring`, what follows [`RING_PREFIX`], is not that of the newest snapshot.
    pub(crate) fn acknowledge(&self, ack: &DoorbellAck) -> Option<Vec<String>> {
        let node = &ack.node;
        let mut bell = self.bell();
        if !bell.is_rung_by(&ack.ring) {
            return None;
        }
        bell.heard += 1;
        if !bell.is_pending() {
            return Some(Vec::new());
        }
        if let Some(error) = &ack.error {
            tracing::error!(
                node,
                error,
                "Keystone heard the doorbell, but failed to apply the change"
            );
            let error = format!("{node}: {error}");
            bell.failed += 1;
            drop(bell);
            self.state
                .send_modify(|state| state.plugin_error = Some(error));
            return Some(Vec::new());
        }
        let (generation, told) = bell.done(ack);
        let is_swept = bell.is_swept();
        drop(bell);
        tracing::debug!(
            node,
            generation,
            sessions = told.len(),
            "Keystone acknowledged"
        );
        self.state.send_modify(|state| {
            state.acknowledged = state.acknowledged.max(generation.unwrap_or_default());
            state.hears();
            state.unswept.take_if(|_| is_swept);
        });
        Some(told)
    }

    /// The plugin has done what takes its time, or failed. Returns whether it was asked so: by `done.ring`,
    /// what follows [`RING_PREFIX`], of the newest snapshot or of the one since which it sweeps or makes projects.
    pub(crate) fn acknowledge_later(&self, done: &DoorbellDone) -> bool {
        let mut bell = self.bell();
        if !bell.done_later(done, Instant::now()) {
            return false;
        }
        let (is_swept, has_news) = (bell.is_swept(), bell.has_news());
        drop(bell);
        let (node, error) = (&done.node, &done.error);
        match (error, done.sweep) {
            (None, sweep) => tracing::debug!(node, sweep, "Keystone has done the rest"),
            (Some(error), None) => {
                tracing::error!(node, error, "Keystone failed to make projects of partners");
            }
            (Some(error), Some(_)) => tracing::error!(
                node,
                error,
                "Keystone failed to take grants away that no agreement allows; they are of no use to tokens of partners, and it is asked again"
            ),
        }
        let failed = error.as_ref().filter(|_| done.sweep.is_some() && !is_swept);
        self.state.send_modify(|state| {
            if let Some(error) = failed {
                let unswept = state.unswept.get_or_insert((now(), String::new()));
                unswept.1 = format!("{node}: {error}");
            }
            let is_done = done.sweep.is_some() && error.is_none();
            state.unswept.take_if(|_| is_swept || is_done);
            if !has_news {
                state.hears();
            }
        });
        self.wake.notify_one();
        true
    }

    fn bell(&self) -> MutexGuard<'_, Bell> {
        self.bell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when our Keystone acknowledges no ring, or fails to take grants away; `None` if it does.
    pub(crate) fn deaf_since(&self) -> Option<Seconds> {
        let state = self.state.borrow();
        let unswept = state.unswept.as_ref().map(|(since, _)| *since);
        state.deaf_since.or(unswept)
    }

    /// Whether Keystone answers the doorbell now, and none of its plugins comes to ask what it is about. Where
    /// nothing new is to be done, that costs Keystone one look at a string. No where Keystone is silent, or has
    /// still to be told something: that is found elsewhere.
    pub(crate) async fn is_unheard(&self) -> bool {
        let begin = Instant::now();
        let mut is_unheard = false;
        for trial in 0..TRIALS {
            if trial > 0 {
                // A plugin that was at it has done by then.
                sleep(FIRST_PAUSE).await;
            }
            let Some((secret, heard)) = self.bell().idle(Instant::now()) else {
                return false;
            };
            let request_id = RequestId::random().to_string();
            let ring = self.keystone.ring(&secret, &request_id);
            let left = ACK_WAIT.saturating_sub(begin.elapsed());
            let Ok(Ok(())) = timeout(left, ring).await else {
                break;
            };
            if self.bell().idle(Instant::now()) != Some((secret, heard)) {
                return false;
            }
            is_unheard = true;
        }
        is_unheard
    }

    /// For `alliance status`: whether Keystone knows what is so now, and has taken away what no agreement
    /// allows.
    pub(crate) fn health(&self) -> Health {
        let told = self.told();
        let unswept = self.state.borrow().unswept.clone();
        match unswept.filter(|_| told.ok) {
            None => told,
            Some((_, error)) => Health {
                ok: false,
                detail: format!(
                    "{}, and failed to take grants away that no agreement allows: {error}",
                    told.detail
                ),
            },
        }
    }

    /// Whether Keystone knows what is so now.
    pub(crate) fn told(&self) -> Health {
        let state = self.state.borrow();
        let ok = state.acknowledged >= state.written;
        Health {
            ok,
            detail: match (&state.last_error, ok) {
                (_, true) => format!("Keystone has acknowledged state {}", state.written),
                (Some(error), false) => format!(
                    "Keystone has not acknowledged state {}: {error}",
                    state.written
                ),
                (None, false) => {
                    format!("Keystone has not acknowledged state {} yet", state.written)
                }
            },
        }
    }

    /// Rings until acknowledged, whenever something is pending. Runs for ever.
    pub(crate) async fn ring_when_needed(&self) {
        let mut pause = FIRST_PAUSE;
        let mut last: Option<Instant> = None;
        loop {
            let (pending, next) = {
                let bell = self.bell();
                (bell.pending(Instant::now()), bell.next())
            };
            let Some((secret, is_change)) = pending else {
                pause = FIRST_PAUSE;
                let patience = next.map_or(Duration::MAX, |next| {
                    next.saturating_duration_since(Instant::now())
                });
                // Then another plugin is asked.
                let _ = timeout(patience, self.wake.notified()).await;
                continue;
            };
            // Each costs all local users what Keystone remembers of their tokens.
            let early = last.filter(|last| !is_change && last.elapsed() < SIGN_OUT_PAUSE);
            if let Some(last) = early {
                sleep(SIGN_OUT_PAUSE.saturating_sub(last.elapsed())).await;
                // Meanwhile something may have changed, or somebody else have rung.
                continue;
            }
            last = Some(Instant::now());
            let done = self.bell().done;
            let request_id = RequestId::random();
            let rung = self.ring(secret.clone(), request_id).await;
            let (acknowledged, replaced) = {
                let bell = self.bell();
                // What was to be done may have been said to be done meanwhile.
                let nothing_left = bell.pending(Instant::now()).is_none();
                (
                    bell.done != done || nothing_left,
                    bell.secret.as_deref() != Some(&secret),
                )
            };
            if replaced && !acknowledged {
                // Not heard, as far as anybody can say, for as long as that goes on.
                self.state
                    .send_modify(|state| _ = state.deaf_since.get_or_insert_with(now));
                continue;
            }
            let result = if acknowledged {
                "acknowledged"
            } else {
                "failed"
            };
            self.metrics
                .rings
                .get_or_create(&RingLabels { result })
                .inc();
            if acknowledged {
                pause = FIRST_PAUSE;
                continue;
            }
            let error = match rung {
                Err(error) => error.to_string(),
                Ok(()) => self.state.borrow().plugin_error.clone().unwrap_or_else(|| {
                    "Keystone answered, but no plugin acknowledged; is [token] provider = alliance, and does [alliance] snapshot name this daemon's file?".to_owned()
                }),
            };
            tracing::warn!(%request_id, error, "Keystone did not acknowledge the doorbell");
            self.state.send_modify(|state| {
                // Unless a plugin has said just now that it is done.
                if self.bell().pending(Instant::now()).is_some() {
                    state.last_error = Some(error);
                    state.deaf_since.get_or_insert_with(now);
                }
            });
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                () = self.wake.notified() => pause = FIRST_PAUSE,
            }
        }
    }

    /// Rings until Keystone answers, or a plugin is ready with what is new: it may then be at it for long
    /// with what nobody waits for, and Keystone answers when that is over. The same if meanwhile is to be rung
    /// otherwise.
    async fn ring(&self, secret: String, request_id: RequestId) -> Result<(), KeystoneError> {
        let mut state = self.state.subscribe();
        let before = self.bell().said();
        let keystone = Arc::clone(&self.keystone);
        let begun = secret.clone();
        let ring = async move { keystone.ring(&begun, &request_id.to_string()).await };
        let mut ring = Box::pin(ring);
        let is_over = |_: &State| {
            let bell = self.bell();
            let is_done = bell.pending(Instant::now()).is_none();
            is_done || bell.said() != before || bell.secret.as_ref() != Some(&secret)
        };
        tokio::select! {
            rung = &mut ring => return rung,
            _ = state.wait_for(is_over) => {}
        }
        // A plugin that has nothing else to do hears the next one when this one is answered.
        timeout(FIRST_PAUSE, &mut ring).await.unwrap_or_else(|_| {
            tokio::spawn(ring);
            Ok(())
        })
    }

    /// The generation that says what is so now. Who calls while it is being written shares the next one: a
    /// thousand partners may fall silent at once.
    async fn write(&self, always: bool) -> anyhow::Result<u64> {
        let turn = self.writing.next().await;
        if let Some(last) = turn.last().as_ref().filter(|_| turn.is_done())
            && !always
        {
            return Ok(last.generation);
        }
        let partners = self.directory.partners();
        let at = now();
        let all = partners.all().into_iter();
        let inputs: Vec<PartnerInputs> = all
            .map(|known| inputs_of(known, self.border.is_hidden(known, at)))
            .collect();
        let own = self.catalog.current();
        let inputs = Inputs {
            cloud_id: &self.settings.cloud_id,
            cloud_name: &self.settings.cloud_name,
            cloud_keys: std::slice::from_ref(&self.settings.cloud_key),
            own_service_types: &own.service_types,
            guest_grace: self.settings.guest_grace.as_secs().cast_signed(),
            partners: &inputs,
            showing: &self.catalog.showing(),
            now: at,
        };
        let mut snapshot = Snapshot::build(&inputs, 0, None);
        let last = turn.last().as_ref();
        if let Some(last) = last.filter(|last| last.same_content(&snapshot))
            && !always
        {
            let generation = last.generation;
            turn.done_as_before();
            return Ok(generation);
        }
        snapshot.generation = self.store.meta().next_generation().await?;
        let random: [u8; 32] = rand::random();
        let secret = format!("{RING_PREFIX}{}", BASE64URL_NOPAD.encode(&random));
        snapshot.ring = Some(HEXLOWER.encode(&Sha256::digest(&secret)));
        let generation = snapshot.generation;
        let path = &self.settings.path;
        let content = serde_json::to_vec(&snapshot).context("writing the snapshot as JSON")?;
        files::replace(path, &content, self.settings.group)
            .with_context(|| format!("writing {} for Keystone's plugin", path.display()))?;
        self.bell().change(secret, generation);
        self.state.send_modify(|state| state.written = generation);
        self.wake.notify_one();
        // Whoever is next rings after that.
        turn.done(Some(snapshot));
        Ok(generation)
    }
}

fn inputs_of(known: &Arc<Known>, is_hidden: bool) -> PartnerInputs {
    let (keys, regions) = known.descriptor().map_or_else(Default::default, |told| {
        (told.signing_keys.clone(), told.regions.clone())
    });
    PartnerInputs {
        partner: known.partner.clone(),
        keys,
        attested: known.is_attested(),
        untagged: known
            .plain()
            .map(|plain| plain.access.formats.clone())
            .unwrap_or_default(),
        regions,
        given: known.given.clone(),
        received: known.facts.received.clone(),
        login: known.policy.login,
        is_hidden,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use alliance_cloud::keystone;
    use alliance_core::partner::Status;
    use alliance_peer::identity::Identity;
    use axum::Router;
    use axum::routing::get;
    use http::{HeaderMap, StatusCode};
    use tempfile::TempDir;

    use super::*;
    use crate::daemon::directory::tests::knows_west;

    /// The sessions that our Keystone is still to be told of, and how often it was to forget what it
    /// remembers.
    pub(crate) fn to_be_told(publisher: &Publisher) -> (Vec<String>, u64) {
        let bell = publisher.bell();
        (bell.sessions.keys().cloned().collect(), bell.flushes.0)
    }

    fn publisher(
        directory: &Arc<Directory>,
        store: &Store,
        folder: &TempDir,
    ) -> Result<Publisher, Box<dyn std::error::Error>> {
        publisher_to(nobodys_keystone()?, directory, store, folder)
    }

    fn publisher_to(
        keystone: Keystone,
        directory: &Arc<Directory>,
        store: &Store,
        folder: &TempDir,
    ) -> Result<Publisher, Box<dyn std::error::Error>> {
        Ok(Publisher::new(
            Arc::clone(directory),
            store.clone(),
            Arc::new(keystone),
            Arc::default(),
            Arc::new(Border::new(None)),
            Arc::new(Metrics::new()),
            Settings {
                cloud_id: directory.cloud_id().clone(),
                cloud_name: "east".into(),
                cloud_key: Identity::ephemeral()?.signing_key().public().to_jwk(),
                guest_grace: Duration::from_secs(900),
                path: folder.path().join(SNAPSHOT),
                group: None,
            },
        ))
    }

    /// Where no Keystone answers.
    pub(crate) fn nobodys_keystone() -> Result<Keystone, Box<dyn std::error::Error>> {
        keystone_at("http://127.0.0.1:1/v3")
    }

    fn keystone_at(url: &str) -> Result<Keystone, Box<dyn std::error::Error>> {
        Ok(Keystone::new(keystone::Settings {
            auth_url: url.parse()?,
            ca_file: None,
            username: "alliance".into(),
            password: "none".into(),
            user_domain_name: "Default".into(),
            project_name: "service".into(),
            project_domain_name: "Default".into(),
            reads: keystone::Reads::BySystem,
            region: None,
            interface: "public".into(),
            timeout: Duration::from_secs(60),
        })?)
    }

    #[tokio::test]
    async fn a_descriptor_that_was_only_signed_anew_writes_no_snapshot()
    -> Result<(), Box<dyn std::error::Error>> {
        let (directory, store, west, folder) = knows_west().await?;
        let publisher = publisher(&directory, &store, &folder)?;
        let written = publisher.write(false).await?;
        let says = async |later: i64, url: &str| {
            let record = store.partners().by_cloud_id(&west).await?;
            let told = record.and_then(|record| record.facts.descriptor);
            let mut told = told.ok_or("no descriptor")?;
            told.claims.iat += later;
            told.claims.exp += later;
            told.claims.signing_keys[0].kid = url.to_owned();
            store
                .partners()
                .set_descriptor(&told, Some(&told.jws))
                .await?;
            directory.reload().await?;
            Ok::<_, Box<dyn std::error::Error>>(publisher.write(false).await?)
        };
        let changed = says(0, "key 1").await?;
        assert!(changed > written);
        for later in 1..10 {
            assert_eq!(says(later, "key 1").await?, changed);
        }
        assert!(says(0, "key 2").await? > changed);
        Ok(())
    }

    #[tokio::test]
    async fn who_changes_nothing_is_not_told_that_keystone_knows_what_it_does_not()
    -> Result<(), Box<dyn std::error::Error>> {
        let (directory, store, west, folder) = knows_west().await?;
        let publisher = publisher(&directory, &store, &folder)?;
        publisher.write(true).await?;
        assert!(publisher.acknowledge(&ack(&publisher)).is_some());
        assert!(publisher.publish(false).await?.keystone_told);
        store
            .partners()
            .set_status(&west, Status::Suspended, 10)
            .await?;
        directory.reload().await?;
        // Two that publish the same change at once: one of them finds it written.
        let (one, other) = tokio::join!(publisher.publish(false), publisher.publish(false));
        assert!(!one?.keystone_told);
        assert!(!other?.keystone_told);
        Ok(())
    }

    fn question(random: &str, knows_later: bool) -> DoorbellQuestion {
        DoorbellQuestion {
            secret: random.to_owned(),
            knows_later,
        }
    }

    #[tokio::test]
    async fn while_keystone_takes_grants_away_it_hears_of_changes_and_of_sessions()
    -> Result<(), Box<dyn std::error::Error>> {
        let (directory, store, west, folder) = knows_west().await?;
        let rung: Arc<Mutex<Option<Arc<Publisher>>>> = Arc::default();
        let (plugin, swept) = (Arc::clone(&rung), Arc::<Mutex<Vec<u64>>>::default());
        let sweeps = Arc::clone(&swept);
        let keystone = keystone_with(move |secret| {
            let rung = plugin.lock().unwrap_or_else(PoisonError::into_inner);
            let random = secret.strip_prefix(RING_PREFIX);
            let Some((rung, random)) = rung.as_ref().zip(random) else {
                return Duration::ZERO;
            };
            let Some(work) = rung.answer(&question(random, true)) else {
                return Duration::ZERO;
            };
            let batch = Some(work.batch);
            let told = rung.acknowledge(&DoorbellAck { batch, ..ack(rung) });
            assert!(told.is_some());
            let Some(sweep) = work.later.and_then(|later| later.sweep) else {
                return Duration::ZERO;
            };
            let mut sweeps = sweeps.lock().unwrap_or_else(PoisonError::into_inner);
            sweeps.push(sweep);
            Duration::from_secs(3600)
        });
        let publisher = publisher_to(keystone.await?, &directory, &store, &folder)?;
        let publisher = Arc::new(publisher);
        *rung.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&publisher));
        let rings = Arc::clone(&publisher);
        tokio::spawn(async move { rings.ring_when_needed().await });

        let patience = Duration::from_secs(30);
        let first = publisher.write(true).await?;
        let mut state = publisher.state.subscribe();
        timeout(
            patience,
            state.wait_for(|state| state.acknowledged == first),
        )
        .await??;
        publisher.end_sessions([ended("a", &west)], true);
        assert!(publisher.knows_of(&["a".to_owned()].into(), patience).await);
        let second = publisher.write(true).await?;
        timeout(
            patience,
            state.wait_for(|state| state.acknowledged == second),
        )
        .await??;
        let secret = publisher.bell().secret.clone().unwrap_or_default();
        assert_eq!(
            *swept.lock().unwrap_or_else(PoisonError::into_inner),
            [first]
        );
        assert!(publisher.health().ok);

        let done = |sweep: u64, error: Option<&str>| DoorbellDone {
            ring: secret[RING_PREFIX.len()..].to_owned(),
            node: "node".into(),
            error: error.map(str::to_owned),
            sweep: Some(sweep),
            projects: BTreeMap::new(),
        };
        // It has failed: who is on call is told, though Keystone knows all.
        assert!(publisher.acknowledge_later(&done(first, Some("no database"))));
        assert!(publisher.deaf_since().is_some());
        let health = publisher.health();
        assert!(
            !health.ok && health.detail.contains("node: no database"),
            "{health:?}"
        );
        assert!(publisher.told().ok, "what is new is known");
        assert!(publisher.acknowledge_later(&done(first, None)));
        assert!(publisher.health().ok, "it can");
        // What the second change takes away is another sweep.
        let swept = async {
            while *swept.lock().unwrap_or_else(PoisonError::into_inner) != [first, second] {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(patience, swept).await?;
        assert!(publisher.acknowledge_later(&done(second, None)));
        assert!(publisher.health().ok && publisher.deaf_since().is_none());
        // One that was asked before and comes late is not believed.
        assert!(publisher.acknowledge_later(&done(second, Some("no database"))));
        assert!(publisher.health().ok && publisher.deaf_since().is_none());
        Ok(())
    }

    #[tokio::test]
    async fn what_changes_after_keystone_has_asked_waits_for_no_answer_of_it()
    -> Result<(), Box<dyn std::error::Error>> {
        let (directory, store, _west, folder) = knows_west().await?;
        let rung: Arc<Mutex<Option<Arc<Publisher>>>> = Arc::default();
        let plugin = Arc::clone(&rung);
        let keystone = keystone_with(move |secret| {
            let rung = plugin.lock().unwrap_or_else(PoisonError::into_inner);
            let random = secret.strip_prefix(RING_PREFIX);
            let Some((rung, random)) = rung.as_ref().zip(random) else {
                return Duration::ZERO;
            };
            // It asks, and is then at it for long.
            let _ = rung.answer(&question(random, true));
            Duration::from_secs(3600)
        });
        let publisher = publisher_to(keystone.await?, &directory, &store, &folder)?;
        let publisher = Arc::new(publisher);
        *rung.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&publisher));
        let rings = Arc::clone(&publisher);
        tokio::spawn(async move { rings.ring_when_needed().await });
        let patience = Duration::from_secs(30);
        for heard in 1..=3 {
            publisher.write(true).await?;
            let is_heard = async {
                while publisher.bell().heard < heard {
                    sleep(Duration::from_millis(10)).await;
                }
            };
            timeout(patience, is_heard).await?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_ring_for_what_is_just_said_to_be_done_is_not_one_that_nobody_heard()
    -> Result<(), Box<dyn std::error::Error>> {
        let (directory, store, _west, folder) = knows_west().await?;
        let rung: Arc<Mutex<Option<Arc<Publisher>>>> = Arc::default();
        let plugin = Arc::clone(&rung);
        let keystone = keystone_with(move |secret| {
            let rung = plugin.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((rung, random)) = rung.as_ref().zip(secret.strip_prefix(RING_PREFIX)) {
                // Of another plugin, that was asked long ago.
                rung.acknowledge_later(&DoorbellDone {
                    ring: random.to_owned(),
                    node: "node".into(),
                    error: None,
                    sweep: rung.answer(&question(random, true)).map(|_| 1),
                    projects: BTreeMap::new(),
                });
            }
            Duration::ZERO
        });
        let publisher = publisher_to(keystone.await?, &directory, &store, &folder)?;
        let publisher = Arc::new(publisher);
        let sweep = publisher.write(true).await?;
        assert_eq!(sweep, 1);
        let secret = publisher.bell().secret.clone().unwrap_or_default();
        let work = publisher.answer(&question(&secret[RING_PREFIX.len()..], true));
        let batch = work.map(|work| work.batch);
        publisher.acknowledge(&DoorbellAck {
            batch,
            ..ack(&publisher)
        });
        publisher.bell().lose_sweeper();
        *rung.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&publisher));
        let rings = Arc::clone(&publisher);
        tokio::spawn(async move { rings.ring_when_needed().await });
        let counted = |result: &'static str| {
            let label = RingLabels { result };
            publisher.metrics.rings.get_or_create(&label).get()
        };
        let is_over = async {
            while counted("acknowledged") + counted("failed") == 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(30), is_over).await?;
        assert_eq!(counted("failed"), 0);
        assert!(publisher.health().ok && publisher.deaf_since().is_none());
        Ok(())
    }

    #[tokio::test]
    async fn who_should_take_grants_away_and_says_nothing_is_named()
    -> Result<(), Box<dyn std::error::Error>> {
        let (directory, store, _west, folder) = knows_west().await?;
        let publisher = publisher(&directory, &store, &folder)?;
        publisher.write(true).await?;
        let secret = publisher.bell().secret.clone().unwrap_or_default();
        let asked = question(&secret[RING_PREFIX.len()..], true);
        let batch = publisher.answer(&asked).map(|work| work.batch);
        publisher.acknowledge(&DoorbellAck {
            batch,
            ..ack(&publisher)
        });
        assert!(publisher.health().ok);
        publisher.bell().lose_sweeper();
        assert!(publisher.answer(&asked).is_some());
        let health = publisher.health();
        assert!(
            !health.ok && health.detail.contains("has not said"),
            "{health:?}"
        );
        Ok(())
    }

    fn ended(session: &str, cloud_id: &CloudId) -> EndedSession {
        EndedSession {
            session: session.to_owned(),
            cloud_id: cloud_id.clone(),
            user_id: "ann".to_owned(),
            expires_at: 100,
        }
    }

    /// What a plugin says that was rung by this publisher.
    fn ack(publisher: &Publisher) -> DoorbellAck {
        let secret = publisher.bell().secret.clone().unwrap_or_default();
        DoorbellAck {
            ring: secret[RING_PREFIX.len()..].to_owned(),
            node: "node".into(),
            error: None,
            batch: None,
            projects: None,
        }
    }

    /// Logs everybody in and knows no token. What it is asked about it hands to its plugin, which says how
    /// long it is at it.
    async fn keystone_with(
        plugin: impl Fn(&str) -> Duration + Clone + Send + Sync + 'static,
    ) -> Result<Keystone, Box<dyn std::error::Error>> {
        let log_in = || async {
            let body = r#"{"token": {"user": {"id": "u", "name": "alliance",
                "domain": {"id": "d", "name": "D"}}, "methods": ["password"], "audit_ids": ["a"],
                "issued_at": "2030-01-01T00:00:00Z", "expires_at": "2030-01-02T00:00:00Z"}}"#;
            (StatusCode::CREATED, [("x-subject-token", "own")], body)
        };
        let look_up = move |headers: HeaderMap| async move {
            let subject = headers.get("x-subject-token");
            let subject = subject.and_then(|subject| subject.to_str().ok());
            sleep(plugin(subject.unwrap_or_default())).await;
            let body = r#"{"error": {"message": "no such token", "code": 404}}"#;
            (StatusCode::NOT_FOUND, body)
        };
        let router = Router::new().route("/v3/auth/tokens", get(look_up).post(log_in));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let at = listener.local_addr()?;
        tokio::spawn(async move { axum::serve(listener, router).await });
        let keystone = keystone_at(&format!("http://{at}/v3"))?;
        // Its first token may take it longer.
        keystone.ring("ring~first", "req-1").await?;
        Ok(keystone)
    }

    /// Within a test's patience for a Keystone, a loaded machine may not answer at all.
    async fn is_found_unheard(publisher: &Publisher) -> bool {
        for _ in 0..20 {
            if publisher.is_unheard().await {
                return true;
            }
        }
        false
    }

    #[tokio::test]
    async fn a_doorbell_that_nobody_hears_is_found_though_nothing_is_to_be_said()
    -> Result<(), Box<dyn std::error::Error>> {
        let (directory, store, _west, folder) = knows_west().await?;
        let keystone = keystone_with(|_| Duration::ZERO).await?;
        let publisher = publisher_to(keystone, &directory, &store, &folder)?;
        assert!(!publisher.is_unheard().await, "there is no doorbell yet");
        publisher.write(true).await?;
        assert!(!publisher.is_unheard().await, "that is known already");
        publisher.acknowledge(&ack(&publisher));
        assert!(publisher.health().ok);
        assert!(is_found_unheard(&publisher).await);
        Ok(())
    }

    #[tokio::test]
    async fn a_doorbell_that_is_heard_or_whose_keystone_is_silent_is_not_taken_for_unheard()
    -> Result<(), Box<dyn std::error::Error>> {
        let (directory, store, _west, folder) = knows_west().await?;
        let silent = publisher(&directory, &store, &folder)?;
        silent.write(true).await?;
        silent.acknowledge(&ack(&silent));
        assert!(!silent.is_unheard().await);

        let rung: Arc<Mutex<Option<Arc<Publisher>>>> = Arc::default();
        let plugin = Arc::clone(&rung);
        let keystone = keystone_with(move |secret| {
            let rung = plugin.lock().unwrap_or_else(PoisonError::into_inner);
            if let (Some(rung), Some(random)) = (&*rung, secret.strip_prefix(RING_PREFIX)) {
                let _ = rung.answer(&question(random, true));
            }
            Duration::ZERO
        });
        let heard = publisher_to(keystone.await?, &directory, &store, &folder)?;
        let heard = Arc::new(heard);
        heard.write(true).await?;
        heard.acknowledge(&ack(&heard));
        let before = heard.bell().heard;
        *rung.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&heard));
        assert!(!is_found_unheard(&heard).await);
        assert!(heard.bell().heard > before);
        let told = heard.acknowledge(&ack(&heard));
        assert_eq!(told, Some(Vec::new()), "there was nothing to do");
        Ok(())
    }
}
