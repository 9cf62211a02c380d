//! What Keystone's plugin asks.

use std::sync::Arc;

use alliance_peer::request_id::{HEADER, RequestId};
use alliance_store::Bulletin;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};

use super::problem::ApiError;
use crate::daemon::Daemon;
use crate::wire::{
    ConfirmRequest, DoorbellAck, DoorbellDone, DoorbellQuestion, DoorbellWork, LoginRequest,
    PassportAnswer, PassportRequest, SweepRequest, ValidateRequest, Verdict,
};

/// `POST /v1/tokens/validate`
pub(crate) async fn validate(
    State(daemon): State<Arc<Daemon>>,
    headers: HeaderMap,
    request: Result<Json<ValidateRequest>, JsonRejection>,
) -> Result<Response, ApiError> {
    let Json(request) = request?;
    daemon.be_current().await;
    let request_id = id_of(&headers);
    let verdict = daemon.host.validate(&request, request_id).await;
    Ok(answer(verdict))
}

/// `POST /v1/guests/confirm`
pub(crate) async fn confirm(
    State(daemon): State<Arc<Daemon>>,
    headers: HeaderMap,
    request: Result<Json<ConfirmRequest>, JsonRejection>,
) -> Result<Response, ApiError> {
    let Json(request) = request?;
    daemon.be_current().await;
    let verdict = daemon.host.confirm(&request, id_of(&headers)).await;
    Ok(answer(verdict))
}

/// `POST /v1/passports`
pub(crate) async fn issue_passport(
    State(daemon): State<Arc<Daemon>>,
    headers: HeaderMap,
    request: Result<Json<PassportRequest>, JsonRejection>,
) -> Result<Response, ApiError> {
    let Json(request) = request?;
    let showing = daemon.catalog.showing();
    let issued = daemon
        .home
        .login_passport(request, &showing, id_of(&headers));
    let (status, answer) = match issued {
        Ok(passport) => (StatusCode::OK, PassportAnswer::Issued(passport)),
        Err(reason) if reason.is_definite() => (StatusCode::OK, PassportAnswer::Invalid { reason }),
        Err(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            PassportAnswer::Invalid { reason },
        ),
    };
    Ok((status, Json(answer)).into_response())
}

/// `POST /v1/logins`
pub(crate) async fn login(
    State(daemon): State<Arc<Daemon>>,
    headers: HeaderMap,
    request: Result<Json<LoginRequest>, JsonRejection>,
) -> Result<Response, ApiError> {
    let Json(request) = request?;
    daemon.be_current().await;
    let verdict = daemon.host.login(&request, id_of(&headers)).await;
    Ok(answer(verdict))
}

/// `POST /v1/doorbell/answer`
pub(crate) async fn answer_doorbell(
    State(daemon): State<Arc<Daemon>>,
    request: Result<Json<DoorbellQuestion>, JsonRejection>,
) -> Result<Json<DoorbellWork>, ApiError> {
    let Json(question) = request?;
    let work = daemon.publisher.answer(&question);
    work.map(Json)
        .ok_or_else(|| ApiError::not_found("this is not how the doorbell rings now"))
}

/// `POST /v1/doorbell/ack`
pub(crate) async fn acknowledge(
    State(daemon): State<Arc<Daemon>>,
    request: Result<Json<DoorbellAck>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    let Json(ack) = request?;
    let told = daemon
        .publisher
        .acknowledge(&ack)
        .ok_or_else(|| ApiError::not_found("no such doorbell is pending"))?;
    daemon.keystone_knows(&told).await;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/doorbell/done`
pub(crate) async fn acknowledge_later(
    State(daemon): State<Arc<Daemon>>,
    request: Result<Json<DoorbellDone>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    let Json(done) = request?;
    daemon
        .publisher
        .acknowledge_later(&done)
        .then_some(StatusCode::NO_CONTENT)
        .ok_or_else(|| ApiError::not_found("no such doorbell is pending"))
}

/// `POST /v1/guests/sweep`
pub(crate) async fn sweep(
    State(daemon): State<Arc<Daemon>>,
    request: Result<Json<SweepRequest>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    let Json(request) = request?;
    let partners = daemon.directory.partners();
    let known = partners
        .by_domain(&request.domain_id)
        .ok_or_else(|| ApiError::not_found("no partner has that domain"))?;
    daemon.sweep_guests(known).await;
    // Others remember answers too.
    daemon.board.tell(Bulletin::Trust);
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/ping`: answers without doing anything.
pub(crate) async fn ping() -> StatusCode {
    StatusCode::NO_CONTENT
}

fn id_of(headers: &HeaderMap) -> RequestId {
    request_id(headers).unwrap_or_else(RequestId::random)
}

/// The id that a request has.
pub(super) fn request_id(headers: &HeaderMap) -> Option<RequestId> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    text.parse().ok()
}

fn answer(verdict: Verdict) -> Response {
    let status = match verdict {
        Verdict::Indeterminate { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Verdict::Valid { .. } | Verdict::Invalid { .. } => StatusCode::OK,
    };
    (status, Json(verdict)).into_response()
}
