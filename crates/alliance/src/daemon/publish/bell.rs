//! The doorbell: what our Keystone is still to be told, until one of its plugins has said that it has
//! done it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use alliance_core::keystone_id;
use alliance_store::EndedSession;

use crate::wire::{
    DoorbellAck, DoorbellDone, DoorbellQuestion, DoorbellWork, LaterWork, ProjectToMake, SessionEnd,
};

/// How many sessions Keystone is told of at once.
const SESSIONS_AT_ONCE: usize = 1000;
/// How many projects it is asked for at once: each takes it some time.
const PROJECTS_AT_ONCE: usize = 10;
/// When a plugin that sweeps has said nothing for so long, another one is asked.
const SWEEP_PATIENCE: Duration = Duration::from_secs(300);
/// The same of one that makes projects.
const PROJECTS_PATIENCE: Duration = Duration::from_secs(30);
/// What failed is tried again after that.
const NEXT_TRIAL: Duration = Duration::from_secs(10);
/// What became of so many projects is remembered for who waits for it.
const REMEMBERED: usize = 1000;
/// What a plugin of an earlier version does not say.
const OLD_PLUGIN: &str =
    "Keystone's plugin is of an earlier version, and makes projects when their users come";

/// What a doorbell secret begins with; the plugin answers such a "token" always with 404.
pub(super) const RING_PREFIX: &str = "ring~";

/// What our Keystone has still to be told, and the secret that makes it ask for it.
#[derive(Debug, Default)]
pub(super) struct Bell {
    /// Its hash is in the snapshot.
    pub(super) secret: Option<String>,
    /// The snapshot that Keystone has not acknowledged.
    generation: Option<u64>,
    /// The snapshot since which grants may be there that no agreement allows.
    unswept: Option<u64>,
    /// Who sweeps.
    sweeper: Option<Lent>,
    /// Sessions that have ended, by their ids.
    pub(super) sessions: BTreeMap<String, SessionEnd>,
    /// Projects that are to be there, by their ids here.
    projects: BTreeMap<String, ProjectToMake>,
    /// Who makes some of them.
    maker: Option<Lent>,
    /// What became of others.
    made: BTreeMap<String, Result<(), String>>,
    /// How often Keystone was to forget what it remembers, and how often it has.
    pub(super) flushes: (u64, u64),
    /// What was told last.
    told: Told,
    /// How often something was acknowledged.
    pub(super) done: u64,
    /// How often a plugin has said that it failed.
    pub(super) failed: u64,
    /// How often a plugin came to who rang, whether or not something was to be done.
    pub(super) heard: u64,
    /// Sessions that were untold when that was last looked at.
    untold: BTreeSet<String>,
}

/// A plugin that does what takes its time.
#[derive(Debug)]
struct Lent {
    /// How it was rung.
    random: String,
    /// Nobody else is asked before.
    until: Instant,
    /// It has said that it could not.
    has_failed: bool,
}

impl Lent {
    fn new(random: &str, until: Instant) -> Option<Self> {
        Some(Self {
            random: random.to_owned(),
            until,
            has_failed: false,
        })
    }

    fn failed(&mut self, now: Instant) {
        (self.until, self.has_failed) = (now + NEXT_TRIAL, true);
    }
}

/// What a plugin that asked is about to do before it acknowledges.
#[derive(Debug, Default)]
struct Told {
    batch: u64,
    generation: Option<u64>,
    swept: Option<u64>,
    sessions: Vec<String>,
    projects: Vec<String>,
    flushes: u64,
}

impl Bell {
    pub(super) fn change(&mut self, secret: String, generation: u64) {
        self.secret = Some(secret);
        self.generation = Some(generation);
        self.unswept = Some(generation);
    }

    pub(super) fn end_sessions(
        &mut self,
        ended: impl IntoIterator<Item = EndedSession>,
        flush: bool,
    ) {
        let ended = ended.into_iter().map(|ended| {
            let end = SessionEnd {
                id: ended.session.clone(),
                until: ended.expires_at,
                cloud_id: ended.cloud_id,
                user_id: ended.user_id,
            };
            (ended.session, end)
        });
        self.sessions.extend(ended);
        self.flushes.0 += u64::from(flush);
    }

    /// Those of the untold that were untold before, and are not about to be told here.
    pub(super) fn left_again(&mut self, untold: Vec<EndedSession>) -> Vec<EndedSession> {
        let ids = untold.iter().map(|one| one.session.clone()).collect();
        let before = std::mem::replace(&mut self.untold, ids);
        untold
            .into_iter()
            .filter(|one| before.contains(&one.session))
            .filter(|one| !self.sessions.contains_key(&one.session))
            .collect()
    }

    /// Keystone is to have a partner's project. Returns its id here.
    pub(super) fn make_project(&mut self, wanted: ProjectToMake) -> String {
        let here = keystone_id::project(&wanted.cloud_id, &wanted.project_id);
        if self.made.len() >= REMEMBERED {
            self.made.clear();
        }
        self.made.remove(&here);
        self.projects.insert(here.clone(), wanted);
        here
    }

    /// What became of it; `None`: it is not known yet.
    pub(super) fn made(&self, here: &str) -> Option<Result<(), String>> {
        self.made.get(here).cloned()
    }

    pub(super) fn has_told(&self, sessions: &BTreeSet<String>) -> bool {
        let (wanted, done) = self.flushes;
        wanted == done && !sessions.iter().any(|id| self.sessions.contains_key(id))
    }

    /// Whether Keystone has still to be told or to do something, also what it is just doing.
    pub(super) fn is_pending(&self) -> bool {
        self.has_news() || self.unswept.is_some() || !self.projects.is_empty()
    }

    /// Whether there is something that nobody may wait for.
    pub(super) fn has_news(&self) -> bool {
        let (wanted, done) = self.flushes;
        self.generation.is_some() || !self.sessions.is_empty() || wanted != done
    }

    /// What to ring with now, and whether it is about a change.
    pub(super) fn pending(&self, now: Instant) -> Option<(String, bool)> {
        let is_later_due = self.later().any(|lent| !is_at_it(lent, now));
        let is_due = self.has_news() || is_later_due;
        let secret = self.secret.as_ref().filter(|_| is_due)?;
        Some((secret.clone(), self.generation.is_some()))
    }

    /// When a plugin that does what takes its time is not waited for any more.
    pub(super) fn next(&self) -> Option<Instant> {
        self.later().flatten().map(|lent| lent.until).min()
    }

    /// Of what is to be done and takes its time, who is at it.
    fn later(&self) -> impl Iterator<Item = Option<&Lent>> {
        let sweep = self.unswept.map(|_| self.sweeper.as_ref());
        let projects = (!self.projects.is_empty()).then_some(self.maker.as_ref());
        sweep.into_iter().chain(projects)
    }

    /// Whether all grants have been looked at since the last change.
    pub(super) fn is_swept(&self) -> bool {
        self.unswept.is_none()
    }

    /// What to ring with to see whether a plugin comes, and how often one has; none while something is
    /// due.
    pub(super) fn idle(&self, now: Instant) -> Option<(String, u64)> {
        let is_due = self.pending(now).is_some();
        let secret = self.secret.as_ref().filter(|_| !is_due)?;
        Some((secret.clone(), self.heard))
    }

    /// How often plugins have said what became of what was new.
    pub(super) fn said(&self) -> (u64, u64) {
        (self.done, self.failed)
    }

    pub(super) fn is_rung_by(&self, random: &str) -> bool {
        let secret = self.secret.as_deref();
        secret.and_then(|secret| secret.strip_prefix(RING_PREFIX)) == Some(random)
    }

    pub(super) fn answer(
        &mut self,
        question: &DoorbellQuestion,
        now: Instant,
    ) -> Option<DoorbellWork> {
        if !self.is_rung_by(&question.secret) {
            return None;
        }
        self.heard += 1;
        let (swept, projects, later) = match question.knows_later {
            true => {
                let later = LaterWork {
                    sweep: self.lend_sweep(&question.secret, now),
                    projects: self.lend_projects(&question.secret, now),
                };
                (None, Vec::new(), Some(later))
            }
            false => {
                let is_due = self.generation.is_some() || !is_at_it(self.sweeper.as_ref(), now);
                (self.unswept.filter(|_| is_due), self.some_projects(), None)
            }
        };
        let work = DoorbellWork {
            changed: self.generation.is_some() || swept.is_some(),
            batch: self.told.batch + 1,
            sessions: self
                .sessions
                .values()
                .take(SESSIONS_AT_ONCE)
                .cloned()
                .collect(),
            flush: self.flushes.0 != self.flushes.1,
            projects,
            later,
        };
        let here =
            |wanted: &ProjectToMake| keystone_id::project(&wanted.cloud_id, &wanted.project_id);
        self.told = Told {
            batch: work.batch,
            generation: self.generation,
            swept,
            sessions: work.sessions.iter().map(|end| end.id.clone()).collect(),
            projects: work.projects.iter().map(here).collect(),
            flushes: self.flushes.0,
        };
        Some(work)
    }

    /// The change since which a plugin is to sweep, unless another one is at it.
    fn lend_sweep(&mut self, random: &str, now: Instant) -> Option<u64> {
        let change = self.unswept?;
        if is_at_it(self.sweeper.as_ref(), now) {
            return None;
        }
        self.sweeper = Lent::new(random, now + SWEEP_PATIENCE);
        Some(change)
    }

    /// Whether the plugin that was to sweep has not said for too long what became of it.
    pub(super) fn is_sweeper_lost(&self, now: Instant) -> bool {
        let is_lost = |sweeper: &Lent| !sweeper.has_failed && sweeper.until <= now;
        self.unswept.is_some() && self.sweeper.as_ref().is_some_and(is_lost)
    }

    /// As if it had been asked long ago.
    #[cfg(test)]
    pub(super) fn lose_sweeper(&mut self) {
        if let Some(sweeper) = self.sweeper.as_mut() {
            sweeper.until = Instant::now();
        }
    }

    /// Projects that a plugin is to make, unless another one is at it: more threads of Keystone make them no
    /// faster.
    fn lend_projects(&mut self, random: &str, now: Instant) -> Vec<ProjectToMake> {
        if self.projects.is_empty() || is_at_it(self.maker.as_ref(), now) {
            return Vec::new();
        }
        self.maker = Lent::new(random, now + PROJECTS_PATIENCE);
        self.some_projects()
    }

    fn some_projects(&self) -> Vec<ProjectToMake> {
        let wanted = self.projects.values();
        wanted.take(PROJECTS_AT_ONCE).cloned().collect()
    }

    /// A plugin did what it was told in a batch; one of an earlier version names none and knows of
    /// the snapshot only.
    pub(super) fn done(&mut self, ack: &DoorbellAck) -> (Option<u64>, Vec<String>) {
        if ack.batch.is_none() {
            self.done += 1;
            // One that did not hear what it was asked says that it has made none.
            if ack.projects.is_none() {
                self.give_up_projects();
            }
            self.maker.take_if(|to| to.random == ack.ring);
            (self.unswept, self.sweeper) = (None, None);
            return (self.generation.take(), Vec::new());
        }
        if ack.batch != Some(self.told.batch) {
            // Another one asked since, and will say so too.
            return (None, Vec::new());
        }
        self.done += 1;
        let told = std::mem::take(&mut self.told);
        self.told.batch = told.batch;
        if self.generation == told.generation {
            self.generation = None;
        }
        if told.swept.is_some() {
            self.swept(told.swept);
        }
        self.flushes.1 = self.flushes.1.max(told.flushes);
        for id in &told.sessions {
            self.sessions.remove(id);
        }
        for here in told.projects {
            let outcome = match &ack.projects {
                Some(outcomes) => outcomes
                    .get(&here)
                    .map(|why| why.clone().map_or(Ok(()), Err)),
                None => Some(Err(OLD_PLUGIN.to_owned())),
            };
            // One of which nothing is said is asked for again.
            if let Some(outcome) = outcome {
                self.projects.remove(&here);
                self.made.insert(here, outcome);
            }
        }
        (told.generation, told.sessions)
    }

    /// A plugin did what takes its time, or failed. Returns whether one was asked so.
    pub(super) fn done_later(&mut self, done: &DoorbellDone, now: Instant) -> bool {
        let is_rung_now = self.is_rung_by(&done.ring);
        let is_lent = |lent: &Option<Lent>| lent.as_ref().is_some_and(|to| to.random == done.ring);
        let (sweeps, makes) = (is_lent(&self.sweeper), is_lent(&self.maker));
        if !is_rung_now && !sweeps && !makes {
            return false;
        }
        match (done.sweep, &done.error) {
            (Some(_), None) => self.swept(done.sweep),
            (Some(_), Some(_)) => self.sweeper.iter_mut().for_each(|lent| lent.failed(now)),
            (None, None) => self.maker = None,
            (None, Some(_)) => self.maker.iter_mut().for_each(|lent| lent.failed(now)),
        }
        for (here, why) in &done.projects {
            // What was refused before something changed is asked for again.
            let counts = is_rung_now || why.is_none();
            if counts && self.projects.remove(here).is_some() {
                let outcome = why.clone().map_or(Ok(()), Err);
                self.made.insert(here.clone(), outcome);
            }
        }
        true
    }

    fn swept(&mut self, change: Option<u64>) {
        self.sweeper = None;
        // What has changed meanwhile is another sweep.
        if self.unswept == change {
            self.unswept = None;
        }
    }

    /// For a plugin that knows nothing of projects.
    fn give_up_projects(&mut self) {
        for here in std::mem::take(&mut self.projects).into_keys() {
            self.made.insert(here, Err(OLD_PLUGIN.to_owned()));
        }
    }
}

/// Whether somebody is at it, so that nobody else is asked.
fn is_at_it(lent: Option<&Lent>, now: Instant) -> bool {
    lent.is_some_and(|lent| lent.until > now)
}

#[cfg(test)]
mod tests {
    use alliance_core::cloud::CloudId;

    use super::*;

    fn ended(session: &str) -> EndedSession {
        EndedSession {
            session: session.to_owned(),
            cloud_id: CloudId::from_spki(b"west"),
            user_id: "ann".to_owned(),
            expires_at: 100,
        }
    }

    fn ack(batch: Option<u64>) -> DoorbellAck {
        DoorbellAck {
            ring: String::new(),
            node: String::new(),
            error: None,
            batch,
            projects: None,
        }
    }

    /// What a plugin asks that was rung so.
    fn asked(random: &str) -> DoorbellQuestion {
        DoorbellQuestion {
            secret: random.to_owned(),
            knows_later: false,
        }
    }

    /// The same of one that knows what may be done later.
    fn asked_by_new(random: &str) -> DoorbellQuestion {
        DoorbellQuestion {
            knows_later: true,
            ..asked(random)
        }
    }

    /// What such a plugin is told to do later, when it has acknowledged the rest.
    fn told_later(bell: &mut Bell, random: &str, at: Instant) -> Option<LaterWork> {
        let work = bell.answer(&asked_by_new(random), at);
        bell.done(&ack(work.as_ref().map(|work| work.batch)));
        work.and_then(|work| work.later)
    }

    /// What such a plugin says when it has done that.
    fn done(ring: &str, sweep: Option<u64>, error: Option<&str>) -> DoorbellDone {
        DoorbellDone {
            ring: ring.to_owned(),
            node: String::new(),
            error: error.map(str::to_owned),
            sweep,
            projects: BTreeMap::new(),
        }
    }

    fn wanted(project_id: &str) -> ProjectToMake {
        ProjectToMake {
            cloud_id: CloudId::from_spki(b"west"),
            project_id: project_id.to_owned(),
            name: "science".into(),
            domain_name: "Default".into(),
        }
    }

    fn ids(work: Option<&DoorbellWork>) -> Vec<&str> {
        let sessions = work
            .map(|work| work.sessions.as_slice())
            .unwrap_or_default();
        sessions.iter().map(|end| end.id.as_str()).collect()
    }

    #[test]
    fn sessions_stay_to_be_told_until_keystone_has_said_that_it_knows_them() {
        let mut bell = Bell::default();
        bell.end_sessions([ended("a")], true);
        assert!(bell.pending(Instant::now()).is_none(), "no secret yet");
        bell.change("ring~x".into(), 1);
        assert_eq!(bell.done(&ack(None)), (Some(1), Vec::new()));
        assert_eq!(bell.pending(Instant::now()), Some(("ring~x".into(), false)));
        assert!(
            bell.answer(&asked("y"), Instant::now()).is_none()
                && bell.answer(&asked("ring~x"), Instant::now()).is_none()
        );

        let first = bell.answer(&asked("x"), Instant::now());
        assert_eq!(ids(first.as_ref()), ["a"]);
        assert!(
            first
                .as_ref()
                .is_some_and(|work| work.flush && !work.changed)
        );
        // One more ends while a plugin is at it; another plugin is told of both.
        bell.end_sessions([ended("b")], true);
        let both = ["a".to_owned(), "b".to_owned()].into();
        assert!(!bell.has_told(&both));
        let second = bell.answer(&asked("x"), Instant::now());
        assert_eq!(ids(second.as_ref()), ["a", "b"]);
        let batch = |work: &Option<DoorbellWork>| work.as_ref().map(|work| work.batch);
        assert_eq!(bell.done(&ack(batch(&first))), (None, Vec::new()));
        assert!(bell.is_pending());
        assert_eq!(bell.done(&ack(batch(&second))).1, ["a", "b"]);
        assert!(!bell.is_pending() && bell.has_told(&both));
        // Rung again by who listened: nothing is to be done.
        let again = bell.answer(&asked("x"), Instant::now());
        assert!(
            again.is_some_and(|work| { !work.changed && !work.flush && work.sessions.is_empty() })
        );
    }

    #[test]
    fn a_change_that_came_meanwhile_is_not_taken_for_told() {
        let mut bell = Bell::default();
        bell.change("ring~x".into(), 1);
        let first = bell
            .answer(&asked("x"), Instant::now())
            .map(|work| work.batch);
        bell.end_sessions([], true);
        bell.change("ring~y".into(), 2);
        assert_eq!(bell.done(&ack(first)).0, Some(1));
        assert_eq!(bell.pending(Instant::now()), Some(("ring~y".into(), true)));
        assert!(bell.answer(&asked("x"), Instant::now()).is_none());
        let second = bell.answer(&asked("y"), Instant::now());
        assert!(
            second
                .as_ref()
                .is_some_and(|work| work.changed && work.flush)
        );
        bell.done(&ack(second.map(|work| work.batch)));
        assert!(bell.pending(Instant::now()).is_none());
    }

    #[test]
    fn many_sessions_are_told_in_parts() {
        let mut bell = Bell::default();
        bell.change("ring~x".into(), 1);
        let many = 2 * SESSIONS_AT_ONCE + 1;
        bell.end_sessions((0..many).map(|number| ended(&number.to_string())), false);
        let mut parts = Vec::new();
        while bell.is_pending() {
            let work = bell.answer(&asked("x"), Instant::now());
            parts.push(bell.done(&ack(work.map(|work| work.batch))).1.len());
        }
        assert_eq!(parts, [SESSIONS_AT_ONCE, SESSIONS_AT_ONCE, 1]);
    }

    #[test]
    fn a_project_is_asked_for_until_it_is_said_what_became_of_it() {
        let mut bell = Bell::default();
        bell.change("ring~x".into(), 1);
        let (one, other) = (
            bell.make_project(wanted("p")),
            bell.make_project(wanted("q")),
        );
        let work = bell.answer(&asked("x"), Instant::now());
        let batch = work.as_ref().map(|work| work.batch);
        assert_eq!(work.map(|work| work.projects.len()), Some(2));
        let outcomes = BTreeMap::from([(one.clone(), None)]);
        let said = DoorbellAck {
            projects: Some(outcomes),
            ..ack(batch)
        };
        bell.done(&said);
        assert_eq!(bell.made(&one), Some(Ok(())));
        assert_eq!(bell.made(&other), None);
        let batch = bell
            .answer(&asked("x"), Instant::now())
            .map(|work| work.batch);
        let limit = "project_limit".to_owned();
        let said = DoorbellAck {
            projects: Some(BTreeMap::from([(other.clone(), Some(limit.clone()))])),
            ..ack(batch)
        };
        bell.done(&said);
        assert_eq!(bell.made(&other), Some(Err(limit)));
        assert!(!bell.is_pending());
        // An earlier plugin knows nothing of projects.
        bell.make_project(wanted("p"));
        assert_eq!(bell.made(&one), None);
        let batch = bell
            .answer(&asked("x"), Instant::now())
            .map(|work| work.batch);
        bell.done(&ack(batch));
        assert_eq!(bell.made(&one), Some(Err(OLD_PLUGIN.to_owned())));
    }

    #[test]
    fn what_takes_its_time_keeps_no_change_and_no_session_waiting() {
        let mut bell = Bell::default();
        let start = Instant::now();
        bell.change("ring~x".into(), 7);
        let here = bell.make_project(wanted("p"));
        let first = bell.answer(&asked_by_new("x"), start);
        let batch = first.as_ref().map(|work| work.batch);
        assert!(
            first
                .as_ref()
                .is_some_and(|work| work.changed && work.projects.is_empty())
        );
        let first = first.and_then(|work| work.later);
        assert_eq!(first.as_ref().and_then(|later| later.sweep), Some(7));
        assert_eq!(first.map(|later| later.projects.len()), Some(1));
        assert_eq!(
            bell.done(&ack(batch)).0,
            Some(7),
            "Keystone knows the change"
        );
        // It is at it: nobody else is asked for the same.
        assert_eq!(bell.pending(start), None);
        assert!(bell.is_pending() && !bell.is_swept());
        assert_eq!(bell.next(), Some(start + PROJECTS_PATIENCE));
        // Meanwhile a session ends.
        bell.end_sessions([ended("a")], true);
        assert!(bell.pending(start).is_some());
        let meanwhile = bell.answer(&asked_by_new("x"), start);
        assert_eq!(ids(meanwhile.as_ref()), ["a"]);
        let nothing = LaterWork {
            sweep: None,
            projects: Vec::new(),
        };
        assert_eq!(
            meanwhile.as_ref().and_then(|work| work.later.as_ref()),
            Some(&nothing)
        );
        bell.done(&ack(meanwhile.map(|work| work.batch)));
        assert_eq!(bell.pending(start), None);
        // Who should do it is not waited for endlessly.
        let late = start + PROJECTS_PATIENCE;
        assert!(bell.pending(late).is_some());
        assert_eq!(
            told_later(&mut bell, "x", late).map(|later| later.projects.len()),
            Some(1)
        );
        assert_eq!(bell.next(), Some(late + PROJECTS_PATIENCE));
        let said = DoorbellDone {
            projects: BTreeMap::from([(here.clone(), None)]),
            ..done("x", Some(7), None)
        };
        assert!(!bell.done_later(
            &DoorbellDone {
                ring: "y".into(),
                ..done("", Some(7), None)
            },
            late
        ));
        assert!(bell.done_later(&said, late));
        assert_eq!(bell.made(&here), Some(Ok(())));
        assert!(!bell.is_pending() && bell.is_swept());
        assert_eq!(bell.next(), None);
    }

    #[test]
    fn a_sweep_that_failed_or_that_something_changed_under_is_done_again() {
        let mut bell = Bell::default();
        let start = Instant::now();
        let sweep = |bell: &mut Bell, random: &str, at| {
            told_later(bell, random, at).and_then(|later| later.sweep)
        };
        bell.change("ring~x".into(), 1);
        assert_eq!(sweep(&mut bell, "x", start), Some(1));
        assert!(bell.done_later(&done("x", Some(1), Some("no database")), start));
        assert_eq!(bell.pending(start), None, "not at once");
        let again = start + NEXT_TRIAL;
        assert!(bell.pending(again).is_some());
        assert_eq!(sweep(&mut bell, "x", again), Some(1));
        bell.change("ring~y".into(), 2);
        assert_eq!(sweep(&mut bell, "y", again), None, "somebody is at it");
        assert!(
            bell.done_later(&done("x", Some(1), None), again),
            "it was rung otherwise"
        );
        assert!(bell.pending(again).is_some());
        assert_eq!(sweep(&mut bell, "y", again), Some(2));
        assert!(bell.done_later(&done("y", Some(2), None), again));
        assert!(!bell.is_pending());
    }

    #[test]
    fn an_earlier_plugin_sweeps_before_it_acknowledges() {
        let mut bell = Bell::default();
        let start = Instant::now();
        bell.change("ring~x".into(), 1);
        // A newer one was told of the change, and is replaced before it sweeps.
        let work = bell.answer(&asked_by_new("x"), start);
        bell.done(&ack(work.map(|work| work.batch)));
        assert!(
            bell.answer(&asked("x"), start)
                .is_some_and(|work| !work.changed)
        );
        let late = start + SWEEP_PATIENCE;
        let work = bell.answer(&asked("x"), late);
        assert!(
            work.as_ref()
                .is_some_and(|work| work.changed && work.later.is_none())
        );
        assert!(bell.is_pending());
        bell.done(&ack(work.map(|work| work.batch)));
        assert!(!bell.is_pending());
    }

    #[test]
    fn who_sweeps_and_falls_silent_is_said_and_another_one_is_asked() {
        let mut bell = Bell::default();
        let start = Instant::now();
        bell.change("ring~x".into(), 1);
        let work = bell.answer(&asked_by_new("x"), start);
        bell.done(&ack(work.map(|work| work.batch)));
        let late = start + SWEEP_PATIENCE;
        assert!(!bell.is_sweeper_lost(start) && bell.is_sweeper_lost(late));
        assert!(bell.idle(start).is_some(), "nothing new is to be done");
        assert!(bell.idle(late).is_none() && bell.pending(late).is_some());
        let later = told_later(&mut bell, "x", late);
        assert_eq!(later.and_then(|later| later.sweep), Some(1));
        assert!(bell.done_later(&done("x", Some(1), Some("killed")), late));
        assert!(!bell.is_sweeper_lost(late + NEXT_TRIAL), "it has said so");
        // One that has not heard the daemon's answer does all there is.
        bell.done(&ack(None));
        bell.change("ring~y".into(), 2);
        let later = told_later(&mut bell, "y", late);
        assert_eq!(later.and_then(|later| later.sweep), Some(2));
    }

    #[test]
    fn one_plugin_makes_projects_and_what_it_refused_before_a_change_is_asked_for_again() {
        let mut bell = Bell::default();
        let start = Instant::now();
        bell.change("ring~x".into(), 1);
        let projects = |bell: &mut Bell, random: &str, at| {
            told_later(bell, random, at).map(|later| later.projects.len())
        };
        let says = |ring: &str, outcomes: &[(&String, Option<&str>)], error| DoorbellDone {
            projects: outcomes
                .iter()
                .map(|(here, why)| ((*here).clone(), why.map(str::to_owned)))
                .collect(),
            ..done(ring, None, error)
        };
        let (p, q) = (
            bell.make_project(wanted("p")),
            bell.make_project(wanted("q")),
        );
        assert_eq!(projects(&mut bell, "x", start), Some(2));
        // Somebody has lost patience, somebody else wants another one, and something changes.
        bell.make_project(wanted("p"));
        let r = bell.make_project(wanted("r"));
        assert_eq!(projects(&mut bell, "x", start), Some(0));
        bell.change("ring~y".into(), 2);
        assert_eq!(projects(&mut bell, "y", start), Some(0));
        let refused = Some("no agreement covers it");
        assert!(bell.done_later(&says("x", &[(&p, None), (&q, refused)], None), start));
        assert_eq!(bell.made(&p), Some(Ok(())));
        assert_eq!(bell.made(&q), None, "it was asked before the change");
        assert_eq!(projects(&mut bell, "y", start), Some(2));
        assert!(bell.done_later(&says("y", &[], Some("no database")), start));
        assert_eq!(projects(&mut bell, "y", start), Some(0), "not at once");
        let later = start + NEXT_TRIAL;
        assert_eq!(projects(&mut bell, "y", later), Some(2));
        // One that did not hear what it was asked has done what there always is, and no project.
        let said = DoorbellAck {
            ring: "y".into(),
            projects: Some(BTreeMap::new()),
            ..ack(None)
        };
        bell.done(&said);
        assert_eq!(bell.made(&r), None);
        assert_eq!(projects(&mut bell, "y", later), Some(2));
        let said = says("y", &[(&q, refused), (&r, None)], None);
        assert!(bell.done_later(&said, later));
        assert!(bell.made(&q).is_some_and(|made| made.is_err()));
        assert_eq!(bell.made(&r), Some(Ok(())));
    }

    #[test]
    fn who_acknowledges_what_another_one_was_told_later_ends_no_ring() {
        let mut bell = Bell::default();
        let start = Instant::now();
        bell.change("ring~x".into(), 1);
        let first = bell.answer(&asked_by_new("x"), start);
        let second = bell.answer(&asked_by_new("x"), start);
        let before = bell.said();
        bell.done(&ack(first.map(|work| work.batch)));
        assert_eq!(bell.said(), before);
        bell.done(&ack(second.map(|work| work.batch)));
        assert_ne!(bell.said(), before);
    }
}
