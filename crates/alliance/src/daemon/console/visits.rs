//! Who is logged in: in memory, so that a restart logs everybody out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

use super::operator::Operator;

/// No more at once: the one that did nothing for longest goes.
const MOST: usize = 64;
/// A visit ends when its operator has done nothing for so long,
const IDLE: Duration = Duration::from_secs(15 * 60);
/// and after so long in any case.
const LONGEST: Duration = Duration::from_secs(8 * 3600);
/// How long Keystone's word that its operator still holds the role counts.
const CONFIRMED: Duration = Duration::from_secs(60);

/// All of them, by the SHA-256 of what the cookie holds.
#[derive(Default)]
pub(super) struct Visits(Mutex<HashMap<[u8; 32], Entry>>);

struct Entry {
    operator: Arc<Operator>,
    token: String,
    begun: Instant,
    used: Instant,
    confirmed: Instant,
    said: Option<String>,
}

impl Entry {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.used) >= IDLE || now.duration_since(self.begun) >= LONGEST
    }
}

/// One, as a request sees it.
#[derive(Clone)]
pub(super) struct Visit {
    key: [u8; 32],
    /// Whose.
    pub operator: Arc<Operator>,
    /// What each form of it must carry.
    pub token: String,
    /// Whether Keystone should be asked again about its operator.
    pub is_unconfirmed: bool,
}

/// What somebody does who shows a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// Clicks: the visit goes on.
    Alive,
    /// Nothing: its browser keeps a page up to date.
    Idle,
}

impl Visits {
    /// Begins one. Returns what the cookie is to hold.
    pub(super) fn begin(&self, operator: Operator, now: Instant) -> String {
        let cookie = random();
        let entry = Entry {
            operator: Arc::new(operator),
            token: random(),
            begun: now,
            used: now,
            confirmed: now,
            said: None,
        };
        let mut all = self.all();
        all.retain(|_, entry| !entry.is_over(now));
        if all.len() >= MOST {
            let idle = all.iter().min_by_key(|(_, entry)| entry.used);
            if let Some(key) = idle.map(|(key, _)| *key) {
                all.remove(&key);
            }
        }
        all.insert(key(&cookie), entry);
        cookie
    }

    /// That of a cookie, if it goes on.
    pub(super) fn find(&self, cookie: &str, sign: Sign, now: Instant) -> Option<Visit> {
        let key = key(cookie);
        let mut all = self.all();
        let entry = all.get_mut(&key)?;
        if entry.is_over(now) {
            all.remove(&key);
            return None;
        }
        if sign == Sign::Alive {
            entry.used = now;
        }
        Some(Visit {
            key,
            operator: Arc::clone(&entry.operator),
            token: entry.token.clone(),
            is_unconfirmed: now.duration_since(entry.confirmed) >= CONFIRMED,
        })
    }

    /// Keystone says that its operator still holds the role.
    pub(super) fn confirm(&self, visit: &Visit, now: Instant) {
        if let Some(entry) = self.all().get_mut(&visit.key) {
            entry.confirmed = now;
        }
    }

    /// Whether it goes on.
    pub(super) fn goes_on(&self, visit: &Visit, now: Instant) -> bool {
        let all = self.all();
        all.get(&visit.key).is_some_and(|entry| !entry.is_over(now))
    }

    /// Ends it.
    pub(super) fn end(&self, visit: &Visit) {
        self.all().remove(&visit.key);
    }

    /// What its next page says first.
    pub(super) fn say(&self, visit: &Visit, text: String) {
        if let Some(entry) = self.all().get_mut(&visit.key) {
            entry.said = Some(text);
        }
    }

    /// Takes that.
    pub(super) fn said(&self, visit: &Visit) -> Option<String> {
        self.all().get_mut(&visit.key)?.said.take()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<[u8; 32], Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 256 bits that nobody guesses.
fn random() -> String {
    BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>())
}

fn key(cookie: &str) -> [u8; 32] {
    Sha256::digest(cookie).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::console::operator::tests::ann;

    #[test]
    fn a_visit_ends_when_its_operator_is_away_however_busy_the_browser_is() {
        let (visits, start) = (Visits::default(), Instant::now());
        let cookie = visits.begin(ann(), start);
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        assert!(visits.find(&cookie, Sign::Alive, at(14)).is_some());
        assert!(visits.find(&cookie, Sign::Idle, at(28)).is_some());
        assert!(visits.find(&cookie, Sign::Idle, at(29)).is_none());
        assert!(
            visits.find(&cookie, Sign::Alive, at(28)).is_none(),
            "it is gone"
        );
    }

    #[test]
    fn a_visit_ends_after_eight_hours_whatever_its_operator_does() {
        let (visits, start) = (Visits::default(), Instant::now());
        let cookie = visits.begin(ann(), start);
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        for minute in (0..480).step_by(10) {
            assert!(visits.find(&cookie, Sign::Alive, at(minute)).is_some());
        }
        assert!(visits.find(&cookie, Sign::Alive, at(480)).is_none());
    }

    #[test]
    fn there_are_so_many_at_most_and_the_idlest_goes_first() {
        let (visits, start) = (Visits::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let first = visits.begin(ann(), at(0));
        let second = visits.begin(ann(), at(1));
        assert!(visits.find(&first, Sign::Alive, at(2)).is_some());
        for _ in 2..=MOST {
            visits.begin(ann(), at(3));
        }
        assert!(visits.find(&second, Sign::Alive, at(4)).is_none());
        assert!(visits.find(&first, Sign::Alive, at(4)).is_some());
        assert_eq!(visits.all().len(), MOST);
    }

    #[test]
    fn what_is_said_is_said_once_and_to_whom_it_is_about() -> Result<(), &'static str> {
        let (visits, now) = (Visits::default(), Instant::now());
        let [one, two] = [(); 2].map(|()| visits.begin(ann(), now));
        assert_ne!(one, two);
        let find = |cookie: &str| visits.find(cookie, Sign::Alive, now).ok_or("it is gone");
        let (one, two) = (find(&one)?, find(&two)?);
        assert_ne!(one.token, two.token);
        visits.say(&one, "done".to_owned());
        assert_eq!(visits.said(&two), None);
        assert_eq!(visits.said(&one).as_deref(), Some("done"));
        assert_eq!(visits.said(&one), None);
        visits.end(&one);
        assert!(!visits.goes_on(&one, now) && visits.goes_on(&two, now));
        Ok(())
    }

    #[test]
    fn keystone_is_asked_again_after_a_minute() -> Result<(), &'static str> {
        let (visits, start) = (Visits::default(), Instant::now());
        let cookie = visits.begin(ann(), start);
        let after = |seconds| {
            let now = start + Duration::from_secs(seconds);
            let visit = visits.find(&cookie, Sign::Idle, now).ok_or("it is gone")?;
            Ok::<_, &str>((visit, now))
        };
        assert!(!after(59)?.0.is_unconfirmed);
        let (visit, now) = after(60)?;
        assert!(visit.is_unconfirmed);
        visits.confirm(&visit, now);
        assert!(!after(119)?.0.is_unconfirmed);
        Ok(())
    }
}
