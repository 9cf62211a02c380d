//! Sessions of partners' users, for operators.

use std::sync::Arc;

use alliance_peer::request_id::RequestId;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};

use super::problem::ApiError;
use crate::daemon::Daemon;
use crate::daemon::trust::OPERATOR;
use crate::wire::{Applied, RevokeRequest, SessionView};

/// `GET /v1/sessions`
pub(crate) async fn list(
    State(daemon): State<Arc<Daemon>>,
) -> Result<Json<Vec<SessionView>>, ApiError> {
    Ok(Json(daemon.sessions().await?))
}

/// `POST /v1/sessions/{id}/end`
pub(crate) async fn end(
    State(daemon): State<Arc<Daemon>>,
    Path(id): Path<String>,
) -> Result<Json<Applied>, ApiError> {
    let applied = daemon.end_session(&id, OPERATOR).await?;
    applied.map(Json).ok_or_else(|| {
        ApiError::not_found(format!(
            "no session has the id {id:?}; see alliance session list"
        ))
    })
}

/// `POST /v1/tokens/revoke`
pub(crate) async fn revoke(
    State(daemon): State<Arc<Daemon>>,
    request: Result<Json<RevokeRequest>, JsonRejection>,
) -> Result<Json<Applied>, ApiError> {
    let Json(request) = request?;
    let revoked = daemon.revoke_token(&request.token, RequestId::random());
    let applied = revoked
        .await
        .map_err(|error| ApiError::upstream(format!("the token may still be valid: {error:#}")))?;
    applied.map(Json).ok_or_else(|| {
        ApiError::not_found(
            "that is no token of this cloud, nor one of a partner that was used here",
        )
    })
}
