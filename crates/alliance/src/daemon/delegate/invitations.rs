//! Invitations that this cloud makes.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use serde::Deserialize;

use super::problem::ApiError;
use crate::daemon::Daemon;
use crate::wire::{InvitationView, InviteAnswer, InviteRequest};

/// Longest wait for a change, in seconds.
const MAX_WAIT: u64 = 30;

/// `?wait=SECONDS`
#[derive(Deserialize)]
pub(crate) struct Wait {
    #[serde(default)]
    wait: u64,
}

impl Wait {
    pub(super) fn duration(&self) -> Duration {
        Duration::from_secs(self.wait.min(MAX_WAIT))
    }
}

/// `POST /v1/invitations`
pub(crate) async fn create(
    State(daemon): State<Arc<Daemon>>,
    request: Result<Json<InviteRequest>, JsonRejection>,
) -> Result<Json<InviteAnswer>, ApiError> {
    let Json(request) = request?;
    Ok(Json(daemon.invite(&request).await?))
}

/// `GET /v1/invitations/{id}?wait=SECONDS`: answers when the state is no longer `open`.
pub(crate) async fn show(
    State(daemon): State<Arc<Daemon>>,
    Path(id): Path<String>,
    wait: Result<Query<Wait>, QueryRejection>,
) -> Result<Json<InvitationView>, ApiError> {
    let Query(wait) = wait?;
    Ok(Json(daemon.invitation(&id, wait.duration()).await?))
}

/// `POST /v1/invitations/{id}/confirm`
pub(crate) async fn confirm(
    State(daemon): State<Arc<Daemon>>,
    Path(id): Path<String>,
) -> Result<Json<InvitationView>, ApiError> {
    Ok(Json(daemon.confirm_invitation(&id).await?))
}

/// `POST /v1/invitations/{id}/reject`
pub(crate) async fn reject(
    State(daemon): State<Arc<Daemon>>,
    Path(id): Path<String>,
) -> Result<Json<InvitationView>, ApiError> {
    Ok(Json(daemon.reject_invitation(&id).await?))
}
