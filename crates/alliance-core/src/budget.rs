//! A budget that refills: how many wrong answers somebody may cause.

/// A token bucket with time passed in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    rate: f64,
    burst: f64,
    left: f64,
    at: f64,
}

impl Budget {
    /// `rate` units come back each second, up to `burst`; full at `now` (seconds, any origin).
    pub fn full(rate: f64, burst: f64, now: f64) -> Self {
        Self {
            rate,
            burst,
            left: burst,
            at: now,
        }
    }

    /// Whether anything is left at `now`. Takes nothing.
    pub fn has_any(&mut self, now: f64) -> bool {
        self.refill(now);
        self.left >= 1.0
    }

    /// Takes one unit; the budget may go below zero by the answers that were already under way.
    pub fn take(&mut self, now: f64) {
        self.refill(now);
        self.left = (self.left - 1.0).max(-self.burst);
    }

    fn refill(&mut self, now: f64) {
        let elapsed = (now - self.at).max(0.0);
        self.left = (self.left + elapsed * self.rate).min(self.burst);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_budget_refills_at_its_rate() {
        let mut budget = Budget::full(2.0, 3.0, 0.0);
        for _ in 0..3 {
            assert!(budget.has_any(0.0));
            budget.take(0.0);
        }
        assert!(!budget.has_any(0.0));
        assert!(!budget.has_any(0.4));
        assert!(budget.has_any(0.5));
    }

    #[test]
    fn a_clock_that_steps_back_gives_nothing_away() {
        let mut budget = Budget::full(1.0, 1.0, 100.0);
        budget.take(100.0);
        assert!(!budget.has_any(50.0));
    }
}
