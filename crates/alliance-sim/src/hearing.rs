//! A host's instance: the leader hears what ends at homes and puts it on the board; each applies what is
//! there.

use std::collections::BTreeMap;
use std::rc::Rc;

use alliance_core::hearing::{Course, Heard, Misheard, Progress};
use alliance_core::session::Session;
use alliance_core::sign_out::{Change, LookAgain, SignOut};

use crate::daemon::Daemon;
use crate::database::{Bulletin, Failed, transact};
use crate::executor::{MS, Micros, SECOND, State};
use crate::invariant::Invariant;
use crate::keystone;
use crate::noticing::WAIT;
use crate::settings::Guard;
use crate::world::World;

/// As in the daemon's `hearing.rs`.
const FIRST_PAUSE: Micros = 200 * MS;
const LONGEST_PAUSE: Micros = SECOND;
const LONGEST_MISUNDERSTANDING: Micros = 10 * SECOND;
const NO_NEWS: Micros = SECOND;
/// After which time without an answer to a ping a connection is given up (3 + 2 s).
const DEAD: Micros = 5 * SECOND;
/// How soon a sign-out is heard where one instance of each side could do it: a lease runs out, a dead
/// connection is noticed, a load balancer looks.
const LATE: Micros = 20 * SECOND;

/// Why a sign-out is not understood.
#[derive(Debug)]
enum Unheard {
    UnknownKey,
    Said,
}

impl From<Misheard> for Unheard {
    fn from(_: Misheard) -> Self {
        Self::Said
    }
}

impl Daemon {
    pub(crate) async fn follow_sign_outs_of(self: Rc<Self>, home: usize) {
        let world = &self.world;
        loop {
            self.leadership().await;
            let mut course: Course<()> = Course::default();
            let (mut failing, mut misunderstanding) = (FIRST_PAUSE, FIRST_PAUSE);
            while self.leads() {
                let began = world.now();
                match self.poll(home, &mut course).await {
                    Err(why) => {
                        self.say(|| {
                            format!("{} did not say what has ended: {why:?}", World::name(home))
                        });
                        world.sleep(failing).await;
                        failing = (failing * 2).min(LONGEST_PAUSE);
                        continue;
                    }
                    Ok(Progress::News) => misunderstanding = FIRST_PAUSE,
                    Ok(Progress::Nothing) => {
                        let pause = (began + NO_NEWS).saturating_sub(world.now());
                        world.sleep(pause).await;
                    }
                    Ok(Progress::Misunderstood) => {
                        world.sleep(misunderstanding).await;
                        misunderstanding = (misunderstanding * 2).min(LONGEST_MISUNDERSTANDING);
                    }
                }
                failing = FIRST_PAUSE;
            }
        }
    }

    async fn poll(
        self: &Rc<Self>,
        home: usize,
        course: &mut Course<()>,
    ) -> Result<Progress, Failed> {
        let world = &self.world;
        let sets = self.ask_for_sign_outs(home, course.applied()).await?;
        let link = world.link(home, self.cloud);
        let is_unreadable = link.is_unreadable.get();
        let read = |set: &str| {
            if is_unreadable {
                return Err(Unheard::UnknownKey);
            }
            serde_json::from_str::<SignOut>(set).map_err(|_| Unheard::Said)
        };
        let mut heard = Heard::of(&sets, read);
        let covered = course.covered_by_list(&heard, self.instant());
        let mut was_listed = false;
        if let Some(covered) = covered
            && let Ok(list) = self.ask_for_list(home).await
        {
            let everything = Change::LookAgain(LookAgain::default());
            heard.changes.extend(list.into_iter().map(Change::Revoked));
            heard.changes.push(everything);
            heard.pass(covered);
            was_listed = true;
        }
        let numbers = sets.keys().filter_map(|jti| jti.parse::<u64>().ok());
        let numbers: Vec<u64> = numbers
            .filter(|number| {
                let set = sets.get(&number.to_string());
                let is_covered = was_listed && covered.is_some_and(|covered| *number <= covered);
                is_covered || set.is_some_and(|set| read(set).is_ok())
            })
            .collect();
        let changes: Rc<[Change]> = std::mem::take(&mut heard.changes).into();
        if !numbers.is_empty() {
            self.say(|| format!("hears {numbers:?} of {}", World::name(home)));
            if !world.keeps(Guard::AckAfterBoard) {
                let mut early = Course::default();
                early.go_on(&heard, self.instant(), |_: &Unheard| ());
                self.acknowledge(home, early.applied()).await;
            }
            let posted = self.put_on_board(home, &numbers, Rc::clone(&changes)).await;
            let ended = self.apply(home, &changes);
            Rc::clone(self).conclude(ended).await?;
            posted?;
        }
        match course.go_on(&heard, self.instant(), |_: &Unheard| ()) {
            Progress::News if was_listed => Ok(Progress::Nothing),
            progress => Ok(progress),
        }
    }

    async fn ask_for_sign_outs(
        self: &Rc<Self>,
        home: usize,
        acknowledged: Option<u64>,
    ) -> Result<BTreeMap<String, String>, Failed> {
        let world = &self.world;
        let node = world.balanced(home).ok_or(Failed::Away)?;
        let there = node.daemon.borrow().clone().ok_or(Failed::Away)?;
        let (host, process) = (self.cloud, node.daemon_process);
        let answer = world.call(
            (host, home),
            process,
            WAIT + 10 * SECOND,
            there.tell_sign_outs(host, acknowledged, false),
        );
        // A connection on which nobody answers pings is dead.
        let is_silent = || {
            world.link(host, home).is_down.get()
                || world.link(home, host).is_down.get()
                || world.executor.state(process) != State::Running
        };
        let mut answer = std::pin::pin!(answer);
        let mut silent_since = None;
        loop {
            if let Some(answer) = world.executor.timeout(SECOND, answer.as_mut()).await {
                return answer.ok_or(Failed::Away)?;
            }
            if !is_silent() {
                silent_since = None;
                continue;
            }
            let since = *silent_since.get_or_insert(world.now());
            if since + DEAD <= world.now() {
                return Err(Failed::Away);
            }
        }
    }

    /// What the guard keeps from happening: an acknowledgement of what is not on the board yet.
    async fn acknowledge(self: &Rc<Self>, home: usize, applied: Option<u64>) {
        let world = &self.world;
        let Some(node) = world.balanced(home) else {
            return;
        };
        let Some(there) = node.daemon.borrow().clone() else {
            return;
        };
        let host = self.cloud;
        let told = there.tell_sign_outs(host, applied, true);
        world
            .call((host, home), node.daemon_process, 5 * SECOND, told)
            .await;
    }

    async fn put_on_board(
        &self,
        home: usize,
        numbers: &[u64],
        changes: Rc<[Change]>,
    ) -> Result<(), Failed> {
        let (world, host) = (&self.world, self.cloud);
        transact(world, self.node(), Some((1, 0)), |tables, given| {
            keystone::heard(world, host, home, &changes);
            self.require_in_time(home, numbers);
            let bulletin = Bulletin::Heard { home, changes };
            tables.put(given, self.posted(bulletin));
            Ok(())
        })
        .await
    }

    fn require_in_time(&self, home: usize, numbers: &[u64]) {
        let (world, host) = (&self.world, self.cloud);
        let mut heard = world.heard.borrow_mut();
        let heard = heard.entry((home, host)).or_default();
        let able_since = world.able_since.borrow().get(&(home, host)).copied();
        for number in numbers {
            if !heard.insert(*number) {
                continue;
            }
            let noted = world.clouds[home]
                .database
                .look(|tables| tables.sign_outs.get(number).map(|noted| noted.at));
            if let (Some(noted), Some(Some(since))) = (noted, able_since)
                && noted.max(since) + LATE < world.now()
            {
                world.fail(Invariant::SignOutLate, || {
                    format!(
                        "sign-out {number} of {} was heard by {} {:.1} s after it could have been",
                        World::name(home),
                        World::name(host),
                        (world.now() - noted.max(since)) as f64 / SECOND as f64
                    )
                });
            }
        }
    }

    /// What a home has said counts here. Returns the sessions that have ended, if that may not be stored.
    pub(crate) fn apply(&self, home: usize, changes: &[Change]) -> Vec<String> {
        let effect = {
            let mut sessions = self.sessions.borrow_mut();
            let sessions = sessions.entry(home).or_default();
            sessions.apply(changes, self.seconds())
        };
        for session in effect.ended.iter().chain(&effect.doubtful) {
            self.answers.forget(&session.token);
        }
        if !effect.doubtful.is_empty() {
            self.tell_keystone(Vec::new());
        }
        let mut ended = Vec::new();
        for session in &effect.ended {
            if self.stored.borrow().contains(session.id()) {
                continue;
            }
            self.ended.borrow_mut().insert(session.id().to_owned());
            ended.push(session.id().to_owned());
        }
        ended.sort_unstable();
        ended
    }

    /// Writes down what has ended; whoever does so first tells Keystone of it.
    pub(crate) async fn conclude(self: Rc<Self>, ended: Vec<String>) -> Result<(), Failed> {
        let world = &self.world;
        if ended.is_empty() {
            return Ok(());
        }
        let new = transact(world, self.node(), Some((1, 0)), |tables, numbers| {
            let new = tables.end(&ended);
            if !new.is_empty() {
                let bulletin = Bulletin::Ended(new.clone().into());
                tables.put(numbers, self.posted(bulletin));
            }
            Ok(new)
        })
        .await?;
        self.stored.borrow_mut().extend(ended);
        if !new.is_empty() {
            self.say(|| format!("{new:?} end here"));
        }
        let count = world.counts.ended.get() + new.len() as u64;
        world.counts.ended.set(count);
        self.tell_keystone(new);
        Ok(())
    }

    /// Another instance has ended these.
    pub(crate) fn take_ended(&self, ended: &[String]) {
        self.ended.borrow_mut().extend(ended.iter().cloned());
        let mut stored = self.stored.borrow_mut();
        let count = stored.len();
        stored.extend(ended.iter().cloned());
        if stored.len() > count {
            self.tell_keystone(Vec::new());
        }
    }

    /// A session that began. Returns whether it has ended already.
    pub(crate) fn begin(&self, home: usize, session: Session) -> bool {
        let id = session.id().to_owned();
        let mut sessions = self.sessions.borrow_mut();
        let has_ended = sessions
            .entry(home)
            .or_default()
            .begin(session, self.seconds());
        if has_ended {
            self.ended.borrow_mut().insert(id);
        }
        has_ended
    }
}
