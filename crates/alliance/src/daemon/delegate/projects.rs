//! Partners' projects, for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::problem::ApiError;
use crate::daemon::Daemon;
use crate::wire::{LimitView, ProjectView};

/// `GET /v1/projects`
pub(crate) async fn list(State(daemon): State<Arc<Daemon>>) -> Json<Vec<ProjectView>> {
    Json(daemon.guest_projects())
}

/// `GET /v1/projects/limits`
pub(crate) async fn limits(
    State(daemon): State<Arc<Daemon>>,
) -> Result<Json<Vec<LimitView>>, ApiError> {
    Ok(Json(daemon.guest_limits().await?))
}
