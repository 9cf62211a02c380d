//! `POST /v1/pairings/{id}/accept`

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;

use super::extract::{self, CallOf, Id, Secret};
use crate::error::{ApiError, Problem};
use crate::service::{Acceptor, PeerService};
use crate::statement::verify_descriptor;
use crate::wire::PairingAcceptance;

/// The caller accepts an invitation; the inviter's operator then confirms who it is.
#[utoipa::path(
    post,
    path = "/v1/pairings/{id}/accept",
    tag = "pairing",
    params(
        ("id" = String, Path, description = "The invitation's id (UUID)"),
        ("authorization" = String, Header, description = "`Alliance <secret>`"),
    ),
    request_body = PairingAcceptance,
    responses(
        (status = 202, description = "Accepted; not confirmed yet"),
        (status = 400, description = "The descriptor is not that of the cloud which calls", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No such invitation, or another secret", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Accepted by another cloud, rejected or expired", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn pairing_accept<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    Id(id): Id,
    Secret(secret): Secret,
    extract::Json(body): extract::Json<PairingAcceptance>,
) -> Result<StatusCode, ApiError> {
    let descriptor = verify_descriptor(&body.descriptor, &call.caller)
        .map_err(|e| ApiError::malformed(format!("your descriptor: {e}")))?;
    let acceptor = Acceptor {
        jws: body.descriptor,
        descriptor,
    };
    service.pairing_accept(&call, id, secret, acceptor).await?;
    Ok(StatusCode::ACCEPTED)
}
