//! `GET /v1/revocations`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::extract::{self, CallOf};
use crate::error::{ApiError, Problem};
use crate::service::PeerService;
use crate::wire::{RevocationsAnswer, RevocationsQuery};

/// Which signed tokens of this cloud have ended before their time.
#[utoipa::path(
    get,
    path = "/v1/revocations",
    tag = "partners",
    params(RevocationsQuery),
    responses(
        (status = 200, body = RevocationsAnswer),
        (status = 403, description = "The caller is no active partner", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Nobody could tell; conclude nothing", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn revocations<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    extract::Query(query): extract::Query<RevocationsQuery>,
) -> Result<Json<RevocationsAnswer>, ApiError> {
    service.revocations(&call, query.known).await.map(Json)
}
