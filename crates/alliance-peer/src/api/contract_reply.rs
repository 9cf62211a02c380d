//! `POST /v1/agreements/{id}/replies`

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;

use super::extract::{self, AgreementId, CallOf};
use crate::error::{ApiError, Problem};
use crate::service::PeerService;
use crate::wire::ContractReply;

/// What the caller, who is home, has signed about a version of an agreement with it.
#[utoipa::path(
    post,
    path = "/v1/agreements/{id}/replies",
    tag = "partners",
    params(("id" = String, Path, description = "The agreement (UUID)")),
    request_body = ContractReply,
    responses(
        (status = 204, description = "Taken in, also if it was before"),
        (status = 400, description = "Not the caller's word about that version", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The caller is no active partner", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No agreement with the caller has that id, or it has ended", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The agreement has a newer version", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn contract_reply<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    AgreementId(id): AgreementId,
    extract::Json(said): extract::Json<ContractReply>,
) -> Result<StatusCode, ApiError> {
    service.contract_reply(&call, id, said.reply).await?;
    Ok(StatusCode::NO_CONTENT)
}
