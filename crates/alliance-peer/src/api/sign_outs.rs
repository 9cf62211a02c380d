//! `POST /v1/sign-outs/poll`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::extract::{self, CallOf};
use crate::error::{ApiError, Problem};
use crate::service::PeerService;
use crate::wire::{Poll, PollAnswer};

/// What has ended in this cloud and the caller has not acknowledged yet (RFC 8936). Waits for news.
#[utoipa::path(
    post,
    path = "/v1/sign-outs/poll",
    tag = "partners",
    request_body = Poll,
    responses(
        (status = 200, description = "Perhaps none", body = PollAnswer),
        (status = 403, description = "The caller is no active partner", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Nobody could tell; ask again", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn poll<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    extract::Json(poll): extract::Json<Poll>,
) -> Result<Json<PollAnswer>, ApiError> {
    service.sign_outs(&call, poll).await.map(Json)
}
