//! `POST /v1/projects/standing`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::extract::{self, CallOf};
use crate::error::{ApiError, Problem};
use crate::service::PeerService;
use crate::wire::{StandingAnswer, StandingQuestion};

/// Whether projects of this cloud are enabled, disabled or gone: the caller asks before it stops or deletes
/// what they have there.
#[utoipa::path(
    post,
    path = "/v1/projects/standing",
    tag = "partners",
    request_body = StandingQuestion,
    responses(
        (status = 200, description = "Of a project that it leaves out nothing is said", body = StandingAnswer),
        (status = 403, description = "The caller is no active partner, or none where users of this cloud go", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Nobody could tell; conclude nothing", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn standing<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    extract::Json(question): extract::Json<StandingQuestion>,
) -> Result<Json<StandingAnswer>, ApiError> {
    service.standing(&call, question).await.map(Json)
}
