//! What operators can do here: each is asked once more, says what it will do, and is written down with
//! their name.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;

use super::pages::order::Question;
use super::visits::Visit;
use super::{Console, failure, pages};
use crate::daemon::delegate::ApiError;
use crate::wire::Applied;

type Caller = Extension<Visit>;

/// `GET /partners/{name}/suspend`
pub(super) async fn ask_suspend(
    State(console): State<Arc<Console>>,
    Extension(visit): Caller,
    Path(name): Path<String>,
) -> Response {
    let known = match console.daemon.partner(&name) {
        Ok(known) => known,
        Err(error) => return refused(&error),
    };
    let role = known.partner.role;
    let mut says = vec![
        "The next request with a token of its is refused, at Keystone and at the services."
            .to_owned(),
    ];
    if role.is_host() {
        says.push("Its regions leave the catalogs of your users.".to_owned());
    }
    says.push("Nothing that runs is stopped, nothing is deleted. Its daemon is told. You can resume it at any time.".to_owned());
    let question = Question {
        title: format!("Suspend {name}?"),
        says,
        does: format!("Suspend {name}"),
        is_grave: true,
        back: format!("/partners/{name}"),
    };
    pages::order::page(&console, &visit, &question).into_response()
}

/// `POST /partners/{name}/suspend`
pub(super) async fn suspend(
    State(console): State<Arc<Console>>,
    Extension(visit): Caller,
    Path(name): Path<String>,
) -> Response {
    let actor = &visit.operator.name;
    let done = console.daemon.suspend(&name, actor).await;
    let said = format!("{name} is suspended: its tokens are refused.");
    console.done(&visit, done, said, &format!("/partners/{name}"))
}

/// `GET /partners/{name}/resume`
pub(super) async fn ask_resume(
    State(console): State<Arc<Console>>,
    Extension(visit): Caller,
    Path(name): Path<String>,
) -> Response {
    if let Err(error) = console.daemon.partner(&name) {
        return refused(&error);
    }
    let question = Question {
        title: format!("Resume {name}?"),
        says: vec![
            "Its tokens count again, as far as agreements go; also those that were refused meanwhile, until they expire.".to_owned(),
            "Its daemon is told.".to_owned(),
        ],
        does: format!("Resume {name}"),
        is_grave: false,
        back: format!("/partners/{name}"),
    };
    pages::order::page(&console, &visit, &question).into_response()
}

/// `POST /partners/{name}/resume`
pub(super) async fn resume(
    State(console): State<Arc<Console>>,
    Extension(visit): Caller,
    Path(name): Path<String>,
) -> Response {
    let actor = &visit.operator.name;
    let done = console.daemon.resume(&name, actor).await;
    let said = format!("{name} is active again.");
    console.done(&visit, done, said, &format!("/partners/{name}"))
}

/// `GET /sessions/{id}/end`
pub(super) async fn ask_end(
    State(console): State<Arc<Console>>,
    Extension(visit): Caller,
    Path(id): Path<String>,
) -> Response {
    let daemon = &console.daemon;
    let (found, _) = daemon
        .host
        .newest_sessions(|_, session| session.id() == id, 1);
    let Some((cloud_id, session)) = found.first() else {
        return failure(
            StatusCode::NOT_FOUND,
            "There is no such session here; it may have ended.",
        );
    };
    let partner = daemon.name_of(cloud_id);
    let question = Question {
        title: format!("End this session of {partner}?"),
        says: vec![
            format!("Its user at home: {}.", session.user_id()),
            "Its token, and all that was made from it here, is refused from the next request on, at Keystone and at the services.".to_owned(),
            format!("{partner} is not told; the token still works there. Its user can log in there again and come back."),
        ],
        does: "End the session".to_owned(),
        is_grave: true,
        back: "/sessions".to_owned(),
    };
    pages::order::page(&console, &visit, &question).into_response()
}

/// `POST /sessions/{id}/end`
pub(super) async fn end(
    State(console): State<Arc<Console>>,
    Extension(visit): Caller,
    Path(id): Path<String>,
) -> Response {
    let actor = &visit.operator.name;
    let done = match console.daemon.end_session(&id, actor).await {
        Ok(Some(applied)) => Ok(applied),
        Ok(None) => Err(ApiError::not_found(
            "There is no such session here; it may have ended.",
        )),
        Err(error) => Err(error.into()),
    };
    console.done(
        &visit,
        done,
        "The session has ended.".to_owned(),
        "/sessions",
    )
}

impl Console {
    fn done(
        &self,
        visit: &Visit,
        done: Result<Applied, ApiError>,
        said: String,
        then: &str,
    ) -> Response {
        let applied = match done {
            Ok(applied) => applied,
            Err(error) => return refused(&error),
        };
        self.checkup.forget();
        let told = match &applied.detail {
            None => " Keystone knows.".to_owned(),
            Some(detail) => format!(" {detail}"),
        };
        self.visits.say(visit, said + &told);
        Redirect::to(then).into_response()
    }
}

fn refused(error: &ApiError) -> Response {
    failure(error.status(), error.detail())
}
