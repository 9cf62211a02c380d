//! How many wrong answers each partner may cause: anyone on the Internet can send strings that
//! look like a partner's tokens, and none of it may load either cloud.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use alliance_core::budget::Budget;
use alliance_core::cloud::CloudId;
use alliance_core::refusal::Reason;

use crate::config::InvalidBudget;

/// A [`Budget`] per partner.
pub(crate) struct Budgets {
    rate: f64,
    burst: f64,
    start: Instant,
    left: Mutex<HashMap<CloudId, Budget>>,
}

impl Budgets {
    /// All full.
    pub(crate) fn new(settings: &InvalidBudget) -> Self {
        Self {
            rate: settings.rate,
            burst: f64::from(settings.burst),
            start: Instant::now(),
            left: Mutex::default(),
        }
    }

    /// Whether another unknown token may be asked about.
    ///
    /// # Errors
    /// [`Reason::Budget`] if not.
    pub(crate) fn may_ask(&self, partner: &CloudId) -> Result<(), Reason> {
        if self.with(partner, Budget::has_any) {
            Ok(())
        } else {
            Err(Reason::Budget)
        }
    }

    /// Counts a wrong answer.
    pub(crate) fn wrong(&self, partner: &CloudId) {
        self.with(partner, Budget::take);
    }

    fn with<R>(&self, partner: &CloudId, act: impl FnOnce(&mut Budget, f64) -> R) -> R {
        let now = self.start.elapsed().as_secs_f64();
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = left
            .entry(partner.clone())
            .or_insert_with(|| Budget::full(self.rate, self.burst, now));
        act(budget, now)
    }
}
