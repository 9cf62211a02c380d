//! Retirements and orphans, for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};

use super::problem::ApiError;
use crate::daemon::Daemon;
use crate::wire::{OrphanView, OrphansToRetire, RetirementOrder, RetirementView};

/// `GET /v1/retirements`
pub(crate) async fn list(
    State(daemon): State<Arc<Daemon>>,
) -> Result<Json<Vec<RetirementView>>, ApiError> {
    Ok(Json(daemon.retirements().await?))
}

/// `GET /v1/retirements/{id}`
pub(crate) async fn show(
    State(daemon): State<Arc<Daemon>>,
    Path(id): Path<String>,
) -> Result<Json<RetirementView>, ApiError> {
    let found = daemon.retirement(&id).await?;
    found.map(Json).ok_or_else(|| {
        ApiError::not_found(format!(
            "no retirement has the id {id:?}; see alliance retirement list"
        ))
    })
}

/// `POST /v1/retirements/{id}/hold`
pub(crate) async fn hold(
    State(daemon): State<Arc<Daemon>>,
    Path(id): Path<String>,
) -> Result<Json<RetirementView>, ApiError> {
    let steered = daemon.steer_retirement(&id, RetirementOrder::Hold);
    steered.await.map(Json)
}

/// `POST /v1/retirements/{id}/resume`
pub(crate) async fn resume(
    State(daemon): State<Arc<Daemon>>,
    Path(id): Path<String>,
) -> Result<Json<RetirementView>, ApiError> {
    let steered = daemon.steer_retirement(&id, RetirementOrder::Resume);
    steered.await.map(Json)
}

/// `POST /v1/retirements/{id}/now`
pub(crate) async fn hurry(
    State(daemon): State<Arc<Daemon>>,
    Path(id): Path<String>,
) -> Result<Json<RetirementView>, ApiError> {
    let steered = daemon.steer_retirement(&id, RetirementOrder::Now);
    steered.await.map(Json)
}

/// `GET /v1/orphans`
pub(crate) async fn orphans(
    State(daemon): State<Arc<Daemon>>,
) -> Result<Json<Vec<OrphanView>>, ApiError> {
    Ok(Json(daemon.orphans().await?))
}

/// `POST /v1/orphans/retire`
pub(crate) async fn retire(
    State(daemon): State<Arc<Daemon>>,
    request: Result<Json<OrphansToRetire>, JsonRejection>,
) -> Result<Json<Vec<RetirementView>>, ApiError> {
    let Json(wanted) = request?;
    let begun = daemon.retire_orphans(&wanted.host_project_ids, wanted.all);
    begun.await.map(Json)
}
