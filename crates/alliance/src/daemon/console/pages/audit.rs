//! Who did what.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::table::Table;
use super::{Page, Place, clean, id, unread};
use crate::daemon::console::Console;
use crate::daemon::console::visits::Visit;

/// So many are shown.
const MOST: u32 = 200;

/// `GET /audit`
pub(in crate::daemon::console) async fn show(
    State(console): State<Arc<Console>>,
    Extension(visit): Extension<Visit>,
) -> Response {
    let page = Page::new(&console, &visit, Place::Audit);
    let trail = trail(&page).await;
    page.render(&html! {
        h1 { "Audit" }
        p.hint { "The last " (MOST) " entries. " b { "operator" } " gave orders on the command line." }
        (trail)
    })
}

async fn trail(page: &Page<'_>) -> Markup {
    let found = match page.console.daemon.store.audit().list(MOST).await {
        Ok(found) => found,
        Err(error) => return unread(&error),
    };
    let rows = found.iter().map(|entry| {
        vec![
            html! { (clean(&entry.action)) },
            page.clock.at(entry.at),
            html! { (clean(&entry.actor)) },
            html! { @if entry.subject.is_empty() { span.none { "–" } } @else { (clean(&entry.subject)) } },
            html! { @if entry.detail.is_empty() { span.none { "–" } } @else { (id(&clean(&entry.detail))) } },
        ]
    });
    Table {
        caption: "Who did what",
        heads: &["What", "When", "Who", "About", "Detail"],
        rows: rows.collect(),
        none: "Nothing yet.",
    }
    .render()
}
