//! How far another cloud's clock is from ours, by the date on its answers.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde::{Deserialize, Serialize};

/// A difference that an operator is told of, in seconds: half of what is tolerated.
pub const WORTH_A_WARNING: f64 = 30.0;

/// How far a clock is ahead of ours, as far as that can be told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Skew {
    /// Seconds; negative where it is behind.
    pub ahead: f64,
    /// Seconds by which that may be wrong.
    pub within: f64,
}

impl Skew {
    /// Measured by an answer that says `date`, in whole seconds as HTTP does, to a question that left at
    /// `sent` and was answered at `received`, by our clock. Seconds since the Unix epoch.
    pub fn measured(sent: f64, received: f64, date: f64) -> Self {
        let half = (received - sent).max(0.0) / 2.0;
        Self {
            ahead: date + 0.5 - (sent + half),
            within: half + 0.5,
        }
    }

    /// The same by the `Date` of an HTTP answer, as it stands in its header.
    pub fn by_date(sent: Timestamp, round_trip: Duration, date: &str) -> Option<Self> {
        let seconds = |time: Timestamp| time.as_duration().as_secs_f64();
        let date = seconds(rfc2822::parse(date).ok()?.timestamp());
        let sent = seconds(sent);
        Some(Self::measured(sent, sent + round_trip.as_secs_f64(), date))
    }

    /// Whether the clocks surely differ by more than [`WORTH_A_WARNING`].
    pub fn is_worth_a_warning(self) -> bool {
        self.is_surely_more_than(WORTH_A_WARNING)
    }

    /// Whether the clocks surely differ by more than so many seconds.
    pub fn is_surely_more_than(self, seconds: f64) -> bool {
        self.ahead.abs() - self.within > seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_makes_the_measure_coarse_and_not_wrong() {
        let quick = Skew::measured(1000.25, 1000.75, 1000.0);
        assert_eq!((quick.ahead, quick.within), (0.0, 0.75));
        let slow = Skew::measured(1000.0, 1010.0, 1009.0);
        assert!(slow.ahead.abs() <= slow.within, "{slow:?}");
    }

    #[test]
    fn what_the_way_may_have_taken_is_no_difference_of_clocks() {
        let ahead = |seconds: f64, way: f64| Skew::measured(1000.0, 1000.0 + way, 1000.0 + seconds);
        assert!(ahead(40.0, 0.1).is_worth_a_warning());
        assert!(ahead(-40.0, 0.1).is_worth_a_warning());
        assert!(!ahead(29.0, 0.1).is_worth_a_warning());
        assert!(!ahead(40.0, 30.0).is_worth_a_warning());
    }
}
