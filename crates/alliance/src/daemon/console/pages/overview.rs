//! The first page: what needs attention, the map, the partners.

use std::sync::Arc;

use alliance_core::Seconds;
use alliance_core::partner::{Kind, Status};
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::map::{MOST, Node, map, sparkline};
use super::table::Table;
use super::{Mood, Page, Place, clean, count, grouped, state, time};
use crate::daemon::console::Console;
use crate::daemon::console::checkup::Seen;
use crate::daemon::console::pace::Flow;
use crate::daemon::console::visits::Visit;
use crate::wire::{Health, PartnerView};

/// A partner, and what there is of it.
pub(super) struct Neighbour {
    pub view: PartnerView,
    pub flow: Flow,
    pub here: usize,
    pub abroad: usize,
}

impl Neighbour {
    /// How it is, for the eye and in words.
    pub(super) fn state(&self, at: Seconds) -> (Mood, String) {
        let status = self.view.partner.status;
        let silent = self
            .view
            .border
            .as_ref()
            .and_then(|border| border.unreachable_since);
        match (
            status,
            silent,
            &self.view.last_error,
            self.view.their_status,
        ) {
            (Status::Active, Some(since), ..) => {
                let clock = time::Clock(at);
                (Mood::Bad, format!("silent for {}", clock.since(since)))
            }
            (Status::Active, None, Some(_), _) => (Mood::Bad, "does not answer".to_owned()),
            (Status::Active, None, None, Some(there)) if there != Status::Active => {
                (Mood::Busy, format!("active; we are {there} there"))
            }
            (Status::Active, ..) => (Mood::Good, "active".to_owned()),
            (Status::Draft, ..) => (Mood::Busy, "pairing".to_owned()),
            (other, ..) => (Mood::Off, other.to_string()),
        }
    }

    /// How long its answers take.
    pub(super) fn answers_in(&self) -> Option<String> {
        let times = self.view.border.as_ref()?.round_trips?;
        let last = std::time::Duration::try_from_secs_f64(times.last).ok()?;
        Some(time::took(last))
    }

    fn node(&self, at: Seconds) -> Node {
        let (mood, word) = self.state(at);
        let state = match self.answers_in() {
            Some(times) if mood == Mood::Good => format!("{word}, answers in {times}"),
            _ => word,
        };
        let passed = self.flow.came + self.flow.went;
        Node {
            name: self.view.partner.name.clone(),
            mood,
            state,
            traffic: format!(
                "{} here · {} there · {}/min",
                self.here,
                self.abroad,
                grouped(passed)
            ),
            comes: self.view.partner.role.is_guest(),
            goes: self.view.partner.role.is_host(),
            weight: passed,
        }
    }
}

impl Console {
    /// The partners that there are and those that are becoming some, by name.
    pub(super) async fn neighbours(&self) -> Vec<Neighbour> {
        let daemon = &self.daemon;
        let (here, abroad) = (daemon.host.count_sessions(), daemon.home.abroad().count());
        let partners = daemon.directory.partners();
        let views = partners.all().into_iter();
        let mut views: Vec<_> = views.map(|known| daemon.view(known, None)).collect();
        // Without the database there are those that are in memory.
        views.extend(daemon.drafts().await.unwrap_or_default());
        // Not before a sample that is taken meanwhile.
        let counts = daemon.metrics.traffic.read();
        views
            .into_iter()
            .map(|view| {
                let cloud_id = &view.partner.cloud_id;
                Neighbour {
                    flow: self.pace.flow(&view.partner.name, &counts),
                    here: here.get(cloud_id).copied().unwrap_or_default(),
                    abroad: abroad.get(cloud_id).copied().unwrap_or_default(),
                    view,
                }
            })
            .collect()
    }
}

/// `GET /`
pub(in crate::daemon::console) async fn show(
    State(console): State<Arc<Console>>,
    Extension(visit): Extension<Visit>,
) -> Response {
    let page = Page::new(&console, &visit, Place::Overview);
    let seen = console.checkup.see(&console.daemon).await;
    let all = console.neighbours().await;
    let work = under_way(&console).await;
    let cloud = &console.daemon.config.cloud.name;
    page.render(&html! {
        h1 { (cloud) }
        (facts(&page, seen.as_deref(), &all, &work))
        (attention(&page, seen.as_deref()))
        section {
            h2 { "Partners" }
            (drawn(&page, &all))
            (table(&page, &all))
        }
    })
}

fn facts(page: &Page<'_>, seen: Option<&Seen>, all: &[Neighbour], work: &str) -> Markup {
    let answering = all
        .iter()
        .filter(|one| one.state(page.clock.0).0 == Mood::Good)
        .count();
    let sum = |of: fn(&Neighbour) -> u64| grouped(all.iter().map(of).sum());
    let here = sum(|one| u64::try_from(one.here).unwrap_or(u64::MAX));
    let abroad = sum(|one| u64::try_from(one.abroad).unwrap_or(u64::MAX));
    let health = |health: Option<&Health>, yes: &str, no: &str| match health {
        Some(health) if health.ok => state(Mood::Good, yes),
        Some(_) => state(Mood::Bad, no),
        None => state(Mood::Busy, "not known yet"),
    };
    let status = seen.map(|seen| &seen.status);
    html! {
        dl.facts {
            div { dt { "Keystone" } dd { (health(status.map(|status| &status.keystone), "answers", "does not answer")) } }
            div { dt { "Doorbell" } dd { (health(status.map(|status| &status.doorbell), "heard", "not heard")) } }
            div { dt { "Database" } dd { (health(status.and_then(|status| status.database.as_ref()), "answers", "does not answer")) } }
            div { dt { "Partners active" } dd { (answering) " of " (all.len()) } }
            div { dt { "Sessions here" } dd { a href="/sessions" { (here) } } }
            div { dt { "Sessions abroad" } dd { a href="/sessions?side=abroad" { (abroad) } } }
            div { dt { "Answers a minute" } dd { (sum(|one| one.flow.came + one.flow.went)) " " small { (sum(|one| one.flow.refused)) " refused" } } }
            div { dt { "Under way" } dd { a href="/work" { (work) } } }
        }
    }
}

async fn under_way(console: &Console) -> String {
    let daemon = &console.daemon;
    let retirements: i64 = daemon.count_retirements().await.values().sum();
    let counts = daemon.store.provisions().counts().await.unwrap_or_default();
    let open = counts.iter().filter(|(state, _)| state.is_open());
    let stacks: u64 = open.map(|(_, number)| number).sum();
    match (stacks, retirements) {
        (0, 0) => "nothing".to_owned(),
        (stacks, 0) => count(stacks, "stack", "stacks"),
        (0, retirements) => count(retirements.unsigned_abs(), "retirement", "retirements"),
        (stacks, retirements) => format!(
            "{}, {}",
            count(stacks, "stack", "stacks"),
            count(retirements.unsigned_abs(), "retirement", "retirements")
        ),
    }
}

fn attention(page: &Page<'_>, seen: Option<&Seen>) -> Markup {
    let Some(seen) = seen else {
        return html! { p.warning { "Nothing is known yet of Keystone, the database and the caches: they are being asked. Reload in a moment." } };
    };
    let status = &seen.status;
    let named = [
        ("Keystone", Some(&status.keystone)),
        ("Doorbell", Some(&status.doorbell)),
        ("Database", status.database.as_ref()),
    ];
    let broken = named
        .into_iter()
        .filter_map(|(name, health)| Some((name, health?)))
        .filter(|(_, health)| !health.ok);
    let broken: Vec<_> = broken.collect();
    // What the configuration allows is so each day: it comes last.
    let settled = page.console.daemon.config.warnings();
    let (settled, new): (Vec<_>, Vec<_>) = status
        .warnings
        .iter()
        .partition(|warning| settled.contains(warning));
    html! {
        section {
            h2 { "To look at " small { "seen " (page.clock.relative(seen.at)) } }
            @if broken.is_empty() && status.warnings.is_empty() {
                p.fine { (state(Mood::Good, "Nothing needs attention.")) }
            } @else {
                ul.warnings {
                    @for (name, health) in broken {
                        li data-mood="bad" { b { (name) ": " } (clean(&health.detail)) }
                    }
                    @for warning in new.into_iter().chain(settled) {
                        li data-mood="busy" { (alliance_core::label::clean(warning, 1000)) }
                    }
                }
            }
        }
    }
}

fn drawn(page: &Page<'_>, all: &[Neighbour]) -> Markup {
    let cloud = &page.console.daemon.config.cloud.name;
    let mut nodes: Vec<_> = all.iter().map(|one| one.node(page.clock.0)).collect();
    if nodes.len() > MOST {
        // What needs attention first, then what is busiest.
        nodes.sort_by_key(|node| (node.mood == Mood::Good, std::cmp::Reverse(node.weight)));
        nodes.truncate(MOST);
    }
    html! {
        @if !nodes.is_empty() {
            (map(cloud, &nodes))
            @if all.len() > MOST {
                p.hint { "The map has the " (MOST) " that need attention or are busiest; the table has all." }
            }
        }
    }
}

fn table(page: &Page<'_>, all: &[Neighbour]) -> Markup {
    let rows = all.iter().map(|one| {
        let partner = &one.view.partner;
        let (mood, word) = one.state(page.clock.0);
        let minutes = format!("{} in the last ten minutes", one.flow.steps.iter().sum::<u64>());
        vec![
            html! {
                @if partner.status == Status::Draft {
                    (partner.name)
                } @else {
                    a href=(format!("/partners/{}", partner.name)) { (partner.name) }
                }
                " " small { (role(&one.view)) }
            },
            html! {
                (state(mood, &word))
                @if one.view.border.as_ref().is_some_and(|border| border.is_hidden) {
                    " " small { "its regions are hidden" }
                }
            },
            html! {
                @match one.answers_in() {
                    Some(times) => { (times) " " small { (page.clock.relative(one.view.last_seen.unwrap_or(page.clock.0))) } }
                    None => { span.none { "–" } }
                }
            },
            html! {
                span.pair { (grouped(one.flow.came + one.flow.went)) "/min " (sparkline(&one.flow.steps, &minutes)) }
            },
            html! { (one.here) " / " (one.abroad) },
            html! { (one.view.agreements_given) " / " (one.view.agreements_received) },
        ]
    });
    Table {
        caption: "Partners",
        heads: &[
            "Partner",
            "State",
            "Answers in",
            "Answers",
            "Sessions here / abroad",
            "Agreements given / got",
        ],
        rows: rows.collect(),
        none: "There is no partner yet: alliance partner invite NAME",
    }
    .render()
}

/// What it is to us.
pub(super) fn role(view: &PartnerView) -> String {
    match view.partner.kind {
        Kind::Alliance => view.partner.role.to_string(),
        Kind::Keystone => "guest, a plain Keystone".to_owned(),
    }
}
