//! `POST /v1/grants`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::extract::{self, CallOf};
use crate::error::{ApiError, Problem};
use crate::service::PeerService;
use crate::wire::{GrantsAnswer, GrantsBody, GrantsQuestion};

/// What a user of this cloud may be in a project of this cloud.
#[utoipa::path(
    post,
    path = "/v1/grants",
    tag = "partners",
    request_body = GrantsQuestion,
    responses(
        (status = 200, description = "A grant statement, or a definite no", body = GrantsBody),
        (status = 403, description = "The caller is no active partner", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Nobody could tell; conclude nothing", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn grants<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    extract::Json(question): extract::Json<GrantsQuestion>,
) -> Result<Json<GrantsAnswer>, ApiError> {
    service.grants(&call, question).await.map(Json)
}
