//! `GET /v1/agreements`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::extract::CallOf;
use crate::error::{ApiError, Problem};
use crate::service::PeerService;
use crate::wire::AgreementsAnswer;

/// What this cloud grants the caller's projects.
#[utoipa::path(
    get,
    path = "/v1/agreements",
    tag = "partners",
    responses(
        (status = 200, body = AgreementsAnswer),
        (status = 403, description = "The caller is no active partner", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn agreements<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
) -> Result<Json<AgreementsAnswer>, ApiError> {
    service.agreements(&call).await.map(Json)
}
