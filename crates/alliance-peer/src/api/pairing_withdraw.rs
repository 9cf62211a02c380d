//! `POST /v1/pairings/{id}/withdraw`

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;

use super::extract::{CallOf, Id, Secret};
use crate::error::{ApiError, Problem};
use crate::service::PeerService;

/// The cloud that accepted an invitation takes its acceptance back before it is confirmed.
#[utoipa::path(
    post,
    path = "/v1/pairings/{id}/withdraw",
    tag = "pairing",
    params(
        ("id" = String, Path, description = "The invitation's id (UUID)"),
        ("authorization" = String, Header, description = "`Alliance <secret>`"),
    ),
    responses(
        (status = 204, description = "Nobody will be paired by this invitation"),
        (status = 401, description = "No such invitation, or another secret", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Not accepted by the caller, or confirmed or expired", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn pairing_withdraw<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    Id(id): Id,
    Secret(secret): Secret,
) -> Result<StatusCode, ApiError> {
    service.pairing_withdraw(&call, id, secret).await?;
    Ok(StatusCode::NO_CONTENT)
}
