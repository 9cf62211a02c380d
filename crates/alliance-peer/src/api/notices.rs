//! `POST /v1/notices/poll`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::extract::{self, CallOf};
use crate::error::{ApiError, Problem};
use crate::service::PeerService;
use crate::wire::{NoticeAnswer, NoticePoll};

/// What has happened here to the caller's projects, after the notices that the caller has taken in.
#[utoipa::path(
    post,
    path = "/v1/notices/poll",
    tag = "partners",
    request_body = NoticePoll,
    responses(
        (status = 200, description = "Perhaps none", body = NoticeAnswer),
        (status = 403, description = "The caller is no active partner, or none whose users come here", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Nobody could tell; ask again", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn poll<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    extract::Json(poll): extract::Json<NoticePoll>,
) -> Result<Json<NoticeAnswer>, ApiError> {
    service.notices(&call, poll).await.map(Json)
}
