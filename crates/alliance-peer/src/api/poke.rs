//! `POST /v1/poke`

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;

use super::extract::{self, CallOf};
use crate::error::{ApiError, Problem};
use crate::service::PeerService;
use crate::wire::{Poke, Topic};

/// Something has changed at the caller; this cloud asks for it at once.
#[utoipa::path(
    post,
    path = "/v1/poke",
    tag = "partners",
    request_body = Poke,
    responses(
        (status = 204, description = "Noted"),
        (status = 403, description = "The caller is no active partner", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn poke<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    extract::Json(mut poke): extract::Json<Poke>,
) -> Result<StatusCode, ApiError> {
    poke.changed.remove(&Topic::Unknown);
    service.poke(&call, poke.changed).await?;
    Ok(StatusCode::NO_CONTENT)
}
