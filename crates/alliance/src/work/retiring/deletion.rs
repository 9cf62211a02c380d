//! Deleting everything, in the order in which one thing needs another; at last the project itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alliance_cloud::estate::{Force, Kind, Site, Thing};
use alliance_store::{ItemState, RetirementItem};
use futures_util::future::join_all;
use tokio::time::sleep;

use super::Failure;
use super::journal::{Journal, item};
use super::standstill::found_user;

/// How many things of one kind are deleted at once.
const AT_ONCE: usize = 8;
/// How often is looked for what is left of a kind, and how long apart, where the service deletes it after
/// it has answered.
const LOOKS: u32 = 60;
/// The same where it is gone with the answer: another time, since what hindered it may just have gone.
const FEW_LOOKS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);
/// From which look on force is used.
const FORCE: u32 = 15;

/// Deletes what the project has, and then the project.
pub(super) async fn delete(
    site: &Site<'_>,
    journal: &mut Journal<'_>,
) -> Result<Option<usize>, Failure> {
    for user in site.users().await? {
        if journal.state("user", &user).is_none() {
            journal.note(vec![found_user(user)]).await?;
        }
    }
    let mut refusals = BTreeMap::new();
    for kind in Kind::ALL {
        if clear(site, journal, kind, &mut refusals).await?.is_none() {
            return Ok(None);
        }
    }
    let mut left = Vec::new();
    for kind in Kind::ALL {
        left.extend(site.things(kind).await?);
    }
    settle(journal, &left, &refusals).await?;
    if !left.is_empty() {
        return Ok(Some(left.len()));
    }
    if !journal.still_holds().await? {
        return Ok(None);
    }
    forget(site, journal).await
}

/// Deletes all of one kind. `None` if that is not wanted any more.
async fn clear(
    site: &Site<'_>,
    journal: &mut Journal<'_>,
    kind: Kind,
    refusals: &mut BTreeMap<String, String>,
) -> Result<Option<()>, Failure> {
    let looks = if kind.is_slow() { LOOKS } else { FEW_LOOKS };
    let mut asked: BTreeSet<String> = BTreeSet::new();
    for look in 0..looks {
        let things = site.things(kind).await?;
        if things.is_empty() {
            break;
        }
        let force = if look >= FORCE {
            Force::Whatever
        } else {
            Force::Gentle
        };
        // What its service is working on is left to it, until force is used.
        let due: Vec<&Thing> = things
            .iter()
            .filter(|thing| !asked.contains(&thing.id) || look % FORCE == 0)
            .collect();
        for some in due.chunks(AT_ONCE) {
            if !journal.still_holds().await? {
                return Ok(None);
            }
            let deleting = some
                .iter()
                .map(|thing| item(thing, ItemState::Deleting, None));
            journal.note(deleting.collect()).await?;
            let ended = join_all(some.iter().map(|thing| site.delete(thing, force))).await;
            for (thing, ended) in some.iter().zip(ended) {
                match ended {
                    Ok(()) => {
                        refusals.remove(&thing.id);
                        asked.insert(thing.id.clone());
                    }
                    Err(error) => {
                        refusals.insert(thing.id.clone(), error.to_string());
                    }
                }
            }
        }
        sleep(PAUSE).await;
    }
    Ok(Some(()))
}

/// Notes what is left, and why; what was there and is not any more is gone.
async fn settle(
    journal: &mut Journal<'_>,
    left: &[Thing],
    refusals: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    let is_left = |item: &RetirementItem| {
        let mut left = left.iter();
        left.any(|thing| thing.kind.as_str() == item.kind && thing.id == item.id)
    };
    let is_thing = |item: &RetirementItem| Kind::ALL.iter().any(|kind| kind.as_str() == item.kind);
    let gone = journal
        .items()
        .filter(|item| is_thing(item) && !is_left(item))
        .map(|item| RetirementItem {
            state: ItemState::Deleted,
            detail: None,
            ..item.clone()
        });
    let mut settled: Vec<_> = gone.collect();
    settled.extend(left.iter().map(|thing| {
        let why = refusals.get(&thing.id).cloned();
        let why = why.unwrap_or_else(|| format!("{} has not deleted it yet", thing.kind.as_str()));
        item(thing, ItemState::Left, Some(why))
    }));
    Ok(journal.note(settled).await?)
}

/// Deletes the project and its users who have no other.
async fn forget(site: &Site<'_>, journal: &mut Journal<'_>) -> Result<Option<usize>, Failure> {
    let project = |state| RetirementItem {
        kind: "project".to_owned(),
        id: site.project().to_owned(),
        name: None,
        state,
        detail: None,
    };
    journal.note(vec![project(ItemState::Deleting)]).await?;
    site.delete_project().await?;
    journal.note(vec![project(ItemState::Deleted)]).await?;
    for user in site.last_users().await? {
        if journal.state("user", &user).is_none() {
            journal.note(vec![found_user(user)]).await?;
        }
    }
    let users: Vec<RetirementItem> = journal
        .items()
        .filter(|item| item.kind == "user" && item.state != ItemState::Deleted)
        .cloned()
        .collect();
    for user in users {
        let state = if site.delete_user(&user.id).await? {
            ItemState::Deleted
        } else {
            // At home in another project too.
            ItemState::Restored
        };
        journal.note(vec![RetirementItem { state, ..user }]).await?;
    }
    Ok(Some(0))
}
