//! What stands before every route: headers for browsers, the cookie, and where orders come from.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use url::form_urlencoded;

use super::visits::{Sign, Visit};
use super::{BODY, Console, failure};
use crate::daemon::listening::finished;

/// `__Host-`: browsers take it over https only, for this host only, for all its paths.
const COOKIE: &str = "__Host-alliance";
/// What keeps a page up to date says so.
const IDLE: HeaderName = HeaderName::from_static("x-alliance-idle");

/// How long a page waits for Keystone's word about its operator.
const KEYSTONE_WAIT: Duration = Duration::from_secs(2);

const CSP: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Puts onto every answer what browsers need to know.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Orders come from a page of this console.
pub(super) async fn same_origin(request: Request, next: Next) -> Response {
    if request.method() == Method::POST && !is_same_origin(request.headers()) {
        return failure(
            StatusCode::FORBIDDEN,
            "This order came from another page than one of this console. Nothing was done.",
        );
    }
    next.run(request).await
}

/// Lets nobody on who is not logged in, nor an order that no form of this visit's carries.
pub(super) async fn logged_in(
    State(console): State<Arc<Console>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut head, body) = request.into_parts();
    // Browsers connect to the events again by themselves.
    let is_idle = head.headers.contains_key(&IDLE) || head.uri.path() == super::live::EVENTS;
    let sign = if is_idle { Sign::Idle } else { Sign::Alive };
    let Some(visit) = console.visit(&head.headers, sign, Instant::now()) else {
        return turned_away(&head.method, &head.headers, head.uri.path());
    };
    let is_order = head.method == Method::POST;
    if (is_order || visit.is_unconfirmed) && !console.is_still_operator(&visit).await {
        console.visits.end(&visit);
        return turned_away(&head.method, &head.headers, head.uri.path());
    }
    let Ok(body) = to_bytes(body, BODY).await else {
        return failure(StatusCode::PAYLOAD_TOO_LARGE, "That is too long.");
    };
    if is_order && !carries(&body, &visit.token) {
        return failure(
            StatusCode::FORBIDDEN,
            "This form is not of this login; it may be older. Nothing was done: go back, reload, and try again.",
        );
    }
    head.extensions.insert(visit);
    let running = next.run(Request::from_parts(head, Body::from(body)));
    if !is_order {
        return running.await;
    }
    // As of commands: what has begun is finished, also if the browser goes away.
    finished(running).await.unwrap_or_else(|| {
        failure(
            StatusCode::INTERNAL_SERVER_ERROR,
            "That ended abnormally; the daemon's log says more.",
        )
    })
}

impl Console {
    /// That of the cookie, if it goes on.
    pub(super) fn visit(&self, headers: &HeaderMap, sign: Sign, now: Instant) -> Option<Visit> {
        self.visits.find(cookie(headers)?, sign, now)
    }

    /// Asks Keystone. While that does not answer, who was let in stays: it may be what is to be mended.
    async fn is_still_operator(&self, visit: &Visit) -> bool {
        let asked = timeout(KEYSTONE_WAIT, self.daemon.holds_role(&visit.operator)).await;
        match asked {
            Ok(Ok(false)) => {
                tracing::warn!(
                    operator = visit.operator.name,
                    "holds the console's role no more: logged out"
                );
                return false;
            }
            Ok(Ok(true)) => {}
            Ok(Err(error)) => {
                tracing::warn!(operator = visit.operator.name, %error, "Keystone does not say whether this is still an operator");
            }
            Err(_) => {
                tracing::warn!(
                    operator = visit.operator.name,
                    "Keystone does not say in time whether this is still an operator"
                );
            }
        }
        self.visits.confirm(visit, Instant::now());
        true
    }
}

fn turned_away(method: &Method, headers: &HeaderMap, path: &str) -> Response {
    if headers.contains_key(&IDLE) || path == super::live::EVENTS {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if *method == Method::POST {
        return failure(
            StatusCode::FORBIDDEN,
            "You are not logged in any more. Nothing was done: log in and try again.",
        );
    }
    let then: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
    Redirect::to(&format!("/login?then={then}")).into_response()
}

/// The cookie that begins a visit.
pub(super) fn begin(cookie: &str) -> String {
    format!("{COOKIE}={cookie}; Path=/; Secure; HttpOnly; SameSite=Strict")
}

/// The one that ends it.
pub(super) fn end() -> String {
    format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0")
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter();
    let all = all.filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';'));
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// By `Sec-Fetch-Site`, which no page can forge; from browsers that do not say it by `Origin`.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, host)| text(header::HOST) == Some(host))
}

fn carries(body: &[u8], token: &str) -> bool {
    let mut fields = form_urlencoded::parse(body);
    let shown = fields.find(|(name, _)| name == "token");
    // How far two hashes are alike tells nothing.
    shown.is_some_and(|(_, shown)| Sha256::digest(&*shown) == Sha256::digest(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn orders_of_other_pages_are_known_as_such() {
        for (said, expected) in [
            (&[][..], false),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("origin", "https://a:1"), ("host", "a:1")], true),
            (&[("origin", "https://b:1"), ("host", "a:1")], false),
            (&[("origin", "https://a:2"), ("host", "a:1")], false),
            (&[("origin", "null"), ("host", "null")], false),
            (&[("host", "a:1")], false),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://a:1"),
                    ("host", "a:1"),
                ],
                false,
            ),
        ] {
            assert_eq!(is_same_origin(&headers(said)), expected, "{said:?}");
        }
    }

    #[test]
    fn the_cookie_is_found_among_others_and_no_other_is_taken_for_it() {
        for (said, expected) in [
            ("__Host-alliance=x", Some("x")),
            ("a=b; __Host-alliance=x; c=d", Some("x")),
            ("x__Host-alliance=x", None),
            ("alliance=x", None),
            ("__Host-alliance", None),
        ] {
            assert_eq!(cookie(&headers(&[("cookie", said)])), expected, "{said}");
        }
        assert_eq!(cookie(&headers(&[])), None);
    }

    #[test]
    fn a_form_carries_the_token_of_its_visit() {
        assert!(carries(b"a=b&token=x-y", "x-y"));
        for wrong in [
            &b""[..],
            b"token=",
            b"token=x",
            b"other=x-y",
            b"token=z&token=x-y",
        ] {
            assert!(!carries(wrong, "x-y"));
        }
    }
}
