//! `GET /v1/descriptor`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header::SERVER;

use super::extract::CallOf;
use crate::error::{ApiError, Problem};
use crate::service::PeerService;
use crate::wire::DescriptorAnswer;

/// Who answers: the name of this program and its version.
const PROGRAM: &str = concat!("alliance/", env!("CARGO_PKG_VERSION"));

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
) -> Result<impl IntoResponse, ApiError> {
    let answer = service.descriptor(&call).await?;
    Ok(([(SERVER, PROGRAM)], Json(answer)))
}
