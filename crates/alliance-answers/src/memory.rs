//! What is remembered of answers, and for how long it counts. Time is a parameter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use alliance_core::refusal::Reason;
use quick_cache::sync::Cache;

use crate::{Kept, Key, Outcome};

/// How long a subject of a good answer is asked about again whatever others make up.
const FAMILIAR: Duration = Duration::from_secs(3600);

/// A *yes*, and since how many calls of [`Memory::forget_all`] it counts.
struct Entry<T> {
    kept: Arc<Kept<T>>,
    epoch: u64,
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self {
            kept: Arc::clone(&self.kept),
            epoch: self.epoch,
        }
    }
}

/// The answers that are kept.
pub struct Memory<T> {
    /// The last *yes* about each subject, fresh or not: who had one lately is familiar.
    active: Cache<Key, Entry<T>>,
    inactive: Cache<Key, (Reason, Instant, u64)>,
    epoch: AtomicU64,
    negative_ttl: Duration,
}

impl<T> Memory<T> {
    /// Nothing. Remembers at most `capacity` answers of each kind; a *no* counts for `negative_ttl`.
    pub fn new(capacity: usize, negative_ttl: Duration) -> Self {
        Self {
            active: Cache::new(capacity),
            inactive: Cache::new(capacity),
            epoch: AtomicU64::new(0),
            negative_ttl,
        }
    }

    /// What an answer belongs to that is asked for now: [`Memory::forget_all`] ends it.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// A kept *yes* that is not older than `max_age`.
    pub fn fresh(&self, key: &Key, max_age: Duration, now: Instant) -> Option<Arc<Kept<T>>> {
        let entry = self.active.get(key)?;
        let age = now.saturating_duration_since(entry.kept.asked_at);
        let fresh = entry.epoch == self.epoch() && age <= max_age;
        fresh.then_some(entry.kept)
    }

    /// What is known: such a *yes*, or a *no* that still counts.
    pub fn known(&self, key: &Key, max_age: Duration, now: Instant) -> Option<Outcome<T>> {
        if let Some(kept) = self.fresh(key, max_age, now) {
            return Some(Outcome::Active(kept));
        }
        let (reason, since, epoch) = self.inactive.get(key)?;
        let age = now.saturating_duration_since(since);
        let counts = epoch == self.epoch() && age < self.negative_ttl;
        counts.then_some(Outcome::Inactive(reason))
    }

    /// Whether there was a *yes* not long ago.
    pub fn is_familiar(&self, key: &Key, now: Instant) -> bool {
        let entry = self.active.get(key);
        entry.is_some_and(|entry| now.saturating_duration_since(entry.kept.asked_at) < FAMILIAR)
    }

    /// Keeps what came of a question that left in this epoch.
    pub fn keep(&self, key: Key, outcome: &Outcome<T>, epoch: u64, now: Instant) {
        match outcome {
            Outcome::Active(kept) => {
                self.inactive.remove(&key);
                let kept = Arc::clone(kept);
                self.active.insert(key, Entry { kept, epoch });
            }
            Outcome::Inactive(reason) => {
                self.active.remove(&key);
                self.inactive.insert(key, (*reason, now, epoch));
            }
            Outcome::Failed(_) => {}
        }
    }

    /// From now on no answer about this subject counts that is kept.
    pub fn forget(&self, key: &Key) {
        self.active.remove(key);
        self.inactive.remove(key);
    }

    /// From now on no answer counts that was asked for before.
    pub fn forget_all(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.inactive.clear();
    }
}
