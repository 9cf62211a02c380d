//! One partner: how the way to it is, what both sides grant, who is here.

use std::collections::BTreeMap;
use std::sync::Arc;

use alliance_core::limits::Standing;
use alliance_core::partner::Status;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};

use super::map::sparkline;
use super::overview::{Neighbour, role};
use super::sessions::{self, Filter};
use super::table::Table;
use super::{Mood, Page, Place, clean, grouped, id, state, unread};
use crate::daemon::console::visits::Visit;
use crate::daemon::console::{Console, failure};
use crate::daemon::contracts::Shown;
use crate::wire::{AgreementView, LimitView};

/// So many sessions are shown here.
const SESSIONS: usize = 10;

/// `GET /partners/{name}`
pub(in crate::daemon::console) async fn show(
    State(console): State<Arc<Console>>,
    Extension(visit): Extension<Visit>,
    Path(name): Path<String>,
) -> Response {
    let all = console.neighbours().await;
    let found = all.into_iter().find(|one| one.view.partner.name == name);
    let Some(one) = found.filter(|one| one.view.partner.status != Status::Draft) else {
        return failure(
            http::StatusCode::NOT_FOUND,
            "There is no partner of that name.",
        );
    };
    let mut page = Page::new(&console, &visit, Place::Overview);
    page.title = &name;
    let filter = Filter {
        partner: Some(name.clone()),
        ..Filter::default()
    };
    let limits = console.daemon.guest_limits().await;
    let limits: Vec<_> = limits
        .unwrap_or_default()
        .into_iter()
        .filter(|limit| limit.partner == name)
        .collect();
    page.render(&html! {
        div.title {
            h1 { (name) " " small { (role(&one.view)) } }
            (orders(&one))
        }
        (facts(&page, &one))
        section {
            h2 { "Agreements" }
            (agreements(&page, &name).await)
        }
        @if one.view.partner.role.is_guest() {
            section {
                h2 { "Its projects here: use against quota" }
                (quotas(&page, &limits))
            }
        }
        section {
            h2 { "Sessions" }
            (sessions::tables(&page, &filter, SESSIONS))
        }
    })
}

fn orders(one: &Neighbour) -> Markup {
    let partner = &one.view.partner;
    html! {
        p.orders {
            @match partner.status {
                Status::Active => { a.button.grave href=(format!("/partners/{}/suspend", partner.name)) { "Suspend…" } }
                Status::Suspended => { a.button href=(format!("/partners/{}/resume", partner.name)) { "Resume…" } }
                _ => {}
            }
        }
    }
}

fn facts(page: &Page<'_>, one: &Neighbour) -> Markup {
    let (view, clock) = (&one.view, page.clock);
    let (mood, word) = one.state(clock.0);
    let border = view.border.as_ref();
    let traffic = format!(
        "{} in the last ten minutes",
        one.flow.steps.iter().sum::<u64>()
    );
    html! {
        dl.facts {
            div { dt { "State" } dd { (state(mood, &word)) } }
            div { dt { "It says of us" } dd { (view.their_status.map_or("nothing", Status::as_str)) } }
            div { dt { "Answers in" } dd {
                @match border.and_then(|border| border.round_trips) {
                    Some(times) => {
                        (milliseconds(times.last)) " "
                        small { (milliseconds(times.least)) " to " (milliseconds(times.most)) " of " (times.count) }
                    }
                    None => { span.none { "–" } }
                }
            } }
            div { dt { "Its tokens/min" } dd { (grouped(one.flow.came)) @if one.flow.refused > 0 { " " small { (grouped(one.flow.refused)) " refused" } } } }
            div { dt { "Our tokens/min" } dd { (grouped(one.flow.went)) } }
            div { dt { "Ten minutes" } dd { (sparkline(&one.flow.steps, &traffic)) } }
            div { dt { "Sessions here" } dd { (one.here) } }
            div { dt { "Sessions abroad" } dd { (one.abroad) } }
        }
        @if let Some(error) = &view.last_error {
            p.warning { b { "Last error: " } (clean(error)) }
        }
        details {
            summary { "Who it is" }
            dl.lines {
                div { dt { "Calls itself" } dd { (clean(&view.calls_itself)) } }
                div { dt { "Cloud id" } dd { (id(view.partner.cloud_id.as_str())) } }
                div { dt { "Answers at" } dd { (id(&view.partner.peer_url)) } }
                @if let Some(words) = &view.fingerprint {
                    div { dt { "Fingerprint" } dd { (words) } }
                }
                div { dt { "Regions" } dd { (clean(&view.regions.join(", "))) } }
                div { dt { "Trust since" } dd { (clock.maybe(view.partner.trust_since, "not yet")) } }
                div { dt { "Trust until" } dd { (clock.maybe(view.partner.trust_till, "no end")) } }
                div { dt { "Last seen" } dd { (clock.maybe(view.last_seen, "never")) } }
                @if let Some(border) = border {
                    @if let Some(since) = border.reachable_since {
                        div { dt { "Answers since" } dd { (clock.at(since)) } }
                    }
                    @if let Some(version) = &border.version {
                        div { dt { "Its daemon" } dd { (clean(version)) } }
                    }
                    @if let Some(skew) = border.skew {
                        div { dt { "Its clock" } dd { (format!("{:+.1} s", skew.ahead)) } }
                    }
                }
            }
        }
    }
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1000.0)
}

async fn agreements(page: &Page<'_>, partner: &str) -> Markup {
    let daemon = &page.console.daemon;
    let Ok(known) = daemon.partner(partner) else {
        return html! {};
    };
    let found = match daemon.agreements_with(&known, Shown::Standing).await {
        Ok(found) => found,
        Err(error) => return unread(&error.detail()),
    };
    let standing = found.into_iter().filter(|view| view.state != "ended");
    let rows = standing.map(|view| {
        let agreement = &view.agreement;
        let project = match (&agreement.project_name, agreement.projects.to_string()) {
            (_, all) if all == "*" => html! { "all projects" },
            (Some(name), of) => html! { (clean(name)) " " (id(&of)) },
            (None, of) => id(&of),
        };
        let roles: Vec<_> = agreement.terms.roles.iter().map(String::as_str).collect();
        vec![
            project,
            html! { @if view.received { "we got it" } @else { "we gave it" } },
            state(mood(&view), &view.state),
            html! { (clean(&roles.join(", "))) },
            quota(&view),
            page.clock.maybe(agreement.terms.till, "no end"),
        ]
    });
    Table {
        caption: "Agreements",
        heads: &["Project", "Direction", "State", "Roles", "Quota", "Until"],
        rows: rows.collect(),
        none: "None: nobody may do anything.",
    }
    .render()
}

fn mood(view: &AgreementView) -> Mood {
    match view.state.as_str() {
        "live" => Mood::Good,
        "proposed" | "future" => Mood::Busy,
        "withheld" | "rejected" => Mood::Bad,
        _ => Mood::Off,
    }
}

fn quota(view: &AgreementView) -> Markup {
    let limits: Vec<_> = view
        .agreement
        .terms
        .quota
        .limits()
        .map(|(resource, limit)| format!("{} {}", grouped(limit.into()), resource.as_str()))
        .collect();
    html! {
        @if limits.is_empty() { span.none { "no limit" } } @else { (limits.join(", ")) }
    }
}

fn quotas(page: &Page<'_>, limits: &[LimitView]) -> Markup {
    if limits.is_empty() {
        return html! { p.none { "Nothing is known of it: it is for " code { "alliance work" } " to ask the services." } };
    }
    let mut projects: BTreeMap<(&str, &str), Vec<&LimitView>> = BTreeMap::new();
    for limit in limits {
        let place = (limit.project_id.as_str(), limit.region.as_str());
        projects.entry(place).or_default().push(limit);
    }
    html! {
        @for ((project_id, region), limits) in projects {
            @let name = limits.first().and_then(|limit| limit.project_name.as_deref());
            h3 { (clean(name.unwrap_or("a project"))) " " (id(project_id)) " " small { "in " (clean(region)) } }
            @for problem in limits.iter().filter_map(|limit| limit.problem.as_ref()).take(1) {
                p.warning { (clean(problem)) }
            }
            (used(page, &limits))
        }
    }
}

fn used(page: &Page<'_>, limits: &[&LimitView]) -> Markup {
    let known = limits
        .iter()
        .filter_map(|limit| Some((limit, limit.resource?)));
    let rows = known.map(|(limit, resource)| {
        let label = format!("{} used", resource.as_str());
        vec![
            html! { (resource.as_str()) },
            html! {
                (limit.used)
                @if let Some(agreed) = limit.agreed {
                    " of " (agreed) " "
                    meter min="0" max=(agreed.max(1)) high=(agreed.max(1) - agreed.max(1) / 10) value=(limit.used) aria-label=(label) {}
                }
            },
            html! {
                @match limit.limit {
                    Some(-1) => { "no limit" }
                    Some(limit) => { (limit) }
                    None => { span.none { "has none" } }
                }
            },
            standing(limit.standing),
            page.clock.at(limit.at),
        ]
    });
    Table {
        caption: "Use against quota",
        heads: &[
            "Resource",
            "Used of what was agreed",
            "The service allows",
            "State",
            "Seen",
        ],
        rows: rows.collect(),
        none: "Nothing is known yet.",
    }
    .render()
}

fn standing(standing: Standing) -> Markup {
    match standing {
        Standing::Free => state(Mood::Good, "no limit"),
        Standing::Held => state(Mood::Good, "held"),
        Standing::Watched => state(Mood::Good, "watched"),
        Standing::Over => state(Mood::Bad, "over"),
        Standing::WatchedOver => state(Mood::Bad, "over, only watched"),
        Standing::Altered => state(Mood::Busy, "altered by somebody"),
        Standing::Pending => state(Mood::Busy, "not set yet"),
    }
}
