//! The page that asks once more.

use axum::response::Response;
use maud::html;

use super::{Page, Place};
use crate::daemon::console::Console;
use crate::daemon::console::visits::Visit;

/// What is to be done.
pub(in crate::daemon::console) struct Question {
    /// As a question.
    pub title: String,
    /// What will happen then.
    pub says: Vec<String>,
    /// What the button says.
    pub does: String,
    /// Whether it takes something from somebody.
    pub is_grave: bool,
    /// Where one goes who does not want it.
    pub back: String,
}

/// The page.
pub(in crate::daemon::console) fn page(
    console: &Console,
    visit: &Visit,
    question: &Question,
) -> Response {
    let page = Page {
        title: &question.title,
        is_live: false,
        place: None,
        ..Page::new(console, visit, Place::Overview)
    };
    page.render(&html! {
        section.narrow {
            h1 { (question.title) }
            ul {
                @for line in &question.says {
                    li { (line) }
                }
            }
            p { "It is written down as done by " b { (visit.operator.name) } "." }
            form.choice method="post" {
                input type="hidden" name="token" value=(visit.token);
                button.grave[question.is_grave] type="submit" { (question.does) }
                a href=(question.back) { "Cancel" }
            }
        }
    })
}
