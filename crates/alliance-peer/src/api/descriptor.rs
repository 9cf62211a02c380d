//! `GET /v1/descriptor`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::extract::CallOf;
use crate::error::{ApiError, Problem};
use crate::service::PeerService;
use crate::wire::DescriptorAnswer;

/// This cloud's signed self-description, and what it holds of the caller.
#[utoipa::path(
    get,
    path = "/v1/descriptor",
    tag = "partners",
    responses(
        (status = 200, body = DescriptorAnswer),
        (status = 403, description = "The caller is no active partner", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn descriptor<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
) -> Result<Json<DescriptorAnswer>, ApiError> {
    service.descriptor(&call).await.map(Json)
}
