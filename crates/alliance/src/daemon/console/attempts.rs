//! How often a login may fail: Keystone is not for guessing, nor to be kept busy.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use alliance_core::budget::Budget;
use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// Failures in a row of one name, and how many come back each second.
const OF_ONE: (f64, f64) = (5.0, 1.0 / 60.0);
/// Those of all names, which an attacker chooses.
const OF_ALL: (f64, f64) = (30.0, 0.5);
/// So many names are remembered.
const NAMES: usize = 1000;

/// The name of who shows a password: one, however Keystone's database takes letters and blanks.
pub(super) fn of_person(domain: &str, username: &str) -> String {
    let plain = |name: &str| name.trim().to_lowercase();
    format!("{}\n{}", plain(domain), plain(username))
}

/// That of who shows a token, which nobody guesses: one that is refused keeps out no other.
pub(super) fn of_token(token: &SecretString) -> String {
    HEXLOWER.encode(&Sha256::digest(token.expose_secret()))
}

/// What is left.
pub(super) struct Attempts {
    start: Instant,
    left: Mutex<Left>,
}

struct Left {
    all: Budget,
    names: HashMap<String, Budget>,
}

impl Attempts {
    /// Nothing has failed.
    pub(super) fn new() -> Self {
        let (burst, rate) = OF_ALL;
        let left = Left {
            all: Budget::full(rate, burst, 0.0),
            names: HashMap::new(),
        };
        Self {
            start: Instant::now(),
            left: Mutex::new(left),
        }
    }

    /// Whether one may be made in this name.
    pub(super) fn may(&self, name: &str) -> bool {
        self.may_at(name, self.now())
    }

    /// It has failed.
    pub(super) fn failed(&self, name: &str) {
        self.failed_at(name, self.now());
    }

    fn now(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn may_at(&self, name: &str, now: f64) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.all.has_any(now)
            && left
                .names
                .get_mut(name)
                .is_none_or(|budget| budget.has_any(now))
    }

    fn failed_at(&self, name: &str, now: f64) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.all.take(now);
        let (burst, rate) = OF_ONE;
        if left.names.len() >= NAMES && !left.names.contains_key(name) {
            left.names.retain(|_, budget| !budget.has_any(now));
            if left.names.len() >= NAMES {
                return;
            }
        }
        left.names
            .entry(name.to_owned())
            .or_insert_with(|| Budget::full(rate, burst, now))
            .take(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_too_often_waits_and_others_do_not() {
        let attempts = Attempts::new();
        for _ in 0..5 {
            assert!(attempts.may_at("ann", 0.0));
            attempts.failed_at("ann", 0.0);
        }
        assert!(!attempts.may_at("ann", 59.0));
        assert!(attempts.may_at("bob", 0.0));
        assert!(attempts.may_at("ann", 60.0));
    }

    #[test]
    fn a_person_is_one_however_they_are_spelled_and_each_token_is_another() {
        assert_eq!(of_person("Default", "Ann "), of_person("default", "ann"));
        assert_ne!(of_person("a", "b c"), of_person("a b", "c"));
        assert_ne!(of_token(&"one".into()), of_token(&"two".into()));
    }

    #[test]
    fn many_names_together_are_bounded_too() {
        let attempts = Attempts::new();
        for number in 0..30 {
            let name = number.to_string();
            assert!(attempts.may_at(&name, 0.0), "{name}");
            attempts.failed_at(&name, 0.0);
        }
        assert!(!attempts.may_at("ann", 1.0));
        assert!(attempts.may_at("ann", 2.0));
    }
}
