//! How much has passed between this cloud and each partner in the last ten minutes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::daemon::metrics::Counts;

/// Seconds between two samples.
pub(super) const STEP: u64 = 15;
/// How many steps are shown.
pub(super) const STEPS: usize = 40;
/// So many are a minute.
const MINUTE: usize = 4;

/// Samples of what was counted, the oldest first.
#[derive(Default)]
pub(super) struct Pace(Mutex<VecDeque<BTreeMap<String, Counts>>>);

/// That of one partner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Flow {
    /// Answers about its tokens here, in the last minute.
    pub came: u64,
    /// How many of them let nobody in.
    pub refused: u64,
    /// Answers to it about our tokens, in the last minute.
    pub went: u64,
    /// Both, in each step, the oldest first.
    pub steps: Vec<u64>,
}

impl Pace {
    /// Takes a sample.
    pub(super) fn sample(&self, counts: BTreeMap<String, Counts>) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while samples.len() > STEPS {
            samples.pop_front();
        }
        samples.push_back(counts);
    }

    /// What has passed; `counts` is what is counted now.
    pub(super) fn flow(&self, partner: &str, counts: &BTreeMap<String, Counts>) -> Flow {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of =
            |sample: &BTreeMap<String, Counts>| sample.get(partner).copied().unwrap_or_default();
        let mut all: Vec<Counts> = samples.iter().map(of).collect();
        all.push(of(counts));
        let last = all.last().copied().unwrap_or_default();
        let minute_ago = all.len().saturating_sub(MINUTE + 1);
        let before = all.get(minute_ago).copied().unwrap_or_default();
        let steps = all.windows(2).filter_map(|pair| match pair {
            [before, after] => {
                let passed = since(before, after);
                Some(passed.came + passed.went)
            }
            _ => None,
        });
        let passed = since(&before, &last);
        Flow {
            came: passed.came,
            refused: passed.refused,
            went: passed.went,
            steps: steps.collect(),
        }
    }
}

/// What was counted between two samples. Nothing, where a page has read before a sample that came first.
fn since(before: &Counts, after: &Counts) -> Counts {
    Counts {
        came: after.came.saturating_sub(before.came),
        refused: after.refused.saturating_sub(before.refused),
        went: after.went.saturating_sub(before.went),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(came: u64, refused: u64, went: u64) -> BTreeMap<String, Counts> {
        let counts = Counts {
            came,
            refused,
            went,
        };
        [("west".to_owned(), counts)].into()
    }

    #[test]
    fn a_minute_is_the_last_four_steps_and_what_came_since() {
        let pace = Pace::default();
        assert_eq!(pace.flow("west", &counted(5, 1, 0)), Flow::default());
        for number in 0..60 {
            pace.sample(counted(number * 10, number, number));
        }
        let flow = pace.flow("west", &counted(595, 60, 59));
        assert_eq!((flow.came, flow.refused, flow.went), (35, 4, 3));
        assert_eq!(flow.steps.len(), STEPS + 1);
        assert_eq!(flow.steps.last(), Some(&5));
        assert_eq!(flow.steps.first(), Some(&11));
        assert_eq!(pace.flow("east", &counted(595, 60, 59)).came, 0);
    }

    #[test]
    fn a_partner_that_comes_later_began_at_nothing() {
        let pace = Pace::default();
        pace.sample(BTreeMap::new());
        let flow = pace.flow("west", &counted(3, 0, 2));
        assert_eq!((flow.came, flow.went, flow.steps), (3, 2, vec![5]));
    }
}
