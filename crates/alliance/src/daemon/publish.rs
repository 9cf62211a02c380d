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
    /// What could not be written, until something is.
    unwritten: Mutex<Option<Snapshot>>,
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
            unwritten: Mutex::default(),
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

    /// As [`Publisher::health`], a little later where it is just being told.
    pub(crate) async fn settled(&self) -> Health {
        let mut state = self.state.subscribe();
        let is_told = state.wait_for(|state| state.acknowledged >= state.written);
        // Where it is not told in time, that is what there is to say.
        let _ = timeout(ACK_WAIT, is_told).await;
        self.health()
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
        if self.unwritten().is_some() {
            let detail = "what is so now was not written for Keystone's plugin; the daemon's log says why, and it is tried again";
            return Health {
                ok: false,
                detail: detail.to_owned(),
            };
        }
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

    /// Of what cannot be written Keystone is told at least to forget what it remembers: it asks about each token
    /// then, and the daemon knows what is so. Once for each change: it costs all local users.
    fn forgets_instead(&self, snapshot: Snapshot) {
        let mut unwritten = self.unwritten();
        let is_known = |last: &Snapshot| last.same_content(&snapshot);
        if !unwritten.as_ref().is_some_and(is_known) {
            *unwritten = Some(snapshot);
            self.end_sessions([], true);
        }
    }

    fn unwritten(&self) -> MutexGuard<'_, Option<Snapshot>> {
        self.unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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
            *self.unwritten() = None;
            turn.done_as_before();
            return Ok(generation);
        }
        let secret = match self.put_in_place(&mut snapshot).await {
            Ok(secret) => secret,
            Err(error) => {
                self.forgets_instead(snapshot);
                return Err(error);
            }
        };
        let generation = snapshot.generation;
        *self.unwritten() = None;
        self.bell().change(secret, generation);
        self.state.send_modify(|state| state.written = generation);
        self.wake.notify_one();
        // Whoever is next rings after that.
        turn.done(Some(snapshot));
        Ok(generation)
    }

    /// Gives a snapshot its generation and its secret, which is returned, and writes it.
    async fn put_in_place(&self, snapshot: &mut Snapshot) -> anyhow::Result<String> {
        snapshot.generation = self.store.meta().next_generation().await?;
        let random: [u8; 32] = rand::random();
        let secret = format!("{RING_PREFIX}{}", BASE64URL_NOPAD.encode(&random));
        snapshot.ring = Some(HEXLOWER.encode(&Sha256::digest(&secret)));
        let path = &self.settings.path;
        let content = serde_json::to_vec(snapshot).context("writing the snapshot as JSON")?;
        files::replace(path, &content, self.settings.group)
            .with_context(|| format!("writing {} for Keystone's plugin", path.display()))?;
        Ok(secret)
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
pub(crate) mod tests;
