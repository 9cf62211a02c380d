//! When to leave a partner that does not answer alone. Pure: time is passed in.

use std::time::Duration;

/// Failures in a row before the breaker opens.
const THRESHOLD: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Time since any fixed moment, from a clock that never goes back.
pub type Moment = Duration;

/// A circuit breaker. Closed, it lets everybody through. After [`THRESHOLD`] failures in a row it
/// opens for a pause, then lets a single probe through: its success closes the breaker, its
/// failure doubles the pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Moment, pause: Duration },
    Probing { pause: Duration },
}

/// Leave to ask. Give it back with what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Leave {
    /// One of many.
    Ordinary,
    /// The one that finds out whether the partner is back.
    Probe,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

impl Breaker {
    /// Closed.
    pub fn new() -> Self {
        Self {
            state: State::Closed { failures: 0 },
        }
    }

    /// Whether somebody may ask at `now`.
    ///
    /// # Errors
    /// How long the pause still lasts; while a probe is under way, that is the shortest pause.
    pub fn ask(&mut self, now: Moment) -> Result<Leave, Duration> {
        match self.state {
            State::Closed { .. } => Ok(Leave::Ordinary),
            State::Open { until, pause } if now >= until => {
                self.state = State::Probing { pause };
                Ok(Leave::Probe)
            }
            State::Open { until, .. } => Err(until - now),
            State::Probing { .. } => Err(FIRST_PAUSE),
        }
    }

    /// The partner answered, whatever it said.
    pub fn succeeded(&mut self, _leave: Leave) {
        // Also the late answer of an ordinary question shows that the partner is there.
        self.state = State::Closed { failures: 0 };
    }

    /// The partner did not answer.
    pub fn failed(&mut self, leave: Leave, now: Moment) {
        let pause = match (&self.state, leave) {
            (State::Closed { failures }, _) if failures + 1 < THRESHOLD => {
                self.state = State::Closed {
                    failures: failures + 1,
                };
                return;
            }
            (State::Closed { .. }, _) => FIRST_PAUSE,
            (State::Probing { pause }, Leave::Probe) => (*pause * 2).min(LONGEST_PAUSE),
            // Questions from before the breaker opened tell nothing new.
            _ => return,
        };
        self.state = State::Open {
            until: now + pause,
            pause,
        };
    }

    /// Who asked gave up before anything came of it. If it was the probe, the next one may go.
    pub fn abandoned(&mut self, leave: Leave, now: Moment) {
        if let (State::Probing { pause }, Leave::Probe) = (&self.state, leave) {
            self.state = State::Open {
                until: now,
                pause: *pause,
            };
        }
    }

    /// Whether questions go through.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Moment {
        Duration::from_millis(millis)
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::new();
        for _ in 0..THRESHOLD {
            let leave = breaker.ask(at(0)).unwrap();
            breaker.failed(leave, at(0));
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let mut breaker = Breaker::new();
        for _ in 0..10 {
            for _ in 1..THRESHOLD {
                let leave = breaker.ask(at(0)).unwrap();
                breaker.failed(leave, at(0));
            }
            breaker.succeeded(Leave::Ordinary);
        }
        assert!(breaker.is_closed());
        assert!(!opened().is_closed());
    }

    #[test]
    fn after_the_pause_one_probe_goes_and_its_success_closes() {
        let mut breaker = opened();
        assert_eq!(breaker.ask(at(499)), Err(at(1)));
        assert_eq!(breaker.ask(at(500)), Ok(Leave::Probe));
        assert!(breaker.ask(at(500)).is_err());
        breaker.succeeded(Leave::Probe);
        assert_eq!(breaker.ask(at(501)), Ok(Leave::Ordinary));
    }

    #[test]
    fn pauses_double_up_to_ten_seconds_and_begin_anew_after_an_answer() {
        let mut breaker = opened();
        let mut now = at(0);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let pause = breaker.ask(now).unwrap_err();
            pauses.push(pause.as_millis());
            now += pause;
            let leave = breaker.ask(now).unwrap();
            breaker.failed(leave, now);
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        breaker.succeeded(Leave::Ordinary);
        for _ in 0..THRESHOLD {
            let leave = breaker.ask(now).unwrap();
            breaker.failed(leave, now);
        }
        assert_eq!(breaker.ask(now), Err(FIRST_PAUSE));
    }

    #[test]
    fn a_probe_that_was_given_up_makes_way_for_the_next() {
        let mut breaker = opened();
        let probe = breaker.ask(at(500)).unwrap();
        breaker.abandoned(probe, at(600));
        assert_eq!(breaker.ask(at(600)), Ok(Leave::Probe));
    }

    #[test]
    fn late_failures_of_old_questions_do_not_prolong_the_pause() {
        let mut breaker = opened();
        breaker.failed(Leave::Ordinary, at(400));
        let probe = breaker.ask(at(500)).unwrap();
        breaker.failed(Leave::Ordinary, at(501));
        breaker.succeeded(probe);
        assert!(breaker.is_closed());
    }

    proptest! {
        #[test]
        fn whatever_happens_there_is_at_most_one_probe_and_no_pause_beyond_ten_seconds(
            steps in proptest::collection::vec((0u8..4, 0u64..3000), 1..200)
        ) {
            let mut breaker = Breaker::new();
            let mut now = at(0);
            let mut probes = 0;
            for (what, millis) in steps {
                now += at(millis);
                match what {
                    0 => match breaker.ask(now) {
                        Ok(Leave::Probe) => probes += 1,
                        Ok(Leave::Ordinary) => prop_assert_eq!(probes, 0),
                        Err(wait) => prop_assert!(wait <= LONGEST_PAUSE),
                    },
                    1 if probes > 0 => { breaker.succeeded(Leave::Probe); probes = 0 }
                    2 if probes > 0 => { breaker.failed(Leave::Probe, now); probes = 0 }
                    3 if probes > 0 => { breaker.abandoned(Leave::Probe, now); probes = 0 }
                    _ => breaker.failed(Leave::Ordinary, now),
                }
                prop_assert!(probes <= 1);
            }
        }
    }
}
