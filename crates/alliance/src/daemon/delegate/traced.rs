//! Where the traces of requests begin, or go on, that Keystone's plugin hands on.

use std::sync::Arc;

use alliance_trace::{Context, Span};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use uuid::Uuid;

use super::tokens::request_id;
use crate::daemon::Daemon;

/// What Keystone's clients wait for. Traced also where they say nothing of a trace; anything else only as
/// a part of one.
const AWAITED: [&str; 4] = [
    "/v1/tokens/validate",
    "/v1/guests/confirm",
    "/v1/passports",
    "/v1/logins",
];
/// Whose budget is spent by all who ask this cloud's Keystone. No partner can be called so.
const OWN_KEYSTONE: &str = "own Keystone";

/// Answers within a span, if there is to be one.
pub(super) async fn traced(
    State(daemon): State<Arc<Daemon>>,
    request: Request,
    next: Next,
) -> Response {
    let span = span(&daemon, &request);
    alliance_trace::answer(span, next.run(request)).await
}

fn span(daemon: &Daemon, request: &Request) -> Option<Span> {
    let route = request.extensions().get::<MatchedPath>()?.as_str();
    let upstream = Context::from_headers(request.headers());
    if upstream.is_none() && !AWAITED.contains(&route) {
        return None;
    }
    let request_id = request_id(request.headers());
    let id = request_id.map_or_else(Uuid::new_v4, |id| id.uuid());
    let method = request.method();
    let name = || format!("{method} {route}");
    let tracer = &daemon.traces.tracer;
    let span = tracer.receive(OWN_KEYSTONE, upstream, id, name)?;
    span.note("http.request.method", method.to_string());
    span.note("http.route", route.to_owned());
    if let Some(id) = request_id {
        span.note("openstack.request_id", id.to_string());
    }
    Some(span)
}
