//! Invitations of others that this cloud accepts.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};

use super::invitations::Wait;
use super::problem::ApiError;
use crate::daemon::Daemon;
use crate::wire::{AcceptRequest, AcceptanceView, InspectAnswer, InspectRequest};

/// `POST /v1/acceptances/inspect`
pub(crate) async fn inspect(
    State(daemon): State<Arc<Daemon>>,
    request: Result<Json<InspectRequest>, JsonRejection>,
) -> Result<Json<InspectAnswer>, ApiError> {
    let Json(request) = request?;
    Ok(Json(daemon.inspect(&request.invitation).await?))
}

/// `POST /v1/acceptances`
pub(crate) async fn create(
    State(daemon): State<Arc<Daemon>>,
    request: Result<Json<AcceptRequest>, JsonRejection>,
) -> Result<Json<AcceptanceView>, ApiError> {
    let Json(request) = request?;
    Ok(Json(daemon.accept(&request).await?))
}

/// `GET /v1/acceptances/{id}?wait=SECONDS`: answers when the state is no longer `waiting`.
pub(crate) async fn show(
    State(daemon): State<Arc<Daemon>>,
    Path(id): Path<String>,
    wait: Result<Query<Wait>, QueryRejection>,
) -> Result<Json<AcceptanceView>, ApiError> {
    let Query(wait) = wait?;
    Ok(Json(daemon.acceptance(&id, wait.duration()).await?))
}

/// `POST /v1/acceptances/{id}/cancel`
pub(crate) async fn cancel(
    State(daemon): State<Arc<Daemon>>,
    Path(id): Path<String>,
) -> Result<Json<AcceptanceView>, ApiError> {
    Ok(Json(daemon.cancel_acceptance(&id).await?))
}
