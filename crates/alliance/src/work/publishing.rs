//! At home: what hosts have told is said on this cloud's message bus, as its services say such things.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use alliance_cloud::publishing::{Notification, Publisher, Settings};
use alliance_core::cloud::CloudId;
use alliance_store::{Filter, ReceivedNotice, Store};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::sleep;

use crate::daemon::now;

/// Its name among those who are told.
pub(crate) const BUS: &str = "bus";
/// How many notices are read at once.
const AT_ONCE: usize = 50;
/// How often is looked whether there are some.
const LOOK: Duration = Duration::from_secs(1);
/// Pauses after a failure: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Says what comes, if that is wanted. Runs for ever.
pub(super) async fn run(settings: Option<Settings>, store: &Store) -> Infallible {
    let Some(settings) = settings else {
        return pending().await;
    };
    let mut pause = FIRST_PAUSE;
    let mut publisher = None;
    loop {
        match say(&settings, &mut publisher, store).await {
            Ok(0) => sleep(LOOK).await,
            Ok(_) => pause = FIRST_PAUSE,
            Err(error) => {
                publisher = None;
                let error = format!("{error:#}");
                if pause == FIRST_PAUSE {
                    tracing::warn!(
                        exchange = settings.exchange,
                        error,
                        "notices of partners were not said on the message bus; it is tried again, and this is said once"
                    );
                }
                let noted = store.notices().not_delivered(BUS, &error, false, now());
                if let Err(error) = noted.await {
                    tracing::warn!(%error, "that it fails is not in the database");
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Says some. Returns how many.
async fn say(
    settings: &Settings,
    publisher: &mut Option<Publisher>,
    store: &Store,
) -> anyhow::Result<usize> {
    let notices = store.notices();
    let delivery = match notices.delivery(BUS).await? {
        Some(delivery) => delivery,
        None => {
            notices.begin_delivery(BUS).await?;
            return Ok(0);
        }
    };
    let waiting = Filter {
        after: delivery.number,
        ..Filter::default()
    };
    let waiting = notices.list(&waiting, AT_ONCE).await?;
    if waiting.is_empty() {
        return Ok(0);
    }
    let publisher = match publisher {
        Some(publisher) => publisher,
        None => publisher.insert(settings.connect().await?),
    };
    let partners = store.partners().list().await?.into_iter();
    let names: HashMap<CloudId, String> = partners
        .map(|known| (known.partner.cloud_id, known.partner.name))
        .collect();
    for one in &waiting {
        publisher.publish(&notification(one, &names)?).await?;
        notices.delivered(BUS, one.number).await?;
    }
    Ok(waiting.len())
}

fn notification(
    one: &ReceivedNotice,
    names: &HashMap<CloudId, String>,
) -> anyhow::Result<Notification> {
    let notice = &one.notice;
    let id = one.host.to_string();
    let partner = names.get(&one.host).unwrap_or(&id);
    let mut payload = notice.details();
    if let Some(members) = payload.as_object_mut() {
        members.insert("partner".to_owned(), Value::from(partner.as_str()));
        members.insert("partner_id".to_owned(), Value::from(id.as_str()));
    }
    Ok(Notification {
        id: one.id.clone(),
        publisher: format!("alliance.{partner}"),
        event_type: format!("alliance.{}", notice.kind),
        severity: notice.kind.severity(),
        at: Timestamp::from_millisecond(notice.at)?,
        payload,
    })
}
