//! What has ended lately, and how long it took to reach whom.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use alliance_core::cloud::CloudId;
use alliance_core::sign_out::Change;
use alliance_store::RecentSignOut;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::table::Table;
use super::time::took;
use super::{Mood, Page, Place, clean, count, grouped, id, state, unread};
use crate::daemon::chronicle::Ended;
use crate::daemon::console::Console;
use crate::daemon::console::visits::Visit;

/// So many are shown.
const MOST: u32 = 50;

/// `GET /sign-outs`
pub(in crate::daemon::console) async fn show(
    State(console): State<Arc<Console>>,
    Extension(visit): Extension<Visit>,
) -> Response {
    let page = Page::new(&console, &visit, Place::SignOuts);
    let ended = ended_here(&page).await;
    let behind = behind(&page).await;
    let endings = console.daemon.chronicle.endings();
    page.render(&html! {
        h1 { "Sign-outs" }
        section {
            h2 { "What has ended here, and which hosts know" }
            p.hint { "From when it was noted until it counts there. Times are this instance’s, since its start." }
            (ended)
        }
        section {
            h2 { "How far each host is" }
            (behind)
        }
        section {
            h2 { "What has ended at partners" }
            p.hint { "From home’s word until Keystone and the services’ caches here knew; since this instance’s start." }
            (at_partners(&page, &endings))
        }
    })
}

async fn ended_here(page: &Page<'_>) -> Markup {
    let store = page.console.daemon.store.sign_outs();
    let (recent, heard) = match (store.recent(MOST).await, store.heard_by().await) {
        (Ok(recent), Ok(heard)) => (recent, heard),
        (Err(error), _) | (_, Err(error)) => return unread(&error),
    };
    let hosts = hosts(page);
    let heard: HashMap<CloudId, u64> = heard.into_iter().collect();
    let reached = page.console.daemon.chronicle.reached();
    let none = BTreeMap::new();
    let rows = recent.iter().map(|one| {
        let times = reached.get(&one.seq).unwrap_or(&none);
        vec![
            described(&one.change),
            page.clock.at(one.at),
            html! {
                ul.hosts {
                    @for (cloud_id, name) in &hosts {
                        li { (name) " " (reach(one, heard.get(cloud_id), times.get(cloud_id))) }
                    }
                }
            },
        ]
    });
    Table {
        caption: "What has ended here",
        heads: &["What", "Noted", "Reached"],
        rows: rows.collect(),
        none: "Nothing lately. Only what can be about a token abroad is noted, while there is a host.",
    }
    .render()
}

fn hosts(page: &Page<'_>) -> Vec<(CloudId, String)> {
    let partners = page.console.daemon.directory.partners();
    let all = partners.all().into_iter();
    let hosts = all
        .filter(|known| known.peer().is_some() && known.partner.require_host(page.clock.0).is_ok());
    hosts
        .map(|known| (known.partner.cloud_id.clone(), known.partner.name.clone()))
        .collect()
}

fn reach(one: &RecentSignOut, heard: Option<&u64>, time: Option<&Duration>) -> Markup {
    match (heard, time) {
        (Some(heard), Some(time)) if *heard >= one.seq => {
            state(Mood::Good, &format!("in {}", took(*time)))
        }
        (Some(heard), None) if *heard >= one.seq => state(Mood::Good, "heard"),
        (Some(_), _) => state(Mood::Busy, "not heard yet"),
        (None, _) => state(Mood::Off, "has heard nothing yet"),
    }
}

async fn behind(page: &Page<'_>) -> Markup {
    let found = match page.console.daemon.store.sign_outs().behind().await {
        Ok(found) => found,
        Err(error) => return unread(&error),
    };
    let hosts: HashMap<_, _> = hosts(page).into_iter().collect();
    let rows = found.iter().filter_map(|one| {
        let name = hosts.get(&one.host)?;
        Some(vec![
            html! { a href=(format!("/partners/{name}")) { (name) } },
            match one.unheard {
                0 => state(Mood::Good, "has heard all"),
                _ => state(Mood::Busy, "is behind"),
            },
            html! { (grouped(one.unheard)) },
            page.clock.maybe(one.unheard_since, "–"),
        ])
    });
    Table {
        caption: "How far each host is",
        heads: &["Host", "State", "Not heard", "The oldest was noted"],
        rows: rows.collect(),
        none: "No host has asked yet.",
    }
    .render()
}

fn at_partners(page: &Page<'_>, endings: &[Ended]) -> Markup {
    let rows = endings.iter().map(|one| {
        vec![
            html! { (clean(&one.partner)) },
            page.clock.at(one.at),
            html! {
                @match u64::try_from(one.sessions) {
                    Ok(0) => { span.none { "none; home is asked again" } }
                    number => { (count(number.unwrap_or(u64::MAX), "session", "sessions")) }
                }
            },
            match one.took {
                Some(time) => state(Mood::Good, &format!("in {}", took(time))),
                None => state(Mood::Busy, "being told"),
            },
        ]
    });
    Table {
        caption: "What has ended at partners",
        heads: &["Partner", "Heard", "Ended here", "Everybody here knew"],
        rows: rows.collect(),
        none: "Nothing since this instance’s start.",
    }
    .render()
}

/// What has changed, in words. The most exact that is said of it comes first.
fn described(change: &Change) -> Markup {
    let all = |what: &str, named: &str| html! { "All tokens of " (what) " " (id(named)) };
    match change {
        Change::Revoked(event) => {
            let role = event.role_id.is_some();
            match (
                event.audit_id.as_ref(),
                event.audit_chain_id.as_ref(),
                &event.user_id,
                &event.project_id,
                &event.domain_id,
            ) {
                (Some(audit_id), ..) => html! { "Token " (id(audit_id)) },
                (None, Some(audit_id), ..) => {
                    html! { "What was made from token " (id(audit_id)) }
                }
                (None, None, Some(user), ..) if role => html! { "A role of user " (id(user)) },
                (None, None, Some(user), Some(project), _) => {
                    html! { (all("user", user)) " in project " (id(project)) }
                }
                (None, None, Some(user), None, _) => all("user", user),
                (None, None, None, Some(project), _) => all("project", project),
                (None, None, None, None, Some(domain)) => all("domain", domain),
                (None, None, None, None, None) => html! { "All tokens that something else picks" },
            }
        }
        Change::LookAgain(look) => match (&look.user_id, &look.project_id, &look.domain_id) {
            (Some(user), ..) => html! { "Something about user " (id(user)) },
            (None, Some(project), _) => html! { "Something about project " (id(project)) },
            (None, None, Some(domain)) => html! { "Something about domain " (id(domain)) },
            (None, None, None) => html! { "Anything may have changed" },
        },
    }
}
