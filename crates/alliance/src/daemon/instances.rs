//! Several instances of the daemon: each heeds what the others tell, and one of them does what only one may.

mod view;

pub(crate) use self::view::warnings;

use std::sync::Arc;
use std::time::{Duration, Instant};

use alliance_core::Seconds;
use alliance_core::sign_out::Change;
use alliance_store::{Bulletin, Lease, Posted};
use anyhow::Context;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::Daemon;
use super::clock::now;
use super::directory::Known;

/// How often the board is read.
const READ_EVERY: Duration = Duration::from_millis(50);
/// What comes within this time is told together.
const GATHER: Duration = Duration::from_millis(20);
/// How long one look at the database may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it may take to start from the database.
const STARTING: Duration = Duration::from_secs(60);
/// How long a request waits for a board that was not read lately.
const REQUEST_PATIENCE: Duration = Duration::from_millis(500);
/// The lease of the one that does what only one may; for how long it says so, in seconds, and how often.
const LEADER: &str = "leader";
const LEASE: Seconds = 4;
const BEAT: Duration = Duration::from_secs(1);
/// Every so many beats an instance says that it is there, and looks for what others have left undone.
const BEATS: u32 = 5;
/// How long bulletins are kept, in seconds: an instance that was away for longer starts from the database.
pub(super) const KEPT: Seconds = 600;
/// How long those are that say what a partner has said, in seconds: an instance that was away may have let in
/// whom that is about, and was not able to note it in the database.
const HEARD_KEPT: Seconds = 86_400;
/// How long an instance is known that says nothing more, in seconds.
const REMEMBERED: Seconds = 86_400;
/// How far before the last look sessions that other instances have let in are looked for, in seconds: such a
/// note may have waited for its commit.
const LATELY: Seconds = 5;
/// The same, when the leader has changed: the last one may have been halted while it noted one.
const TAKEN_OVER: Seconds = 60;
/// How many changes are told in one bulletin.
const CHANGES: usize = 500;

impl Daemon {
    /// Heeds what other instances tell. Runs for ever, if there may be any.
    pub(crate) async fn follow_board(self: Arc<Self>) {
        if !self.board.is_shared() {
            return;
        }
        let mut ticks = interval(READ_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_told = false;
        loop {
            ticks.tick().await;
            match self.read_board().await {
                Ok(()) if is_told => {
                    tracing::info!("what other instances tell is read again");
                    is_told = false;
                }
                Ok(()) => {}
                Err(error) => {
                    if !is_told {
                        tracing::error!(
                            error = format!("{error:#}"),
                            "what other instances tell cannot be read; until it can, signed tokens are asked about"
                        );
                    }
                    is_told = true;
                }
            }
        }
    }

    /// Tells other instances what need not be told at once. Runs for ever.
    pub(crate) async fn tell_instances(self: Arc<Self>) {
        loop {
            self.board.to_tell.notified().await;
            loop {
                let untold = self.board.take_untold();
                let Err(error) = self.store.bulletins().post(&untold).await else {
                    // However much partners give occasion to.
                    sleep(GATHER).await;
                    break;
                };
                self.board.give_back(untold);
                tracing::debug!(%error, "other instances are not told yet");
                sleep(BEAT).await;
            }
        }
    }

    /// When this returns, what other instances have told counts here, unless the database is away. An
    /// instance that was paused must not answer from what it knew before.
    pub(crate) async fn be_current(self: &Arc<Self>) {
        if !self.board.is_current() && self.board.may_look() {
            // If it took too long, it is seen to be so wherever it counts.
            // On the heap: every request would carry it along.
            let _ = timeout(REQUEST_PATIENCE, Box::pin(self.read_board())).await;
        }
    }

    async fn read_board(self: &Arc<Self>) -> anyhow::Result<()> {
        let read = self.read_on().await;
        if read.is_err() {
            self.board.was_not_read();
        }
        read
    }

    async fn read_on(self: &Arc<Self>) -> anyhow::Result<()> {
        let mut position = self.board.position.lock().await;
        loop {
            let began = Instant::now();
            let bulletins = self.store.bulletins();
            let posted = in_time(PATIENCE, async { Ok(bulletins.after(*position).await?) }).await?;
            let Some(last) = posted.last().map(|one| one.number) else {
                self.board.was_read(began);
                return Ok(());
            };
            if last - *position == posted.len() as u64 {
                in_time(PATIENCE, self.heed(posted)).await?;
                *position = last;
            } else {
                tracing::warn!(
                    "what other instances have told was forgotten before it was read here: starting from the database"
                );
                *position = in_time(STARTING, self.start_over(began, *position)).await?;
            }
        }
    }

    /// As after a restart: nothing counts that was asked before. What was let in here and could not be noted is
    /// no session that the database knows; what partners have said after bulletin `before`, it has all of.
    /// Returns the number of the last bulletin that counts then.
    async fn start_over(self: &Arc<Self>, at: Instant, before: u64) -> anyhow::Result<u64> {
        let last = self.store.bulletins().beginning(KEPT).await?;
        self.directory.reload().await?;
        self.host.forget_answers();
        // Nothing here waits for it.
        let daemon = Arc::clone(self);
        self.spawn_until_stopped(async move { daemon.heed_sign_outs_anew().await });
        self.host.lists().forget_before(at);
        for known in self.directory.partners().all() {
            self.host.stops_listening(&known.partner.cloud_id);
        }
        let untold = self.host.read_ended_sessions().await?;
        self.publisher.end_sessions(untold, true);
        self.heed_what_was_heard(before).await?;
        // A million of live ones take their time; what was heard meanwhile is about them too.
        self.host.has_yet_to_read();
        let daemon = Arc::clone(self);
        self.spawn_until_stopped(async move {
            Arc::clone(&daemon).read_live_sessions().await;
            while let Err(error) = daemon.heed_what_was_heard(before).await {
                tracing::debug!(
                    error = format!("{error:#}"),
                    "what partners have said is heeded once more soon"
                );
                sleep(BEAT).await;
            }
        });
        self.publish_soon();
        self.board.tell(Bulletin::Joined);
        Ok(last)
    }

    /// Heeds what partners have said after this bulletin, as far as it is known.
    async fn heed_what_was_heard(self: &Arc<Self>, mut after: u64) -> anyhow::Result<()> {
        loop {
            let posted = self.store.bulletins().heard_after(after).await?;
            let Some(latest) = posted.last().map(|one| one.number) else {
                return Ok(());
            };
            self.heed(posted).await?;
            after = latest;
        }
    }

    /// What these say counts here, if this returns no error. To heed one again changes nothing.
    async fn heed(self: &Arc<Self>, posted: Vec<Posted>) -> anyhow::Result<()> {
        let is_own = |one: &Posted| one.author == self.board.process();
        if posted
            .iter()
            .any(|one| is_own(one) && one.what == Bulletin::SignOuts)
        {
            // The answer to whoever noted it here may have been lost.
            self.noticing.wake();
        }
        let others = posted
            .into_iter()
            .filter(|one| !is_own(one))
            .map(|one| one.what);
        let others: Vec<_> = others.collect();
        let says = |what: &Bulletin| others.contains(what);
        let is_trust = says(&Bulletin::Trust) || says(&Bulletin::Unknown);
        if is_trust || says(&Bulletin::Facts) {
            self.directory.reload().await?;
            if is_trust {
                self.host.forget_answers();
                self.pairings_changed();
            }
            self.publish_soon();
        }
        for what in others {
            match what {
                Bulletin::Heard { partner, changes } => {
                    let partners = self.directory.partners();
                    if let Some(known) = partners.by_cloud(&partner) {
                        self.apply_to_the_known(known, &changes).await?;
                        self.apply_to_the_rest(known, changes);
                    }
                }
                Bulletin::Ended { sessions } => {
                    let ending = self.host.take_ended(sessions);
                    self.tell_keystone(ending);
                }
                Bulletin::Listening { partner, since } => match since {
                    Some(at) => drop(self.host.listens_since(&partner, at)),
                    None => self.host.stops_listening(&partner),
                },
                Bulletin::SignOuts => {
                    self.noticing.wake();
                    self.heed_sign_outs_soon();
                }
                Bulletin::Pairings => self.pairings_changed(),
                Bulletin::Catalog => self.catalog.stale(),
                Bulletin::Retired {
                    partner,
                    project_id,
                } => drop(self.host.note_next_visit(&partner, &project_id)),
                Bulletin::Look if self.board.leads() => self.noticing.poke(None),
                Bulletin::Pull { partner } if self.board.leads() => self.pull_soon(&partner),
                Bulletin::Retirements if self.board.leads() => self.doubts.look(),
                Bulletin::Joined if self.board.leads() => self.tell_whom_it_listens_to(),
                Bulletin::Look
                | Bulletin::Pull { .. }
                | Bulletin::Retirements
                | Bulletin::Joined
                | Bulletin::Trust
                | Bulletin::Facts
                | Bulletin::Unknown => {}
            }
        }
        Ok(())
    }

    fn heed_sign_outs_soon(self: &Arc<Self>) {
        let daemon = Arc::clone(self);
        self.spawn_until_stopped(async move {
            if let Err(error) = daemon.heed_sign_outs().await {
                tracing::debug!(%error, "who is abroad no more is not known here yet");
            }
        });
    }

    /// What counts for the sessions that are known counts for those too that are still being read, when they
    /// are.
    fn apply_to_the_rest(self: &Arc<Self>, known: &Arc<Known>, changes: Vec<Change>) {
        if !self.host.is_reading() {
            return;
        }
        let (daemon, known) = (Arc::clone(self), Arc::clone(known));
        self.spawn_until_stopped(async move {
            while let Err(error) = daemon.apply_here(&known, &changes).await {
                tracing::debug!(
                    error = format!("{error:#}"),
                    "what has ended is applied once more soon"
                );
                sleep(BEAT).await;
            }
        });
    }

    /// Tells other instances what a partner has said, before that partner is told that it was heard.
    ///
    /// # Errors
    /// If the database does not take it.
    pub(super) async fn pass_on(&self, known: &Known, changes: &[Change]) -> anyhow::Result<()> {
        let bulletins: Vec<_> = changes
            .chunks(CHANGES)
            .map(|some| Bulletin::Heard {
                partner: known.partner.cloud_id.clone(),
                changes: some.to_vec(),
            })
            .collect();
        let told = self.store.bulletins().post(&bulletins).await;
        told.context("telling other instances what has ended")
    }

    fn tell_whom_it_listens_to(&self) {
        for (partner, since) in self.host.listening() {
            self.board.tell(Bulletin::Listening {
                partner,
                since: Some(since),
            });
        }
    }

    /// Writes the snapshot, in the background.
    fn publish_soon(self: &Arc<Self>) {
        let daemon = Arc::clone(self);
        self.spawn_until_stopped(async move {
            if let Err(error) = daemon.publisher.publish(false).await {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the snapshot for Keystone was not written"
                );
            }
        });
    }

    /// Does what only one instance may, whenever that is this one. Runs for ever.
    pub(crate) async fn lead(self: Arc<Self>) {
        loop {
            self.board.when_it_leads(true).await;
            if self.board.is_shared()
                && let Err(error) = self.take_over().await
            {
                tracing::error!(
                    error = format!("{error:#}"),
                    "what other instances have let in was not read; it is tried again"
                );
                sleep(BEAT).await;
                continue;
            }
            // Whoever came while nobody led was not answered.
            self.tell_whom_it_listens_to();
            tokio::select! {
                () = self.board.when_it_leads(false) => {}
                () = Arc::clone(&self).do_what_one_does() => {}
            }
            // It is measured by another one from now on.
            self.border.forget_all();
        }
    }

    /// What one instance knew that may be gone is in the database. Of sessions only the latest may not be known
    /// here.
    async fn take_over(self: &Arc<Self>) -> anyhow::Result<()> {
        self.directory.reload().await?;
        self.take_in_sessions(TAKEN_OVER).await?;
        let untold = self.host.read_ended_sessions().await?;
        if !untold.is_empty() {
            self.publisher.end_sessions(untold, true);
        }
        Ok(())
    }

    async fn do_what_one_does(self: Arc<Self>) {
        let refresh = self.config.catalog.refresh;
        tokio::join!(
            Arc::clone(&self).follow_partners(refresh),
            Arc::clone(&self).follow_acceptances(),
            Arc::clone(&self).follow_sign_outs(),
            Arc::clone(&self).follow_usage(refresh),
            Arc::clone(&self).watch_for_notices(),
            Arc::clone(&self).follow_notices(),
            Arc::clone(&self).follow_webhook(),
            Arc::clone(&self).forget_what_is_old(),
            Arc::clone(&self).forget_old_notices(),
            Arc::clone(&self).follow_retirements(),
            Arc::clone(&self).follow_receipts(refresh),
            Arc::clone(&self).follow_orders(),
        );
    }

    /// Holds the lease of the leader, or waits for it. Runs for ever, if there may be other instances; nothing
    /// else is waited for, or another would lead though this one is well.
    pub(crate) async fn follow_lease(self: Arc<Self>) {
        if !self.board.is_shared() {
            return;
        }
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            let asked = self
                .store
                .leases()
                .take(LEADER, self.board.process(), LEASE);
            match timeout(PATIENCE, asked).await {
                Ok(Ok(lease)) => self.leads_or_not(lease).await,
                // It goes on: nobody else can take the lease either, or has, and then nothing is written.
                Ok(Err(error)) => tracing::debug!(%error, "the lease cannot be had or kept"),
                Err(_) => tracing::debug!("the lease cannot be had or kept: no answer in time"),
            }
        }
    }

    /// Takes in what other instances have let in, says that this one is there, and looks for what others have
    /// left undone. Runs for ever, if there may be any.
    pub(crate) async fn follow_instances(self: Arc<Self>) {
        if !self.board.is_shared() {
            return;
        }
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count = 0;
        loop {
            beats.tick().await;
            if let Err(error) = self.take_in_sessions(LATELY).await {
                tracing::debug!(%error, "what other instances have let in is not known yet");
            }
            if count == 0 {
                self.say_that_it_is_there().await;
                self.tell_what_was_left_untold().await;
                self.keep_up().await;
                self.look_whether_the_board_went_back().await;
            }
            count = (count + 1) % BEATS;
        }
    }

    /// After a restore beside a living instance, or if MariaDB has lost its latest commits, numbers are given
    /// again that were read here already: as if none had come.
    async fn look_whether_the_board_went_back(self: &Arc<Self>) {
        let mut position = self.board.position.lock().await;
        let last = match self.store.bulletins().last().await {
            Ok(last) if last < *position => last,
            Ok(_) => return,
            Err(error) => {
                tracing::debug!(%error, "whether the board went back is not known");
                return;
            }
        };
        tracing::error!(
            last,
            read = *position,
            "the database has been set back: starting from what it has"
        );
        match in_time(STARTING, self.start_over(Instant::now(), 0)).await {
            Ok(begins) => *position = begins,
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "it cannot be read yet; it is tried again"
            ),
        }
    }

    async fn leads_or_not(&self, lease: Option<Lease>) {
        let leads = lease.is_some();
        if !self.board.set_leads(leads) {
            return;
        }
        if leads {
            tracing::info!(instance = self.board.name(), "this instance leads now");
            return;
        }
        let other = self.store.leases().holder(LEADER).await;
        let other = other.ok().flatten().unwrap_or_default();
        let name = other.split_once('/').map_or(&*other, |(name, _)| name);
        if name == self.board.name() {
            tracing::error!(
                instance = name,
                "another daemon is called as this one is: give each a name of its own by [cloud] instance"
            );
        } else {
            tracing::warn!(
                leader = name,
                "this instance was silent for too long, and another one leads now"
            );
        }
    }

    /// Takes in what other instances have let in since `before` the last look, in seconds.
    async fn take_in_sessions(self: &Arc<Self>, before: Seconds) -> alliance_store::Result<()> {
        let began = Instant::now();
        let age = self.board.sessions_age().as_secs().cast_signed();
        let endings = self.host.read_sessions_of_the_last(before + age).await?;
        self.board.sessions_were_read(began);
        endings
            .into_iter()
            .for_each(|ending| self.tell_keystone(ending));
        Ok(())
    }

    async fn say_that_it_is_there(&self) {
        let (name, process) = (self.board.name(), self.board.process());
        let instances = self.store.instances();
        let noted = instances.note(name, process, env!("CARGO_PKG_VERSION"), now());
        if let Err(error) = noted.await {
            tracing::debug!(%error, "other instances are not told that this one is there");
        }
    }

    /// The instance that ended them may have died before its Keystone knew.
    async fn tell_what_was_left_untold(&self) {
        if !self.board.leads() {
            return;
        }
        match self.store.ended_sessions().list(now()).await {
            Ok(ended) => {
                let untold = ended.into_iter().filter(|(_, told)| !told);
                let untold: Vec<_> = untold.map(|(ended, _)| ended).collect();
                self.publisher.end_left_sessions(untold);
            }
            Err(error) => tracing::debug!(%error, "which sessions are to be told is not known"),
        }
    }

    /// What the leader has noted of partners without a bulletin: when they were last heard.
    async fn keep_up(&self) {
        if !self.board.leads()
            && let Err(error) = self.directory.reload().await
        {
            tracing::debug!(error = format!("{error:#}"), "partners were not read again");
        }
    }

    /// Other instances need not wait until the lease ends, nor is this one missed.
    pub(super) async fn say_goodbye(&self) {
        if !self.board.is_shared() {
            return;
        }
        let lease = Lease {
            name: LEADER.to_owned(),
            holder: self.board.process().to_owned(),
        };
        let done = async {
            self.store.leases().give_back(&lease).await?;
            let instances = self.store.instances();
            instances
                .forget(self.board.name(), self.board.process())
                .await
        };
        match timeout(PATIENCE, done).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "other instances are not told that this one ends");
            }
            Err(_) => tracing::warn!("other instances are not told in time that this one ends"),
        }
    }

    /// Forgets what instances no longer need to know.
    pub(super) async fn forget_old_bulletins(&self) -> alliance_store::Result<()> {
        self.store
            .bulletins()
            .forget_older(KEPT, HEARD_KEPT)
            .await?;
        self.store.instances().forget_silent(REMEMBERED).await?;
        Ok(())
    }
}

async fn in_time<T>(
    patience: Duration,
    done: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let done = timeout(patience, done).await;
    done.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in time")))
}

#[cfg(test)]
mod tests;
