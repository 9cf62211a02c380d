//! Why a project sees a region, or does not, for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;

use super::problem::ApiError;
use crate::daemon::Daemon;
use crate::wire::{ExplainRequest, Explanation};

/// `POST /v1/explain`
pub(crate) async fn explain(
    State(daemon): State<Arc<Daemon>>,
    request: Result<Json<ExplainRequest>, JsonRejection>,
) -> Result<Json<Explanation>, ApiError> {
    let Json(request) = request?;
    Ok(Json(daemon.explain(&request).await?))
}
