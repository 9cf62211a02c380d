//! Sessions of partners' users, for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use super::problem::ApiError;
use crate::daemon::Daemon;
use crate::wire::{Applied, SessionView};

/// `GET /v1/sessions`
pub(crate) async fn list(
    State(daemon): State<Arc<Daemon>>,
) -> Result<Json<Vec<SessionView>>, ApiError> {
    Ok(Json(daemon.sessions().await?))
}

/// `POST /v1/sessions/{id}/end`
pub(crate) async fn end(
    State(daemon): State<Arc<Daemon>>,
    Path(id): Path<String>,
) -> Result<Json<Applied>, ApiError> {
    let applied = daemon.end_session(&id).await?;
    applied.map(Json).ok_or_else(|| {
        ApiError::not_found(format!(
            "no session has the id {id:?}; see alliance session list"
        ))
    })
}
