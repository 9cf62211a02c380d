//! Partners' projects, for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::daemon::Daemon;
use crate::wire::ProjectView;

/// `GET /v1/projects`
pub(crate) async fn list(State(daemon): State<Arc<Daemon>>) -> Json<Vec<ProjectView>> {
    Json(daemon.guest_projects())
}
