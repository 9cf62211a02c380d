//! Agreements, for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};

use super::problem::ApiError;
use crate::daemon::Daemon;
use crate::wire::{AgreementApplied, AgreementRequest, AgreementView, EndRequest};

/// `GET /v1/agreements`
pub(crate) async fn list(
    State(daemon): State<Arc<Daemon>>,
) -> Result<Json<Vec<AgreementView>>, ApiError> {
    Ok(Json(daemon.agreements().await?))
}

/// `GET /v1/agreements/{id}`
pub(crate) async fn show(
    State(daemon): State<Arc<Daemon>>,
    Path(id): Path<String>,
) -> Result<Json<AgreementView>, ApiError> {
    let all = daemon.agreements().await?;
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
    request: Result<Json<AgreementRequest>, JsonRejection>,
) -> Result<Json<AgreementApplied>, ApiError> {
    let Json(request) = request?;
    Ok(Json(daemon.agree(&request).await?))
}

/// `POST /v1/agreements/end`
pub(crate) async fn end(
    State(daemon): State<Arc<Daemon>>,
    request: Result<Json<EndRequest>, JsonRejection>,
) -> Result<Json<AgreementApplied>, ApiError> {
    let Json(request) = request?;
    Ok(Json(daemon.end_agreement(&request).await?))
}
