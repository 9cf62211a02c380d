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
    record: u64,
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

#[cfg(test)]
mod tests {
    use alliance_core::cloud::CloudId;
    use alliance_core::usage::{Kind, Numbered, Owner, Part, Record, Resource, Size};

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// The hour that is due.
    const DUE: u64 = 500_000;
    const NOW: Seconds = 500_000 * 3600 + 600;

    /// A home to which a host has told of this many volumes that last.
    async fn home(folder: &tempfile::TempDir, count: u64) -> anyhow::Result<Store> {
        let url = format!("sqlite://{}", folder.path().join("db").display());
        let store = Store::open(&url, &CloudId::from_spki(b"west")).await?;
        let record = |number: u64| Record {
            part: Part {
                resource: Resource {
                    kind: Kind::Volume,
                    id: number.to_string(),
                },
                part: 0,
            },
            owner: Owner {
                project_id: "science".into(),
                user_id: None,
            },
            region: "RegionOne".into(),
            size: Size::of_volume(1),
            from: 7,
            to: None,
        };
        let told: Vec<Numbered> = (1..=count).map(|one| (one, Some(record(one)))).collect();
        let east = CloudId::from_spki(b"east");
        store.usage().receive(&east, &told, 7).await?;
        Ok(store)
    }

    /// Whether each step says something, and how far it leads.
    fn seen(steps: &[Step]) -> Vec<(bool, u64)> {
        let seen = steps.iter();
        seen.map(|step| (step.notification.is_some(), step.reaches))
            .collect()
    }

    #[tokio::test]
    async fn all_that_there_was_at_an_hour_is_said_before_the_hour_is_over() -> Outcome {
        let folder = tempfile::tempdir()?;
        let store = home(&folder, AT_ONCE as u64 + 1).await?;
        let mut hours = Hours::default();
        let steps = hours.next(&store, DUE - 1, NOW).await?;
        assert_eq!(seen(&steps), [(true, DUE - 1); AT_ONCE]);
        let steps = hours.next(&store, DUE - 1, NOW).await?;
        assert_eq!(seen(&steps), [(true, DUE - 1), (false, DUE)]);
        assert!(hours.next(&store, DUE, NOW).await?.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn an_hour_is_said_ten_minutes_later_and_a_day_of_them_made_up_for() -> Outcome {
        let folder = tempfile::tempdir()?;
        let store = home(&folder, 0).await?;
        let mut hours = Hours::default();
        assert_eq!(Hours::beginning(NOW), DUE);
        assert!(hours.next(&store, DUE - 1, NOW - 1).await?.is_empty());
        let first = hours.next(&store, DUE - 1000, NOW).await?;
        assert_eq!(seen(&first), [(false, DUE - 23)]);
        Ok(())
    }
}
