//! Users of ours who are abroad, as far as hosts have asked about their tokens since this daemon runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::session::{Session, Sessions};
use alliance_core::sign_out::Change;
use alliance_core::statement::TokenFacts;

/// No more of one host are remembered: they are shown to people.
const MOST: usize = 20_000;

/// By host.
#[derive(Debug, Default)]
pub(crate) struct Abroad(Mutex<HashMap<CloudId, Sessions>>);

impl Abroad {
    /// We vouched for a token to `host`.
    pub(crate) fn begin(&self, host: &CloudId, own: &CloudId, facts: &TokenFacts, now: Seconds) {
        let Some(session) = Session::of(facts, own) else {
            return;
        };
        let mut hosts = self.hosts();
        let sessions = hosts.entry(host.clone()).or_default();
        if sessions.len() < MOST {
            sessions.begin(session, now);
        }
    }

    /// A host asked about a token that is none.
    pub(super) fn end(&self, host: &CloudId, token: &[u8; 32]) {
        if let Some(sessions) = self.hosts().get_mut(host) {
            sessions.forget(token);
        }
    }

    /// What has ended here, and what has expired at `now`.
    pub(super) fn apply<'a>(&self, changes: impl Iterator<Item = &'a Change>, now: Seconds) {
        let changes: Vec<_> = changes.cloned().collect();
        for sessions in self.hosts().values_mut() {
            for session in sessions.apply(&changes, now).ended {
                sessions.forget(&session.token);
            }
            sessions.forget_expired(now);
        }
    }

    /// All, each with its host.
    pub(crate) fn list(&self) -> Vec<(CloudId, Arc<Session>)> {
        let hosts = self.hosts();
        let all = hosts.iter().flat_map(|(host, sessions)| {
            let sessions = sessions.iter();
            sessions.map(|session| (host.clone(), Arc::clone(session)))
        });
        all.collect()
    }

    /// How many are at each host.
    pub(crate) fn count(&self) -> HashMap<CloudId, usize> {
        let hosts = self.hosts();
        let counts = hosts.iter();
        counts
            .map(|(host, sessions)| (host.clone(), sessions.len()))
            .collect()
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<CloudId, Sessions>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use alliance_core::revocation::RevocationEvent;
    use jiff::Timestamp;

    use super::*;
    use crate::daemon::bed::token_facts;

    fn facts(number: u8, own: &str) -> TokenFacts {
        token_facts(number, own, Timestamp::from_second(100).unwrap_or_default())
    }

    #[test]
    fn who_logs_out_or_expires_is_abroad_no_more() {
        let (east, west) = (CloudId::from_spki(b"east"), CloudId::from_spki(b"west"));
        let abroad = Abroad::default();
        for (number, own) in [(1, "one"), (2, "two"), (3, "three"), (3, "three")] {
            abroad.begin(&east, &west, &facts(number, own), 110);
        }
        assert_eq!(abroad.list().len(), 3);
        assert_eq!(abroad.count(), [(east.clone(), 3)].into());
        let logout = Change::Revoked(RevocationEvent {
            audit_id: Some("one".into()),
            issued_before: Timestamp::from_second(120).unwrap_or_default(),
            ..RevocationEvent::default()
        });
        abroad.apply([&logout].into_iter(), 120);
        abroad.end(&east, &[2; 32]);
        abroad.end(&west, &[3; 32]);
        let left: Vec<_> = abroad
            .list()
            .into_iter()
            .map(|(_, one)| one.token)
            .collect();
        assert_eq!(left, [[3; 32]]);
        abroad.apply(std::iter::empty(), 3700);
        assert!(abroad.list().is_empty());
    }
}
