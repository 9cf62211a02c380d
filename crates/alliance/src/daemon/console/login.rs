//! Coming in and leaving.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, StatusCode, header};
use secrecy::SecretString;
use serde::Deserialize;

use super::operator::{Credentials, Refused};
use super::visits::{Sign, Visit};
use super::{Console, attempts, failure, guard, pages};

#[derive(Deserialize)]
pub(super) struct Wanted {
    /// Where to go then.
    then: Option<String>,
}

/// One of the two forms of the page.
#[derive(Deserialize)]
pub(super) struct Shown {
    then: Option<String>,
    #[serde(default)]
    username: String,
    #[serde(default)]
    domain: String,
    password: Option<SecretString>,
    #[serde(default)]
    scope: String,
    subject: Option<SecretString>,
}

/// `GET /login`
pub(super) async fn show(
    State(console): State<Arc<Console>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let then = wanted.ok().and_then(|Query(wanted)| wanted.then);
    pages::login::page(&console.daemon, &here(then), None).into_response()
}

/// `POST /login`
pub(super) async fn enter(
    State(console): State<Arc<Console>>,
    shown: Result<Form<Shown>, FormRejection>,
) -> Response {
    let Ok(Form(shown)) = shown else {
        return failure(StatusCode::BAD_REQUEST, "That is no login.");
    };
    let then = here(shown.then.clone());
    let again = |status: StatusCode, why: &str| {
        let page = pages::login::page(&console.daemon, &then, Some(why));
        (status, page).into_response()
    };
    let (name, credentials) = match (shown.password, shown.subject) {
        (Some(password), _) => (
            attempts::of_person(&shown.domain, &shown.username),
            Credentials::Password {
                username: shown.username,
                domain: shown.domain,
                password,
                system: shown.scope == "system",
            },
        ),
        (None, Some(token)) => (attempts::of_token(&token), Credentials::Token(token)),
        (None, None) => return again(StatusCode::BAD_REQUEST, "That is no login."),
    };
    let too_often = "Too many logins have failed. Wait a minute; meanwhile the command line works.";
    let Ok(_place) = console.logins.try_acquire() else {
        return again(StatusCode::TOO_MANY_REQUESTS, too_often);
    };
    if !console.attempts.may(&name) {
        return again(StatusCode::TOO_MANY_REQUESTS, too_often);
    }
    let daemon = &console.daemon;
    match daemon.admit(&credentials).await {
        Ok(operator) => {
            tracing::info!(operator = operator.name, "logged in to the console");
            daemon.audit(&operator.name, "console.login", "", "").await;
            let cookie = guard::begin(&console.visits.begin(operator, Instant::now()));
            let then = url::form_urlencoded::byte_serialize(then.as_bytes()).collect::<String>();
            let begin = Redirect::to(&format!("/begin?then={then}"));
            ([(header::SET_COOKIE, cookie)], begin).into_response()
        }
        Err(Refused::Silent(error)) => {
            tracing::warn!(%error, "Keystone does not say who logs in to the console");
            again(
                StatusCode::SERVICE_UNAVAILABLE,
                &Refused::Silent(error).to_string(),
            )
        }
        Err(refused) => {
            if refused.is_guess() {
                console.attempts.failed(&name);
            }
            tracing::warn!(%refused, "nobody was let in to the console");
            again(StatusCode::FORBIDDEN, &refused.to_string())
        }
    }
}

/// `GET /begin`: the first page of a visit. A browser that did not keep the cookie is told why.
pub(super) async fn begin(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let then = here(wanted.ok().and_then(|Query(wanted)| wanted.then));
    match console.visit(&headers, Sign::Alive, Instant::now()) {
        Some(_) => Redirect::to(&then).into_response(),
        None => {
            let why = "Your browser has not kept the login: it does over https only. Open the console by the https address of its proxy, or give it a certificate ([console] certificate).";
            let page = pages::login::page(&console.daemon, &then, Some(why));
            (StatusCode::FORBIDDEN, page).into_response()
        }
    }
}

/// `POST /logout`
pub(super) async fn leave(
    State(console): State<Arc<Console>>,
    Extension(visit): Extension<Visit>,
) -> Response {
    console.visits.end(&visit);
    let cookie = [(header::SET_COOKIE, guard::end())];
    (cookie, Redirect::to("/login")).into_response()
}

/// A page of the console's own; else the first.
fn here(then: Option<String>) -> String {
    let is_here = |path: &String| {
        path.starts_with('/')
            && !path.starts_with("//")
            && path
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~%".contains(&byte))
    };
    then.filter(is_here).unwrap_or_else(|| "/".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_no_other_site() {
        for path in ["/", "/partners/east", "/sessions/a-b_c/end"] {
            assert_eq!(here(Some(path.to_owned())), path);
        }
        for path in [
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "evil",
            "",
            "/a\nb",
            "/?a=b",
        ] {
            assert_eq!(here(Some(path.to_owned())), "/", "{path}");
        }
    }
}
