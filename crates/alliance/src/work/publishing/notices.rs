//! What has happened at hosts.

use alliance_cloud::publishing::Notification;
use alliance_core::Seconds;
use alliance_store::{Filter, ReceivedNotice, Receiver, Store};
use jiff::Timestamp;
use serde_json::Value;

use super::{AT_ONCE, Names, Source, Step, publisher_id};

#[derive(Default)]
pub(super) struct Notices;

impl Source for Notices {
    const RECEIVER: Receiver = Receiver::Bus;

    async fn next(
        &mut self,
        store: &Store,
        reached: u64,
        _now: Seconds,
    ) -> anyhow::Result<Vec<Step>> {
        let waiting = Filter {
            after: reached,
            ..Filter::default()
        };
        let waiting = store.notices().list(&waiting, AT_ONCE).await?;
        if waiting.is_empty() {
            return Ok(Vec::new());
        }
        let names = Names::read(store).await?;
        let steps = waiting.iter().map(|one| {
            Ok(Step {
                notification: Some(notification(one, names.of(&one.host))?),
                reaches: one.number,
            })
        });
        steps.collect()
    }
}

fn notification(one: &ReceivedNotice, partner: &str) -> anyhow::Result<Notification> {
    let notice = &one.notice;
    let mut payload = notice.details();
    if let Some(members) = payload.as_object_mut() {
        members.insert("partner".to_owned(), Value::from(partner));
        members.insert("partner_id".to_owned(), Value::from(one.host.as_str()));
    }
    Ok(Notification {
        id: one.id.clone(),
        publisher: publisher_id(partner),
        event_type: format!("alliance.{}", notice.kind),
        severity: notice.kind.severity(),
        at: Timestamp::from_millisecond(notice.at)?,
        payload,
    })
}
