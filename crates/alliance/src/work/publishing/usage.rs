//! What our projects use at hosts: each record when it comes, and each time that it is changed.

use alliance_cloud::publishing::Notification;
use alliance_core::Seconds;
use alliance_core::notice::Severity;
use alliance_core::usage::{Announcement, Moment};
use alliance_store::{ReceivedRecord, Receiver, Store};
use jiff::Timestamp;

use super::{AT_ONCE, Names, Source, Step, publisher_id};

#[derive(Default)]
pub(super) struct Usage;

impl Source for Usage {
    const RECEIVER: Receiver = Receiver::BusUsage;

    async fn next(
        &mut self,
        store: &Store,
        reached: u64,
        _now: Seconds,
    ) -> anyhow::Result<Vec<Step>> {
        let arrived = store.usage().arrivals(reached, AT_ONCE).await?;
        if arrived.is_empty() {
            return Ok(Vec::new());
        }
        let names = Names::read(store).await?;
        let steps = arrived.iter().map(|one| {
            let moment = Moment::of(&one.record);
            Ok(Step {
                notification: Some(notification(one, &names, moment)?),
                reaches: one.number,
            })
        });
        steps.collect()
    }
}

/// What is said of a record at a moment.
pub(super) fn notification(
    one: &ReceivedRecord,
    names: &Names,
    moment: Moment,
) -> anyhow::Result<Notification> {
    let partner = names.of(&one.host);
    let said = Announcement::about(&one.record, &one.host, partner, moment)?;
    Ok(Notification {
        id: said.id,
        publisher: publisher_id(partner),
        event_type: said.event_type,
        severity: Severity::Info,
        at: Timestamp::from_millisecond(said.at)?,
        payload: said.payload,
    })
}
