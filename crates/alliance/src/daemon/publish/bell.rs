//! The doorbell: what our Keystone is still to be told, until one of its plugins has said that it has
//! done it.

use std::collections::{BTreeMap, BTreeSet};

use alliance_core::keystone_id;
use alliance_store::EndedSession;

use crate::wire::{DoorbellAck, DoorbellWork, ProjectToMake, SessionEnd};

/// How many sessions Keystone is told of at once.
const SESSIONS_AT_ONCE: usize = 1000;
/// How many projects it is asked for at once: each takes it some time.
const PROJECTS_AT_ONCE: usize = 10;
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
    /// Sessions that have ended, by their ids.
    pub(super) sessions: BTreeMap<String, SessionEnd>,
    /// Projects that are to be there, by their ids here.
    projects: BTreeMap<String, ProjectToMake>,
    /// What became of others.
    made: BTreeMap<String, Result<(), String>>,
    /// How often Keystone was to forget what it remembers, and how often it has.
    pub(super) flushes: (u64, u64),
    /// What was told last.
    told: Told,
    /// How often something was acknowledged.
    pub(super) done: u64,
    /// How often a plugin came to who rang, whether or not something was to be done.
    pub(super) heard: u64,
    /// Sessions that were untold when that was last looked at.
    untold: BTreeSet<String>,
}

/// What a plugin that asked is about to do.
#[derive(Debug, Default)]
struct Told {
    batch: u64,
    generation: Option<u64>,
    sessions: Vec<String>,
    projects: Vec<String>,
    flushes: u64,
}

impl Bell {
    pub(super) fn change(&mut self, secret: String, generation: u64) {
        self.secret = Some(secret);
        self.generation = Some(generation);
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

    pub(super) fn is_pending(&self) -> bool {
        let (wanted, done) = self.flushes;
        let is_asked = !self.sessions.is_empty() || !self.projects.is_empty();
        self.generation.is_some() || is_asked || wanted != done
    }

    /// What to ring with, and whether it is about more than sessions.
    pub(super) fn pending(&self) -> Option<(String, bool)> {
        let secret = self.secret.as_ref().filter(|_| self.is_pending())?;
        Some((secret.clone(), self.generation.is_some()))
    }

    /// What to ring with to see whether a plugin comes, and how often one has; none while something is
    /// pending.
    pub(super) fn idle(&self) -> Option<(String, u64)> {
        let secret = self.secret.as_ref().filter(|_| !self.is_pending())?;
        Some((secret.clone(), self.heard))
    }

    pub(super) fn is_rung_by(&self, random: &str) -> bool {
        let secret = self.secret.as_deref();
        secret.and_then(|secret| secret.strip_prefix(RING_PREFIX)) == Some(random)
    }

    pub(super) fn answer(&mut self, random: &str) -> Option<DoorbellWork> {
        if !self.is_rung_by(random) {
            return None;
        }
        self.heard += 1;
        let work = DoorbellWork {
            changed: self.generation.is_some(),
            batch: self.told.batch + 1,
            sessions: self
                .sessions
                .values()
                .take(SESSIONS_AT_ONCE)
                .cloned()
                .collect(),
            flush: self.flushes.0 != self.flushes.1,
            projects: self
                .projects
                .values()
                .take(PROJECTS_AT_ONCE)
                .cloned()
                .collect(),
        };
        self.told = Told {
            batch: work.batch,
            generation: self.generation,
            sessions: work.sessions.iter().map(|end| end.id.clone()).collect(),
            projects: self
                .projects
                .keys()
                .take(PROJECTS_AT_ONCE)
                .cloned()
                .collect(),
            flushes: self.flushes.0,
        };
        Some(work)
    }

    /// A plugin did what it was told in a batch; one of an earlier version names none and knows of
    /// the snapshot only.
    pub(super) fn done(&mut self, ack: &DoorbellAck) -> (Option<u64>, Vec<String>) {
        self.done += 1;
        if ack.batch.is_none() {
            self.give_up_projects();
            return (self.generation.take(), Vec::new());
        }
        if ack.batch != Some(self.told.batch) {
            // Another one asked since, and will say so too.
            return (None, Vec::new());
        }
        let told = std::mem::take(&mut self.told);
        self.told.batch = told.batch;
        if self.generation == told.generation {
            self.generation = None;
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

    fn give_up_projects(&mut self) {
        for here in std::mem::take(&mut self.projects).into_keys() {
            self.made.insert(here, Err(OLD_PLUGIN.to_owned()));
        }
    }
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
        assert!(bell.pending().is_none(), "no secret yet");
        bell.change("ring~x".into(), 1);
        assert_eq!(bell.done(&ack(None)), (Some(1), Vec::new()));
        assert_eq!(bell.pending(), Some(("ring~x".into(), false)));
        assert!(bell.answer("y").is_none() && bell.answer("ring~x").is_none());

        let first = bell.answer("x");
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
        let second = bell.answer("x");
        assert_eq!(ids(second.as_ref()), ["a", "b"]);
        let batch = |work: &Option<DoorbellWork>| work.as_ref().map(|work| work.batch);
        assert_eq!(bell.done(&ack(batch(&first))), (None, Vec::new()));
        assert!(bell.is_pending());
        assert_eq!(bell.done(&ack(batch(&second))).1, ["a", "b"]);
        assert!(!bell.is_pending() && bell.has_told(&both));
        // Rung again by who listened: nothing is to be done.
        let again = bell.answer("x");
        assert!(
            again.is_some_and(|work| { !work.changed && !work.flush && work.sessions.is_empty() })
        );
    }

    #[test]
    fn a_change_that_came_meanwhile_is_not_taken_for_told() {
        let mut bell = Bell::default();
        bell.change("ring~x".into(), 1);
        let first = bell.answer("x").map(|work| work.batch);
        bell.end_sessions([], true);
        bell.change("ring~y".into(), 2);
        assert_eq!(bell.done(&ack(first)).0, Some(1));
        assert_eq!(bell.pending(), Some(("ring~y".into(), true)));
        assert!(bell.answer("x").is_none());
        let second = bell.answer("y");
        assert!(
            second
                .as_ref()
                .is_some_and(|work| work.changed && work.flush)
        );
        bell.done(&ack(second.map(|work| work.batch)));
        assert!(bell.pending().is_none());
    }

    #[test]
    fn many_sessions_are_told_in_parts() {
        let mut bell = Bell::default();
        bell.change("ring~x".into(), 1);
        let many = 2 * SESSIONS_AT_ONCE + 1;
        bell.end_sessions((0..many).map(|number| ended(&number.to_string())), false);
        let mut parts = Vec::new();
        while bell.is_pending() {
            let work = bell.answer("x");
            parts.push(bell.done(&ack(work.map(|work| work.batch))).1.len());
        }
        assert_eq!(parts, [SESSIONS_AT_ONCE, SESSIONS_AT_ONCE, 1]);
    }

    #[test]
    fn a_project_is_asked_for_until_it_is_said_what_became_of_it() {
        let mut bell = Bell::default();
        bell.change("ring~x".into(), 1);
        let wanted = |project_id: &str| ProjectToMake {
            cloud_id: CloudId::from_spki(b"west"),
            project_id: project_id.to_owned(),
            name: "science".into(),
            domain_name: "Default".into(),
        };
        let (one, other) = (
            bell.make_project(wanted("p")),
            bell.make_project(wanted("q")),
        );
        let work = bell.answer("x");
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
        let batch = bell.answer("x").map(|work| work.batch);
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
        let batch = bell.answer("x").map(|work| work.batch);
        bell.done(&ack(batch));
        assert_eq!(bell.made(&one), Some(Err(OLD_PLUGIN.to_owned())));
    }
}
