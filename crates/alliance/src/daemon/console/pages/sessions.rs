//! Sessions of partners' users here, and of ours there.

use std::collections::HashMap;
use std::sync::Arc;

use alliance_core::cloud::CloudId;
use alliance_core::session::Session;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::table::Table;
use super::{Page, Place, clean, count, id};
use crate::daemon::console::Console;
use crate::daemon::console::visits::Visit;

/// So many are shown.
const MOST: usize = 200;

/// The last one is of those that can be ended here.
const HEADS: [&str; 6] = [
    "User at home",
    "Partner",
    "Project",
    "Issued",
    "Expires",
    "Order",
];

/// Which are wanted.
#[derive(Debug, Clone, Default, Deserialize)]
pub(in crate::daemon::console) struct Filter {
    #[serde(default)]
    pub(super) partner: Option<String>,
    #[serde(default)]
    pub(super) user: Option<String>,
    /// `here` or `abroad`; else both.
    #[serde(default)]
    pub(super) side: Option<String>,
}

impl Filter {
    fn wants(&self, side: &str) -> bool {
        !matches!(self.side.as_deref(), Some(only @ ("here" | "abroad")) if only != side)
    }

    fn partner(&self) -> Option<&str> {
        self.partner.as_deref().filter(|name| !name.is_empty())
    }

    fn user(&self) -> Option<&str> {
        self.user
            .as_deref()
            .map(str::trim)
            .filter(|user| !user.is_empty())
    }
}

/// `GET /sessions`
pub(in crate::daemon::console) async fn show(
    State(console): State<Arc<Console>>,
    Extension(visit): Extension<Visit>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Response {
    let filter = filter.map(|Query(filter)| filter).unwrap_or_default();
    let page = Page::new(&console, &visit, Place::Sessions);
    let partners = console.daemon.directory.partners();
    let names = partners.all().into_iter().map(|known| &known.partner.name);
    let form = html! {
        h1 { "Sessions" }
        form.filter method="get" action="/sessions" {
            span {
                label for="partner" { "Partner" }
                select #partner name="partner" {
                    option value="" { "all" }
                    @for name in names {
                        option value=(name) selected[filter.partner() == Some(name.as_str())] { (name) }
                    }
                }
            }
            span {
                label for="side" { "Where" }
                select #side name="side" {
                    @for (value, text) in [("", "here and abroad"), ("here", "here"), ("abroad", "abroad")] {
                        option value=(value) selected[filter.side.as_deref().unwrap_or_default() == value] { (text) }
                    }
                }
            }
            span {
                label for="user" { "User’s id at home" }
                input #user name="user" value=(filter.user().unwrap_or_default()) autocapitalize="none" spellcheck="false";
            }
            button type="submit" { "Show" }
        }
        h2.unseen { "Found" }
    };
    page.render_below(&form, &tables(&page, &filter, MOST))
}

/// Those that are wanted, the newest first.
pub(super) fn tables(page: &Page<'_>, filter: &Filter, most: usize) -> Markup {
    let daemon = &page.console.daemon;
    let partners = daemon.directory.partners();
    let only = filter.partner().map(|name| {
        partners
            .by_name(name)
            .map(|known| known.partner.cloud_id.clone())
    });
    let is_wanted = |cloud_id: &CloudId, session: &Session| {
        only.as_ref()
            .is_none_or(|only| only.as_ref() == Some(cloud_id))
            && filter.user().is_none_or(|user| session.user_id() == user)
    };
    let projects = daemon.host.projects().into_iter();
    let projects: HashMap<(CloudId, String), String> = projects
        .filter_map(|project| Some(((project.cloud_id, project.project_id), project.name?)))
        .collect();
    html! {
        @if filter.wants("here") {
            @let (here, all) = daemon.host.newest_sessions(is_wanted, most);
            h3 { "Here " small { (count(u64::try_from(all).unwrap_or(u64::MAX), "session", "sessions")) } }
            (table(page, &here, &projects, true))
            (rest(all, here.len()))
        }
        @if filter.wants("abroad") {
            @let (abroad, all) = abroad(page, is_wanted, most);
            h3 { "Abroad " small { (count(u64::try_from(all).unwrap_or(u64::MAX), "session", "sessions")) " as far as hosts have asked" } }
            (table(page, &abroad, &projects, false))
            (rest(all, abroad.len()))
        }
    }
}

fn rest(all: usize, shown: usize) -> Markup {
    html! {
        @if all > shown {
            p.hint { "The newest " (shown) " of " (all) "." }
        }
    }
}

type Found = Vec<(CloudId, Arc<Session>)>;

fn abroad(
    page: &Page<'_>,
    is_wanted: impl Fn(&CloudId, &Session) -> bool,
    most: usize,
) -> (Found, usize) {
    let all = page.console.daemon.home.abroad().list().into_iter();
    let mut found: Found = all
        .filter(|(host, session)| session.expires_at() > page.clock.0 && is_wanted(host, session))
        .collect();
    found.sort_by_key(|(_, session)| std::cmp::Reverse(session.issued_at()));
    let number = found.len();
    found.truncate(most);
    (found, number)
}

fn table(
    page: &Page<'_>,
    found: &[(CloudId, Arc<Session>)],
    projects: &HashMap<(CloudId, String), String>,
    is_here: bool,
) -> Markup {
    let daemon = &page.console.daemon;
    let rows = found.iter().map(|(cloud_id, session)| {
        let name = daemon.name_of(cloud_id);
        let project = session.project_id().map(|project_id| {
            let named = projects.get(&(cloud_id.clone(), project_id.to_owned()));
            html! { @if let Some(named) = named { (clean(named)) " " } (id(project_id)) }
        });
        let mut row = vec![
            id(session.user_id()),
            html! { (clean(&name)) },
            project.unwrap_or_else(|| html! { span.none { "none" } }),
            page.clock.at(session.issued_at().as_second()),
            page.clock.at(session.expires_at()),
        ];
        if is_here {
            let path = format!("/sessions/{}/end", session.id());
            let label = format!("End the session of {}", session.user_id());
            row.push(html! { a.button href=(path) aria-label=(label) { "End…" } });
        }
        row
    });
    Table {
        caption: if is_here {
            "Sessions here"
        } else {
            "Sessions abroad"
        },
        heads: &HEADS[..HEADS.len() - usize::from(!is_here)],
        rows: rows.collect(),
        none: "None.",
    }
    .render()
}
