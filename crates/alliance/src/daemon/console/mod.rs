//! The console: pages for operators, in a browser.
//!
//! Rendered here and complete without JavaScript; a script brings a page up to date when something has
//! changed. It gives the same orders as the command line, by the same functions.

mod assets;
mod attempts;
mod checkup;
mod door;
mod guard;
mod live;
mod login;
mod operator;
mod orders;
mod pace;
mod pages;
mod visits;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use tokio::sync::Semaphore;

use self::attempts::Attempts;
use self::checkup::Checkup;
pub(crate) use self::door::Door;
use self::live::Live;
use self::pace::Pace;
use self::visits::Visits;
use super::Daemon;
use super::listening::{self, Limits};

/// No form is larger, in bytes; a token may be.
const BODY: usize = 64 * 1024;
/// Browsers hold a few connections each.
const LIMITS: Limits = Limits {
    connections: 256,
    patience: Duration::from_secs(30),
    body: BODY,
};
/// Logins under way at once.
const LOGINS: usize = 4;

/// What its routes share.
struct Console {
    daemon: Arc<Daemon>,
    visits: Visits,
    attempts: Attempts,
    logins: Semaphore,
    live: Live,
    pace: Pace,
    checkup: Arc<Checkup>,
}

impl Console {
    fn new(daemon: Arc<Daemon>) -> Arc<Self> {
        Arc::new(Self {
            daemon,
            visits: Visits::default(),
            attempts: Attempts::new(),
            logins: Semaphore::new(LOGINS),
            live: Live::default(),
            pace: Pace::default(),
            checkup: Arc::default(),
        })
    }
}

/// Serves until `stop`, if there is a door.
pub(crate) async fn serve(
    door: Option<Door>,
    daemon: Arc<Daemon>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let Some(door) = door else {
        return;
    };
    let console = Console::new(daemon);
    let watching = tokio::spawn(Arc::clone(&console).watch());
    listening::serve(door, router(console), |_, _| (), LIMITS, stop).await;
    watching.abort();
}

fn router(console: Arc<Console>) -> Router {
    Router::new()
        .route("/", get(pages::overview::show))
        .route("/partners/{name}", get(pages::partner::show))
        .route(
            "/partners/{name}/suspend",
            get(orders::ask_suspend).post(orders::suspend),
        )
        .route(
            "/partners/{name}/resume",
            get(orders::ask_resume).post(orders::resume),
        )
        .route("/sessions", get(pages::sessions::show))
        .route("/sessions/{id}/end", get(orders::ask_end).post(orders::end))
        .route("/sign-outs", get(pages::sign_outs::show))
        .route("/work", get(pages::work::show))
        .route("/audit", get(pages::audit::show))
        .route(live::EVENTS, get(live::events))
        .route("/logout", post(login::leave))
        .route_layer(from_fn_with_state(Arc::clone(&console), guard::logged_in))
        .route("/login", get(login::show).post(login::enter))
        .route("/begin", get(login::begin))
        .merge(assets::routes())
        .fallback(nowhere)
        .layer(from_fn(guard::same_origin))
        .layer(from_fn(guard::headers))
        .with_state(console)
}

async fn nowhere() -> Response {
    failure(StatusCode::NOT_FOUND, "There is no such page.")
}

/// A page that says what is wrong.
fn failure(status: StatusCode, why: &str) -> Response {
    (status, pages::failure(status, why)).into_response()
}
