//! Strangers are refused on each request, so that a connection outlives no pairing.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::extract::CallOf;
use crate::error::ApiError;
use crate::service::PeerService;

pub(super) async fn partners_only<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    service.admit(&call.caller).await?;
    Ok(next.run(request).await)
}
