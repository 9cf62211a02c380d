//! Single sign-out at home: what ends a token here is noted, and hosts are told.
//!
//! Keystone's own tables are the source, read from where the last reading began. A poke of the plugin
//! says what was stored there, so that it is told at once, and costs no reading; or that there is
//! something to read. What leaves no event there is in the poke itself, or is found by comparing what is
//! disabled now with what was.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alliance_cloud::keystone::KeystoneError;
use alliance_core::cloud::CloudId;
use alliance_core::label::clean;
use alliance_core::partner::Partner;
use alliance_core::refusal::Reason;
use alliance_core::revocation::RevocationEvent;
use alliance_core::sign_out::{Change, LookAgain, SignOut};
use alliance_core::{CLOCK_SKEW, LONGEST_TOKEN_LIFE, Seconds};
use alliance_peer::error::ApiError;
use alliance_peer::request_id::RequestId;
use alliance_peer::wire::{MAX_SIGN_OUTS, Poll, PollAnswer};
use alliance_store::{Bulletin, NewSignOut, NotedSignOut};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout, timeout_at};

use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::daemon::directory::Known;
use crate::daemon::home::Home;

/// How often Keystone is read though nobody poked.
const READ_EVERY: Duration = Duration::from_secs(2);
/// Pokes that come within this time are one.
const GATHER: Duration = Duration::from_millis(5);
/// How often what is disabled is compared, though nobody poked: the two lists cost Keystone several
/// times as much as its new events, and the plugin says what becomes disabled.
const COMPARE_EVERY: Duration = Duration::from_secs(10);
/// How often all events are read again, whatever the clocks of this cloud's machines say.
const READ_ALL_EVERY: Duration = Duration::from_secs(300);
/// How much of the last reading is read again: clocks within this cloud may differ.
const OVERLAP: Seconds = 2 * CLOCK_SKEW;
/// How long a poll waits for news.
const WAIT: Duration = Duration::from_secs(25);
/// How often is looked whether a poll waits in vain.
const CUT_OFF: Duration = Duration::from_secs(2);
/// What other instances noted longer ago, by their clocks, is not looked for at first. Seconds.
const HEEDED_FOR: Seconds = 300;
/// How many users and projects wait at most to be noted; more are all of them.
const MOST_DOUBTS: usize = 1000;
/// How many events wait at most to be noted; more are read.
const MOST_EVENTS: usize = 1000;

/// What is to be noted, and who waits for it.
pub(crate) struct Noticing {
    poked: Notify,
    said: Mutex<Said>,
    noted: watch::Sender<u64>,
    /// The number of the last that another instance noted, as far as it was heeded here.
    heeded: tokio::sync::Mutex<u64>,
    /// The poll of each host that waits.
    waiting: Mutex<HashMap<CloudId, Arc<Notify>>>,
}

impl Default for Noticing {
    fn default() -> Self {
        Self {
            poked: Notify::new(),
            said: Mutex::default(),
            noted: watch::Sender::default(),
            heeded: tokio::sync::Mutex::default(),
            waiting: Mutex::default(),
        }
    }
}

/// What pokes said that is not noted yet.
#[derive(Debug, Default)]
struct Said {
    doubts: BTreeSet<LookAgain>,
    events: Vec<RevocationEvent>,
    /// Something that only Keystone says.
    read: bool,
}

/// A poll that waits: the only one of its host.
struct Waiting<'a> {
    noticing: &'a Noticing,
    host: &'a CloudId,
    another: Arc<Notify>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.noticing.waiting();
        let is_last = |last: &Arc<Notify>| Arc::ptr_eq(last, &self.another);
        if waiting.get(self.host).is_some_and(is_last) {
            waiting.remove(self.host);
        }
    }
}

impl Noticing {
    /// Something may have ended; `doubt` says about whom hosts must ask again.
    pub(crate) fn poke(&self, doubt: Option<LookAgain>) {
        let mut said = self.said();
        said.read = true;
        if let Some(doubt) = doubt {
            let doubts = &mut said.doubts;
            let everything = LookAgain::default();
            if doubts.len() >= MOST_DOUBTS && !doubts.contains(&doubt) {
                *doubts = [everything].into();
            } else if !doubts.contains(&everything) {
                doubts.insert(doubt);
            }
        }
        drop(said);
        self.poked.notify_one();
    }

    /// Keystone has stored this event.
    pub(crate) fn revoked(&self, event: RevocationEvent) {
        let mut said = self.said();
        if said.events.len() < MOST_EVENTS {
            said.events.push(event);
        } else {
            said.read = true;
        }
        drop(said);
        self.poked.notify_one();
    }

    /// Another instance has noted something.
    pub(crate) fn wake(&self) {
        self.noted.send_modify(|count| *count += 1);
    }

    /// A poll of `host` begins to wait: the one that waited for it until now ends.
    fn wait<'a>(&'a self, host: &'a CloudId) -> Waiting<'a> {
        let another = Arc::new(Notify::new());
        let before = self.waiting().insert(host.clone(), Arc::clone(&another));
        if let Some(before) = before {
            before.notify_one();
        }
        Waiting {
            noticing: self,
            host,
            another,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<CloudId, Arc<Notify>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Said {
        std::mem::take(&mut *self.said())
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was read of Keystone so far.
#[derive(Default)]
struct Reading {
    /// When the last one that succeeded began.
    began: Option<Seconds>,
    /// When the last one ended.
    ended: Option<Instant>,
    /// When all was read last.
    all: Option<Instant>,
    /// When what is disabled was compared last.
    compared: Option<Instant>,
    disabled: Option<Disabled>,
}

impl Reading {
    /// How long the next one may wait.
    fn is_due_in(&self) -> Duration {
        self.ended.map_or(Duration::ZERO, |ended| {
            READ_EVERY.saturating_sub(ended.elapsed())
        })
    }

    fn is_due(&self) -> bool {
        self.is_due_in().is_zero()
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Disabled {
    projects: BTreeSet<String>,
    domains: BTreeSet<String>,
}

impl Daemon {
    /// Notes what ends here, while there is a host to tell it to. Runs for ever.
    pub(crate) async fn note_sign_outs(self: Arc<Self>) {
        let mut reading = Reading::default();
        loop {
            let said = self.noticing.take();
            if self.has_hosts() {
                let events = said.events.into_iter().map(stored);
                let doubts = said.doubts.into_iter().map(said_once);
                self.note(events.flatten().chain(doubts)).await;
                if !self.board.leads() {
                    reading = Reading::default();
                    if said.read {
                        self.board.tell(Bulletin::Look);
                    }
                } else if said.read || reading.is_due() {
                    self.read(&mut reading, said.read).await;
                }
            } else {
                reading = Reading::default();
            }
            // A time-out is as good as a poke.
            let pause = match self.board.leads() {
                true => reading.is_due_in(),
                false => READ_EVERY,
            };
            let _ = timeout(pause, self.noticing.poked.notified()).await;
            sleep(GATHER).await;
        }
    }

    async fn read(&self, reading: &mut Reading, told: bool) {
        match self.read_keystone(reading, told).await {
            Ok(found) => self.note(found).await,
            Err(error) => {
                reading.began = None;
                tracing::warn!(%error, "our Keystone did not say what has ended; hosts ask about tokens when their last answer is too old");
            }
        }
        reading.ended = Some(Instant::now());
    }

    fn has_hosts(&self) -> bool {
        let partners = self.directory.partners();
        partners
            .all()
            .into_iter()
            .any(|known| known.peer().is_some() && known.partner.require_host(now()).is_ok())
    }

    async fn note(&self, found: impl IntoIterator<Item = NewSignOut>) {
        let found: Vec<_> = found.into_iter().collect();
        let changes = found.iter().map(|new| &new.change);
        self.home.abroad().apply(changes, now());
        let (mut pause, began) = (GATHER, Instant::now());
        // Keystone's events could be read again; what was in a poke could not.
        loop {
            // What is noted here is not taken for another instance's.
            let heeded = self.noticing.heeded.lock().await;
            match self.store.sign_outs().append(&found, now()).await {
                Ok(0) => return,
                Ok(_) => {
                    self.chronicle.noted(&found, began, now());
                    self.noticing.wake();
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "what has ended here was not noted; trying again");
                    drop(heeded);
                    sleep(pause).await;
                    pause = (pause * 2).min(READ_EVERY);
                }
            }
        }
    }

    /// Numbers may begin anew.
    pub(crate) async fn heed_sign_outs_anew(&self) {
        *self.noticing.heeded.lock().await = 0;
    }

    /// What other instances have noted is over here too, for people who look at who is abroad.
    ///
    /// # Errors
    /// The database's; what is not heeded is the next time.
    pub(crate) async fn heed_sign_outs(&self) -> alliance_store::Result<()> {
        let mut heeded = self.noticing.heeded.lock().await;
        loop {
            let sign_outs = self.store.sign_outs();
            let since = match *heeded {
                0 => now() - HEEDED_FOR,
                _ => 0,
            };
            let found = sign_outs.after(*heeded, since, MAX_SIGN_OUTS).await?;
            let Some(last) = found.last() else {
                return Ok(());
            };
            *heeded = last.seq;
            let changes = found.iter().map(|noted| &noted.change);
            self.home.abroad().apply(changes, now());
            self.chronicle.noted_elsewhere(found);
        }
    }

    async fn read_keystone(
        &self,
        reading: &mut Reading,
        told: bool,
    ) -> Result<Vec<NewSignOut>, KeystoneError> {
        let (id, began) = (RequestId::random().to_string(), now());
        let all = reading
            .all
            .is_none_or(|last| last.elapsed() >= READ_ALL_EVERY);
        let since = reading
            .began
            .filter(|_| !all)
            .map_or(0, |began| began - OVERLAP);
        let events = self.keystone.revocation_events_since(since, &id);
        let is_old = |last: Instant| last.elapsed() >= COMPARE_EVERY;
        let compares = told || reading.compared.is_none_or(is_old);
        let disabled = async {
            match compares {
                true => self.keystone.disabled(&id).await.map(Some),
                false => Ok(None),
            }
        };
        let (events, disabled) = tokio::try_join!(events, disabled)?;
        let mut doubts = Vec::new();
        if let Some((projects, domains)) = disabled {
            let disabled = Disabled { projects, domains };
            doubts = differences(reading.disabled.as_ref(), &disabled);
            reading.disabled = Some(disabled);
            reading.compared = Some(Instant::now());
        }
        reading.began = Some(began);
        if all {
            reading.all = Some(Instant::now());
        }
        let events = events.into_iter().filter_map(stored);
        Ok(events.chain(doubts.into_iter().map(said_once)).collect())
    }

    /// What `host` has not heard yet, once there is something.
    ///
    /// # Errors
    /// If that cannot be told now.
    pub(crate) async fn tell_sign_outs(
        &self,
        host: &Known,
        poll: &Poll,
        request_id: RequestId,
    ) -> Result<PollAnswer, ApiError> {
        if !self.board.is_current() {
            // What others have noted would wake nobody here.
            return Err(Reason::Overloaded.into());
        }
        if let Some((jti, why)) = poll.set_errs.first_key_value() {
            tracing::warn!(
                %request_id,
                partner = host.partner.name,
                jti = clean(jti, 20),
                error = clean(&why.err, 40),
                description = clean(&why.description, 300),
                "the host did not understand a sign-out; it is told again"
            );
        }
        let heard = poll.ack.iter().filter_map(|jti| jti.parse().ok()).max();
        if let Some(heard) = heard {
            let _desk = self.home.desk(&host.partner.cloud_id).await?;
            let sign_outs = self.store.sign_outs();
            let before = sign_outs
                .hears(&host.partner.cloud_id, heard)
                .await
                .map_err(ApiError::internal)?;
            self.chronicle.heard(&host.partner.cloud_id, before, heard);
        }
        let most = poll.max_events.unwrap_or(MAX_SIGN_OUTS).min(MAX_SIGN_OUTS);
        let mut noted = self.noticing.noted.subscribe();
        noted.mark_unchanged();
        let mut found = self.unheard(host, most).await?;
        if found.is_empty() && most > 0 && !poll.return_immediately {
            let (waiting, end) = (
                self.noticing.wait(&host.partner.cloud_id),
                Instant::now() + WAIT,
            );
            let mut stop = self.stop.subscribe();
            let mut is_over = false;
            // What wakes it may have been told before it came.
            while found.is_empty() && !is_over {
                is_over = tokio::select! {
                    changed = timeout_at(end.into(), noted.changed()) => changed.is_err(),
                    () = self.when_cut_off() => return Err(Reason::Overloaded.into()),
                    () = waiting.another.notified() => return Ok(PollAnswer::default()),
                    // An error means that the daemon is gone already.
                    _ = stop.wait_for(|stop| *stop) => true,
                };
                // It may have been suspended meanwhile.
                let partners = self.directory.partners();
                let known = partners.by_cloud(&host.partner.cloud_id);
                let known = known.ok_or(Reason::UnknownPartner)?;
                known.partner.require_host(now())?;
                found = self.unheard(known, most).await?;
            }
        }
        let more_available = found.len() > most;
        found.truncate(most);
        self.chronicle.numbered(&found);
        tracing::debug!(%request_id, partner = host.partner.name, count = found.len(), "sign-outs are told");
        let sets = found.iter().map(|noted| {
            let set = self.home.sign_out(host, noted)?;
            Ok((noted.seq.to_string(), set))
        });
        Ok(PollAnswer {
            sets: sets.collect::<Result<_, ApiError>>()?,
            more_available,
            now: Some(now()),
        })
    }

    /// When this instance does not learn of what others note: a host that waits here would wait in vain.
    async fn when_cut_off(&self) {
        loop {
            sleep(CUT_OFF).await;
            if !self.board.is_current() {
                return;
            }
        }
    }

    /// One more than `most`, if there are so many.
    async fn unheard(&self, host: &Known, most: usize) -> Result<Vec<NotedSignOut>, ApiError> {
        let partner = &host.partner;
        let since = told_since(partner);
        let _desk = self.home.desk(&partner.cloud_id).await?;
        let sign_outs = self.store.sign_outs();
        let unheard = sign_outs.unheard(&partner.cloud_id, since, most + 1).await;
        unheard.map_err(ApiError::internal)
    }
}

/// What was noted since then is told to a host that has heard nothing yet. Clocks of daemons that took turns
/// may differ.
pub(crate) fn told_since(host: &Partner) -> Seconds {
    host.trust_since.unwrap_or_default() - CLOCK_SKEW
}

impl Home {
    fn sign_out(&self, host: &Known, noted: &NotedSignOut) -> Result<String, ApiError> {
        let sign_out = SignOut {
            iss: self.identity.cloud_id().clone(),
            aud: host.partner.cloud_id.clone(),
            iat: now(),
            jti: noted.seq.to_string(),
            events: noted.change.to_events().map_err(ApiError::internal)?,
        };
        Ok(self.sign(&sign_out)?)
    }
}

/// An event of Keystone's, if it can still be about a token abroad. Read again it is the same one.
fn stored(event: RevocationEvent) -> Option<NewSignOut> {
    if event.issued_before.as_second() <= now() - LONGEST_TOKEN_LIFE {
        return None;
    }
    let new = NewSignOut {
        digest: Some(digest(&event)),
        change: Change::Revoked(event),
    };
    new.change.concerns_travellers().then_some(new)
}

fn said_once(doubt: LookAgain) -> NewSignOut {
    NewSignOut {
        digest: None,
        change: Change::LookAgain(doubt),
    }
}

/// What became disabled or enabled.
fn differences(before: Option<&Disabled>, after: &Disabled) -> Vec<LookAgain> {
    let nothing = Disabled::default();
    let before = before.unwrap_or(&nothing);
    let projects = before.projects.symmetric_difference(&after.projects);
    let domains = before.domains.symmetric_difference(&after.domains);
    let projects = projects.map(|id| LookAgain {
        project_id: Some(id.clone()),
        ..LookAgain::default()
    });
    let domains = domains.map(|id| LookAgain {
        domain_id: Some(id.clone()),
        ..LookAgain::default()
    });
    projects.chain(domains).collect()
}

/// Names what an event says: Keystone gives it no id.
fn digest(event: &RevocationEvent) -> String {
    let at = |time: &Timestamp| time.to_string();
    let fields = [
        event.user_id.clone(),
        event.role_id.clone(),
        event.domain_id.clone(),
        event.domain_scope_id.clone(),
        event.project_id.clone(),
        event.audit_id.clone(),
        event.audit_chain_id.clone(),
        event.trust_id.clone(),
        event.consumer_id.clone(),
        event.access_token_id.clone(),
        event.expires_at.as_ref().map(at),
        Some(at(&event.issued_before)),
    ];
    let mut hash = Sha256::new();
    for field in fields {
        // What is absent is none of the texts.
        hash.update([u8::from(field.is_some())]);
        hash.update(field.unwrap_or_default());
        hash.update([0]);
    }
    HEXLOWER.encode(&hash.finalize())
}

#[cfg(test)]
mod tests;
