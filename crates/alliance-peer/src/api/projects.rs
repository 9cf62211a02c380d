//! `GET /v1/projects`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::extract::{self, CallOf};
use crate::error::{ApiError, Problem};
use crate::service::PeerService;
use crate::wire::{ProjectQuery, ProjectsAnswer};

/// Projects of this cloud by id or name, so that a host can name one in an agreement.
#[utoipa::path(
    get,
    path = "/v1/projects",
    tag = "partners",
    params(ProjectQuery),
    responses(
        (status = 200, body = ProjectsAnswer),
        (status = 400, description = "Neither id nor name, or both", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The caller is no active partner", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Nobody could tell; conclude nothing", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn projects<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    extract::Query(query): extract::Query<ProjectQuery>,
) -> Result<Json<ProjectsAnswer>, ApiError> {
    if query.id.is_some() == query.name.is_some() {
        return Err(ApiError::malformed("expected either id or name"));
    }
    let projects = service.projects(&call, query).await?;
    Ok(Json(ProjectsAnswer { projects }))
}
