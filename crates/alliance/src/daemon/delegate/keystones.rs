//! Clouds without Alliance that become partners.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;

use super::problem::ApiError;
use crate::daemon::Daemon;
use crate::wire::{Applied, KeystoneFound, KeystoneRequest};

/// `POST /v1/keystones/inspect`
pub(crate) async fn inspect(
    State(daemon): State<Arc<Daemon>>,
    request: Result<Json<KeystoneRequest>, JsonRejection>,
) -> Result<Json<KeystoneFound>, ApiError> {
    let Json(request) = request?;
    Ok(Json(daemon.inspect_keystone(&request).await?))
}

/// `POST /v1/keystones`
pub(crate) async fn create(
    State(daemon): State<Arc<Daemon>>,
    request: Result<Json<KeystoneRequest>, JsonRejection>,
) -> Result<Json<Applied>, ApiError> {
    let Json(request) = request?;
    Ok(Json(daemon.add_keystone(&request).await?))
}
