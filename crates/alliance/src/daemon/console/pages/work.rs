//! What is being made, stopped and deleted: here for partners, there for us.

use std::sync::Arc;

use alliance_core::provision::StackState;
use alliance_core::retirement::Phase;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::table::Table;
use super::{Mood, Page, Place, clean, count, id, state, unread};
use crate::daemon::console::Console;
use crate::daemon::console::visits::Visit;
use crate::wire::RetirementView;

/// What is over is shown for so long, in seconds.
const LATELY: i64 = 86_400;
/// No more are shown.
const MOST: usize = 200;

/// `GET /work`
pub(in crate::daemon::console) async fn show(
    State(console): State<Arc<Console>>,
    Extension(visit): Extension<Visit>,
) -> Response {
    let page = Page::new(&console, &visit, Place::Work);
    let (stacks, orders) = (stacks(&page).await, orders(&page).await);
    let (retirements, orphans) = (retirements(&page).await, orphans(&page).await);
    page.render(&html! {
        h1 { "Under way" }
        section {
            h2 { "What partners have ordered here" }
            p.hint { "What is open, and what was over less than a day ago. " code { "alliance work" } " makes it." }
            (stacks)
        }
        section {
            h2 { "What we have ordered at hosts" }
            p.hint { "What no host has answered, and what was answered less than a day ago. How far a host is: " code { "alliance provision list" } "." }
            (orders)
        }
        section {
            h2 { "Retirements" }
            p.hint { "To hold, resume or hurry one: " code { "alliance retirement" } "." }
            (retirements)
        }
        section {
            h2 { "Projects that nobody answers for" }
            (orphans)
        }
    })
}

async fn stacks(page: &Page<'_>) -> Markup {
    let daemon = &page.console.daemon;
    let found = match daemon.store.provisions().stacks(None, None).await {
        Ok(found) => found,
        Err(error) => return unread(&error),
    };
    let mut shown: Vec<_> = found
        .into_iter()
        .filter(|stack| stack.state.is_open() || stack.changed_at > page.clock.0 - LATELY)
        .collect();
    shown.sort_by_key(|stack| (!stack.state.is_open(), std::cmp::Reverse(stack.changed_at)));
    let rows = shown.iter().take(MOST).map(|stack| {
        vec![
            html! { (clean(&stack.name)) },
            html! { (clean(&daemon.name_of(&stack.home))) },
            id(&stack.project_id),
            html! { (clean(&stack.action)) },
            html! {
                (state(stack_mood(stack.state), stack.state.as_str()))
                @if let Some(detail) = &stack.detail { " " small { (clean(detail)) } }
            },
            page.clock.at(stack.changed_at),
        ]
    });
    Table {
        caption: "What partners have ordered here",
        heads: &[
            "Stack",
            "Partner",
            "Project at home",
            "Order",
            "State",
            "Since",
        ],
        rows: rows.collect(),
        none: "Nothing.",
    }
    .render()
}

fn stack_mood(state: StackState) -> Mood {
    match state {
        StackState::Failed => Mood::Bad,
        state if state.is_open() => Mood::Busy,
        StackState::Destroyed => Mood::Off,
        _ => Mood::Good,
    }
}

async fn orders(page: &Page<'_>) -> Markup {
    let daemon = &page.console.daemon;
    let lately = page.clock.0 - LATELY;
    let found = match daemon.store.provisions().lately(lately).await {
        Ok(found) => found,
        Err(error) => return unread(&error),
    };
    let rows = found.iter().take(MOST).map(|order| {
        let (mood, word) = match (order.heard_at, &order.refused) {
            (None, _) => (Mood::Busy, "waits"),
            (Some(_), None) => (Mood::Good, "taken"),
            (Some(_), Some(_)) => (Mood::Bad, "refused"),
        };
        vec![
            html! { (clean(&order.stack)) },
            html! { (clean(&daemon.name_of(&order.host))) },
            id(&order.project_id),
            html! { (clean(&order.action)) },
            html! {
                (state(mood, word))
                @if let Some(why) = &order.refused { " " small { (clean(why)) } }
            },
            page.clock.at(order.at),
            html! { (clean(&order.by)) },
        ]
    });
    Table {
        caption: "What we have ordered at hosts",
        heads: &["Stack", "Host", "Project", "Order", "State", "Given", "By"],
        rows: rows.collect(),
        none: "None.",
    }
    .render()
}

async fn retirements(page: &Page<'_>) -> Markup {
    let found = match page.console.daemon.retirements().await {
        Ok(found) => found,
        Err(error) => return unread(&error),
    };
    let mut shown: Vec<_> = found
        .into_iter()
        .filter(|one| one.ended_at.is_none_or(|at| at > page.clock.0 - LATELY))
        .collect();
    shown.sort_by_key(|one| (one.ended_at.is_some(), std::cmp::Reverse(one.began)));
    let rows = shown.iter().take(MOST).map(|one| {
        vec![
            id(&one.project_id),
            html! { (clean(&one.partner)) " " small { @if one.here { "its project here" } @else { "our project there" } } },
            html! { (one.cause.as_str().replace('_', " ")) },
            phase(page, one),
            page.clock.at(one.began),
            page.clock.maybe(one.delete_at, "no date"),
        ]
    });
    Table {
        caption: "Retirements",
        heads: &[
            "Project at home",
            "Partner",
            "Cause",
            "State",
            "Began",
            "Deletes at",
        ],
        rows: rows.collect(),
        none: "None.",
    }
    .render()
}

fn phase(page: &Page<'_>, one: &RetirementView) -> Markup {
    let word = one.phase.as_str().replace('_', " ");
    let mood = match one.phase {
        _ if one.remainder > 0 => Mood::Bad,
        Phase::Deleted | Phase::Restored => Mood::Off,
        _ => Mood::Busy,
    };
    html! {
        (state(mood, &word))
        @if one.held { " " small { "held" } }
        @if let Some(since) = one.waits_since { " " small { "waits for home for " (page.clock.since(since)) } }
        @if one.remainder > 0 { " " small { (count(one.remainder.into(), "thing is", "things are")) " left" } }
    }
}

async fn orphans(page: &Page<'_>) -> Markup {
    let found = match page.console.daemon.orphans().await {
        Ok(found) => found,
        Err(error) => return unread(&error),
    };
    let rows = found.iter().take(MOST).map(|one| {
        vec![
            html! { @if let Some(name) = &one.name { (clean(name)) " " } (id(&one.project_id)) },
            html! { (clean(&one.partner)) },
            html! { (one.resources) },
            page.clock.maybe(one.last_seen, "never"),
        ]
    });
    Table {
        caption: "Projects that nobody answers for",
        heads: &[
            "Project at home",
            "Partner",
            "Metered resources",
            "Last seen",
        ],
        rows: rows.collect(),
        none: "None.",
    }
    .render()
}
