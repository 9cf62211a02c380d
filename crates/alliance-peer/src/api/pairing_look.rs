//! `GET /v1/pairings/{id}`

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;

use super::extract::{self, CallOf, Id, Secret};
use crate::error::{ApiError, Problem};
use crate::service::PeerService;
use crate::wire::{MAX_WAIT, PairingView, WaitQuery};

/// An invitation, for who knows its secret. The caller need not be a partner.
#[utoipa::path(
    get,
    path = "/v1/pairings/{id}",
    tag = "pairing",
    params(
        ("id" = String, Path, description = "The invitation's id (UUID)"),
        ("authorization" = String, Header, description = "`Alliance <secret>`"),
        WaitQuery,
    ),
    responses(
        (status = 200, body = PairingView),
        (status = 401, description = "No such invitation, or another secret", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn pairing_look<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    Id(id): Id,
    Secret(secret): Secret,
    extract::Query(query): extract::Query<WaitQuery>,
) -> Result<Json<PairingView>, ApiError> {
    let wait = Duration::from_secs(query.wait).min(MAX_WAIT);
    service
        .pairing_look(&call, id, secret, wait)
        .await
        .map(Json)
}
