//! `POST /v1/usage/poll`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::extract::{self, CallOf};
use crate::error::{ApiError, Problem};
use crate::service::PeerService;
use crate::wire::{UsageAnswer, UsagePoll};

/// What the caller's projects have used in this cloud, after the records that the caller has counted.
#[utoipa::path(
    post,
    path = "/v1/usage/poll",
    tag = "partners",
    request_body = UsagePoll,
    responses(
        (status = 200, description = "Perhaps none", body = UsageAnswer),
        (status = 403, description = "The caller is no active partner, or none whose users come here", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Nobody could tell; ask again", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn poll<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    extract::Json(poll): extract::Json<UsagePoll>,
) -> Result<Json<UsageAnswer>, ApiError> {
    service.usage(&call, poll).await.map(Json)
}
