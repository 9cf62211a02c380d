//! What surrounds every request: its id, its span, its deadline, its size.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alliance_core::cloud::CloudId;
use alliance_core::refusal::Reason;
use alliance_trace::{Context, Span};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::{HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;

use super::Limits;
use super::slots::{Slot, Slots};
use crate::error::ApiError;
use crate::request_id::{self, RequestId};
use crate::service::{Call, PeerService};
use crate::wire::{GRANTS, INTROSPECT, MAX_WAIT, REVOCATIONS, SIGN_OUTS};

/// Whose connection a request came in. Each request carries it as an extension.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) cloud_id: CloudId,
    /// As which it is counted.
    pub(super) is_partner: bool,
}

/// How many requests of partners are under way.
#[derive(Clone)]
struct UnderWay {
    all: Arc<Semaphore>,
    of_each: Arc<Slots<CloudId>>,
    lists: Arc<Slots<CloudId>>,
}

/// A place among them. Dropping it gives it back.
struct Place {
    _all: OwnedSemaphorePermit,
    _own: Slot<CloudId>,
    _list: Option<Slot<CloudId>>,
}

impl UnderWay {
    fn new(limits: Limits) -> Self {
        Self {
            all: Arc::new(Semaphore::new(limits.requests)),
            of_each: Slots::new(limits.requests_of_partner),
            lists: Slots::new(limits.lists_of_partner),
        }
    }

    fn place(&self, partner: &CloudId, path: &str) -> Option<Place> {
        let own = self.of_each.take(partner.clone())?;
        let list = match path == REVOCATIONS {
            true => Some(self.lists.take(partner.clone())?),
            false => None,
        };
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Place {
            _all: all,
            _own: own,
            _list: list,
        })
    }
}

/// What somebody's request in the caller's Keystone waits for. Traced also where the caller says nothing
/// of a trace; anything else, polls above all, is traced only as a part of one.
const AWAITED: [&str; 2] = [INTROSPECT, GRANTS];

/// Puts `router`, of `service`, behind the limits.
pub(super) fn limited<S: PeerService>(router: Router, service: Arc<S>, limits: Limits) -> Router {
    router
        .layer(DefaultBodyLimit::max(limits.body))
        .layer(from_fn_with_state(limits.request, within_deadline))
        .layer(from_fn_with_state(UnderWay::new(limits), within_bounds))
        .layer(from_fn_with_state(service, identified::<S>))
}

/// Finds or makes the request's id, traces it, tells the service how it ended, and answers even if a
/// handler panics: other requests share its connection.
async fn identified<S: PeerService>(
    State(service): State<Arc<S>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(caller) = request.extensions().get::<Caller>() else {
        return ApiError::internal("the request carries no caller").into_response();
    };
    let caller = caller.cloud_id.clone();
    let request_id = request
        .headers()
        .get(request_id::HEADER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<RequestId>().ok())
        .unwrap_or_else(RequestId::random);
    let span = tracing::info_span!(
        "peer_request",
        request_id = %request_id,
        caller = %caller.tag(),
        method = %request.method(),
        path = alliance_core::label::clean(request.uri().path(), 100),
    );
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route
        .as_ref()
        .map_or("other", MatchedPath::as_str)
        .to_owned();
    let traced = traced(&*service, &caller, &route, &request, request_id);
    let call = Call {
        caller: caller.clone(),
        request_id,
    };
    request.extensions_mut().insert(call);
    let answering = async {
        let began = Instant::now();
        let mut response = AssertUnwindSafe(next.run(request))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| ApiError::internal("a handler panicked").into_response());
        if let Ok(value) = HeaderValue::try_from(request_id.to_string()) {
            response.headers_mut().insert(request_id::HEADER, value);
        }
        let took = began.elapsed();
        service.answered(&caller, &route, response.status(), took);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(status = response.status().as_u16(), took_ms, "answered");
        response
    };
    alliance_trace::answer(traced, answering.instrument(span)).await
}

fn traced<S: PeerService>(
    service: &S,
    caller: &CloudId,
    route: &str,
    request: &Request,
    request_id: RequestId,
) -> Option<Span> {
    let upstream = Context::from_headers(request.headers());
    if upstream.is_none() && !AWAITED.contains(&route) {
        return None;
    }
    let (tracer, partner) = service.tracer(caller)?;
    let method = request.method();
    let name = || format!("{method} {route}");
    let span = tracer.receive(&partner, upstream, request_id.uuid(), name)?;
    span.note("http.request.method", method.to_string());
    span.note("http.route", route.to_owned());
    span.note("openstack.request_id", request_id.to_string());
    span.note("alliance.partner", partner);
    Some(span)
}

/// Tells partners to come later when too much is under way, before anything of it is read. An answer counts
/// until it was read, or given up: it is in memory so long.
async fn within_bounds(
    State(under_way): State<UnderWay>,
    request: Request,
    next: Next,
) -> Response {
    let caller = request.extensions().get::<Caller>();
    let Some(partner) = caller.filter(|caller| caller.is_partner) else {
        return next.run(request).await;
    };
    let place = under_way.place(&partner.cloud_id, request.uri().path());
    let Some(place) = place else {
        return ApiError::from(Reason::Overloaded).into_response();
    };
    let response = next.run(request).await;
    let place = Arc::new(place);
    response.map(|body| {
        let held = move |bytes| {
            Bytes::from_owner(Held {
                bytes,
                _place: Arc::clone(&place),
            })
        };
        Body::new(body.map_frame(move |frame| frame.map_data(&held)))
    })
}

/// A part of an answer: what is left of it is in memory, wherever, until it was sent.
struct Held {
    bytes: Bytes,
    _place: Arc<Place>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

async fn within_deadline(
    State(deadline): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let waits =
        path == SIGN_OUTS || request.method() == Method::GET && path.starts_with("/v1/pairings/");
    let deadline = if waits { deadline + MAX_WAIT } else { deadline };
    match tokio::time::timeout(deadline, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "deadline",
            "the request took too long; ask again later",
        )
        .into_response(),
    }
}
