//! `POST /v1/retirements/poll`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::extract::{self, CallOf};
use crate::error::{ApiError, Problem};
use crate::service::PeerService;
use crate::wire::{ReceiptAnswer, ReceiptPoll};

/// What was deleted here of the caller's projects, and what could not be.
#[utoipa::path(
    post,
    path = "/v1/retirements/poll",
    tag = "partners",
    request_body = ReceiptPoll,
    responses(
        (status = 200, description = "One receipt, or none", body = ReceiptAnswer),
        (status = 403, description = "The caller is no active partner, or none whose users come here", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Nobody could tell; ask again", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn poll<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    extract::Json(poll): extract::Json<ReceiptPoll>,
) -> Result<Json<ReceiptAnswer>, ApiError> {
    service.receipts(&call, poll).await.map(Json)
}
