//! Agreements, for operators.

use std::sync::Arc;

use alliance_core::contract::Said;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, Path, State};

use super::caller::Caller;
use super::problem::ApiError;
use crate::daemon::Daemon;
use crate::daemon::contracts::Shown;
use crate::wire::{
    AgreementApplied, AgreementRequest, AgreementView, ChangeRequest, EndRequest, ReplyRequest,
};

/// `GET /v1/agreements`
pub(crate) async fn list(
    State(daemon): State<Arc<Daemon>>,
) -> Result<Json<Vec<AgreementView>>, ApiError> {
    Ok(Json(daemon.agreements(Shown::Standing).await?))
}

/// `GET /v1/agreements/{id}`
pub(crate) async fn show(
    State(daemon): State<Arc<Daemon>>,
    Path(id): Path<String>,
) -> Result<Json<AgreementView>, ApiError> {
    let all = daemon.agreements(Shown::History).await?;
    let one = all.into_iter().find(|view| view.agreement.id == id);
    one.map(Json).ok_or_else(|| {
        ApiError::not_found(format!(
            "no agreement has the id {id:?}; see alliance agreement list"
        ))
    })
}

/// `POST /v1/agreements`
pub(crate) async fn create(
    State(daemon): State<Arc<Daemon>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    request: Result<Json<AgreementRequest>, JsonRejection>,
) -> Result<Json<AgreementApplied>, ApiError> {
    let Json(request) = request?;
    Ok(Json(daemon.agree(&request, &caller.name()).await?))
}

/// `PATCH /v1/agreements/{id}`
pub(crate) async fn change(
    State(daemon): State<Arc<Daemon>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(id): Path<String>,
    request: Result<Json<ChangeRequest>, JsonRejection>,
) -> Result<Json<AgreementApplied>, ApiError> {
    let Json(request) = request?;
    let changed = daemon.change_agreement(&id, &request, &caller.name()).await;
    Ok(Json(changed?))
}

/// `POST /v1/agreements/{id}/accept`
pub(crate) async fn accept(
    State(daemon): State<Arc<Daemon>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(id): Path<String>,
    request: Result<Json<ReplyRequest>, JsonRejection>,
) -> Result<Json<AgreementApplied>, ApiError> {
    reply(&daemon, &caller, &id, request, Said::Accepted).await
}

/// `POST /v1/agreements/{id}/reject`
pub(crate) async fn reject(
    State(daemon): State<Arc<Daemon>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(id): Path<String>,
    request: Result<Json<ReplyRequest>, JsonRejection>,
) -> Result<Json<AgreementApplied>, ApiError> {
    reply(&daemon, &caller, &id, request, Said::Rejected).await
}

async fn reply(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    id: &str,
    request: Result<Json<ReplyRequest>, JsonRejection>,
    said: Said,
) -> Result<Json<AgreementApplied>, ApiError> {
    let Json(request) = request?;
    let by = caller.name();
    let replied = daemon.reply_to_agreement(id, &request, said, &by);
    Ok(Json(replied.await?))
}

/// `POST /v1/agreements/{id}/end`
pub(crate) async fn end_by_id(
    State(daemon): State<Arc<Daemon>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(id): Path<String>,
) -> Result<Json<AgreementApplied>, ApiError> {
    Ok(Json(daemon.end_by_id(&id, &caller.name()).await?))
}

/// `POST /v1/agreements/end`
pub(crate) async fn end(
    State(daemon): State<Arc<Daemon>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    request: Result<Json<EndRequest>, JsonRejection>,
) -> Result<Json<AgreementApplied>, ApiError> {
    let Json(request) = request?;
    Ok(Json(daemon.end_agreement(&request, &caller.name()).await?))
}
