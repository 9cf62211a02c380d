//! Shutting off, and starting again.

use std::collections::HashMap;
use std::time::Duration;

use alliance_cloud::estate::{Kind, Site, Thing};
use alliance_store::{ItemState, RetirementItem};
use tokio::time::sleep;

use super::Failure;
use super::journal::{Journal, item};

const STOPPED: [Kind; 2] = [Kind::Server, Kind::FloatingIp];
/// How often is looked whether servers have stopped, and how long apart: Nova lets their systems shut
/// down.
const LOOKS: u32 = 45;
const PAUSE: Duration = Duration::from_secs(2);

/// Shuts everything off. What does not run is not noted: it will not be started again either.
pub(super) async fn stop(
    site: &Site<'_>,
    journal: &mut Journal<'_>,
) -> Result<Option<usize>, Failure> {
    for user in site.users().await? {
        journal.note(vec![found_user(user)]).await?;
    }
    let mut asked: HashMap<String, Option<String>> = HashMap::new();
    for _ in 0..LOOKS {
        let mut running = Vec::new();
        for kind in STOPPED {
            let things = site.things(kind).await?.into_iter();
            running.extend(things.filter(Thing::is_running));
        }
        for thing in &running {
            if asked.contains_key(&thing.id) {
                continue;
            }
            if !journal.still_holds().await? {
                return Ok(None);
            }
            let port = thing.port().map(str::to_owned);
            journal
                .note(vec![item(thing, ItemState::Stopped, port)])
                .await?;
            let refusal = site.stop(thing).await.err().map(|error| error.to_string());
            if let Some(reason) = &refusal {
                let left = item(thing, ItemState::Left, Some(reason.clone()));
                journal.note(vec![left]).await?;
            }
            asked.insert(thing.id.clone(), refusal);
        }
        let is_hopeless =
            |thing: &Thing| thing.is_broken() || asked.get(&thing.id).is_some_and(Option::is_some);
        if running.iter().all(is_hopeless) {
            return Ok(Some(running.len()));
        }
        sleep(PAUSE).await;
    }
    let mut remains = 0;
    for kind in STOPPED {
        let things = site.things(kind).await?;
        remains += things.iter().filter(|thing| thing.is_running()).count();
    }
    Ok(Some(remains))
}

/// Starts what was shut off here, and nothing else.
pub(super) async fn restore(
    site: &Site<'_>,
    journal: &mut Journal<'_>,
) -> Result<Option<usize>, Failure> {
    let stopped: Vec<(Kind, RetirementItem)> = journal
        .items()
        .filter(|item| item.state == ItemState::Stopped)
        .filter_map(|item| {
            let kind = STOPPED.into_iter().find(|kind| kind.as_str() == item.kind);
            Some((kind?, item.clone()))
        })
        .collect();
    let mut remains = 0;
    for (kind, mut item) in stopped {
        if !journal.still_holds().await? {
            return Ok(None);
        }
        match site.restore(kind, &item.id, item.detail.as_deref()).await {
            Ok(()) => {
                item.state = ItemState::Restored;
                journal.note(vec![item]).await?;
            }
            Err(error) => {
                tracing::warn!(
                    kind = item.kind,
                    id = item.id,
                    error = format!("{:#}", anyhow::Error::from(error)),
                    "not started again yet"
                );
                remains += 1;
            }
        }
    }
    Ok(Some(remains))
}

/// A user who is to go with the project, if it is the last one.
pub(super) fn found_user(id: String) -> RetirementItem {
    RetirementItem {
        kind: "user".to_owned(),
        id,
        name: None,
        state: ItemState::Found,
        detail: None,
    }
}
