//! What passes between this cloud and each partner, for people who look at it: what is exposed to
//! monitoring cannot be read back.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Since the daemon's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Answers to our Keystone about its tokens.
    pub came: u64,
    /// How many of them did not let anybody in.
    pub refused: u64,
    /// Answers to it about our tokens.
    pub went: u64,
}

/// By the partner's alias.
#[derive(Debug, Default)]
pub(crate) struct Traffic(Mutex<BTreeMap<String, Counts>>);

impl Traffic {
    /// Our Keystone was answered about a token of the partner's.
    pub(crate) fn came(&self, partner: &str, is_valid: bool) {
        self.count(partner, |counts| {
            counts.came += 1;
            counts.refused += u64::from(!is_valid);
        });
    }

    /// The partner was answered about a token of ours.
    pub(crate) fn went(&self, partner: &str) {
        self.count(partner, |counts| counts.went += 1);
    }

    /// All there is.
    pub(crate) fn read(&self) -> BTreeMap<String, Counts> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn count(&self, partner: &str, count: impl FnOnce(&mut Counts)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(partner) {
            Some(counts) => count(counts),
            None => count(all.entry(partner.to_owned()).or_default()),
        }
    }
}
