//! What pages show. All text is escaped by the template; what comes from others is cleaned too.

pub(super) mod audit;
pub(super) mod login;
mod map;
pub(super) mod order;
pub(super) mod overview;
pub(super) mod partner;
pub(super) mod sessions;
pub(super) mod sign_outs;
mod table;
mod time;
pub(super) mod work;

use alliance_core::label;
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use maud::{DOCTYPE, Markup, html};

use self::time::Clock;
use super::visits::Visit;
use super::{Console, assets};
use crate::daemon::clock::now;

/// Pages that each page leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Overview,
    Sessions,
    SignOuts,
    Work,
    Audit,
}

impl Place {
    const ALL: [Self; 5] = [
        Self::Overview,
        Self::Sessions,
        Self::SignOuts,
        Self::Work,
        Self::Audit,
    ];

    fn path(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::Sessions => "/sessions",
            Self::SignOuts => "/sign-outs",
            Self::Work => "/work",
            Self::Audit => "/audit",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Sessions => "Sessions",
            Self::SignOuts => "Sign-outs",
            Self::Work => "Under way",
            Self::Audit => "Audit",
        }
    }
}

/// A page of somebody who is logged in.
struct Page<'a> {
    console: &'a Console,
    visit: &'a Visit,
    /// Where it is among the others.
    place: Option<Place>,
    title: &'a str,
    clock: Clock,
    /// Whether it is brought up to date.
    is_live: bool,
}

impl<'a> Page<'a> {
    fn new(console: &'a Console, visit: &'a Visit, place: Place) -> Self {
        Self {
            console,
            visit,
            place: Some(place),
            title: place.title(),
            clock: Clock(now()),
            is_live: true,
        }
    }

    fn render(&self, content: &Markup) -> Response {
        self.render_below(&html! {}, content)
    }

    /// The same below what stays as it is when the page is brought up to date: somebody may be at it.
    fn render_below(&self, stays: &Markup, content: &Markup) -> Response {
        let cloud = &self.console.daemon.config.cloud.name;
        let said = self.console.visits.said(self.visit);
        let body = html! {
            header.top {
                a.brand href="/" { span.mark aria-hidden="true" {} "Alliance " b { (cloud) } }
                nav aria-label="Pages" {
                    @for place in Place::ALL {
                        a href=(place.path()) aria-current=[(self.place == Some(place)).then_some("page")] {
                            (place.title())
                        }
                    }
                }
                form.who method="post" action="/logout" {
                    input type="hidden" name="token" value=(self.visit.token);
                    span { (self.visit.operator.name) }
                    button.quiet type="submit" { "Log out" }
                }
            }
            main #main tabindex="-1" {
                @if let Some(said) = said {
                    p.said role="status" { (said) }
                }
                (stays)
                div #live data-live=[self.is_live.then_some("yes")] { (content) }
            }
            footer {
                @if self.is_live {
                    p #freshness { "Made at " (self.clock.time()) ". " a href="" { "Reload" } }
                }
                p { "alliance " (env!("CARGO_PKG_VERSION")) }
            }
        };
        frame(&format!("{} · {cloud}", self.title), self.is_live, &body).into_response()
    }
}

fn frame(title: &str, is_live: bool, body: &Markup) -> Html<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Alliance" }
                link rel="icon" type="image/svg+xml" href=(assets::ICON.path);
                link rel="stylesheet" href=(assets::STYLE.path);
                @if is_live {
                    script src=(assets::SCRIPT.path) defer {}
                }
            }
            body {
                a.skip href="#main" { "To the content" }
                (body)
            }
        }
    };
    Html(page.into_string())
}

/// A page for whoever cannot be shown another.
pub(super) fn failure(status: StatusCode, why: &str) -> Html<String> {
    let title = status.canonical_reason().unwrap_or("That did not work");
    frame(
        title,
        false,
        &html! {
            main.narrow #main tabindex="-1" {
                h1 { (title) }
                p { (why) }
                p { a href="/" { "To the overview" } }
            }
        },
    )
}

/// Text that comes from others.
fn clean(text: &str) -> String {
    label::clean(text, 300)
}

/// An id, which is for machines: small, and may break anywhere.
fn id(text: &str) -> Markup {
    html! { code.id { (text) } }
}

/// A state: a shape, which does not need its colour, and a word.
fn state(mood: Mood, word: &str) -> Markup {
    html! { span.state data-mood=(mood.as_str()) { (word) } }
}

/// How good a state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Good,
    Busy,
    Off,
    Bad,
}

impl Mood {
    fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Off => "off",
            Self::Bad => "bad",
        }
    }
}

/// `word`, or `words` unless there is one.
fn count(number: u64, word: &str, words: &str) -> String {
    match number {
        1 => format!("1 {word}"),
        _ => format!("{} {words}", grouped(number)),
    }
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// What could not be read from the database.
fn unread(error: &dyn std::fmt::Display) -> Markup {
    html! { p.warning role="alert" { "This could not be read: " (clean(&error.to_string())) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(count(1, "session", "sessions"), "1 session");
        assert_eq!(count(0, "session", "sessions"), "0 sessions");
    }

    #[test]
    fn what_others_say_is_text_and_nothing_else() {
        let why = clean("<script>alert(1)</script>\u{202e}\n");
        let page = failure(StatusCode::NOT_FOUND, &why).0;
        assert!(
            !page.contains("<script>") && !page.contains('\u{202e}'),
            "{page}"
        );
        assert!(page.contains("&lt;script&gt;"), "{page}");
    }
}
