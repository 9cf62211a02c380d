//! What there is of our projects at hosts, each full hour, as Nova says of its servers that they exist.
//! Tools that rate by the hour see nothing else of what lasts for long.

use alliance_core::Seconds;
use alliance_core::usage::{Millis, Moment};
use alliance_store::{Receiver, Store};

use super::usage::notification;
use super::{AT_ONCE, Names, Source, Step};

const HOUR: u64 = 3600;
/// How long after an hour it is said what there was, in seconds: what began shortly before has been heard
/// of then.
const LATER: u64 = 600;

/// How many hours are made up for, after nobody has said them.
const MISSED: u64 = 24;

/// How much of the next hour was said.
#[derive(Default)]
pub(super) struct Hours {
    /// The number of the last record.
    pub(super) record: u64,
}

impl Source for Hours {
    const RECEIVER: Receiver = Receiver::BusHours;

    fn beginning(now: Seconds) -> u64 {
        due(now)
    }

    async fn next(
        &mut self,
        store: &Store,
        reached: u64,
        now: Seconds,
    ) -> anyhow::Result<Vec<Step>> {
        let due = due(now);
        let hour = (reached + 1).max((due + 1).saturating_sub(MISSED));
        if hour > due {
            return Ok(Vec::new());
        }
        let at = Millis::try_from(hour * HOUR * 1000)?;
        let there = store.usage().there_at(at, self.record, AT_ONCE).await?;
        let names = Names::read(store).await?;
        let steps = there.iter().map(|one| {
            let said = notification(one, &names, Moment::Existed(at))?;
            Ok(Step {
                notification: Some(said),
                reaches: reached,
            })
        });
        let mut steps = steps.collect::<anyhow::Result<Vec<_>>>()?;
        self.record = match there.last() {
            Some(last) if there.len() == AT_ONCE => last.number,
            _ => {
                steps.push(Step {
                    notification: None,
                    reaches: hour,
                });
                0
            }
        };
        Ok(steps)
    }
}

/// The last hour of which it is to be said, since 1970.
fn due(now: Seconds) -> u64 {
    now.unsigned_abs().saturating_sub(LATER) / HOUR
}
