//! `POST /v1/reports`

use std::sync::Arc;

use alliance_token::Token;
use axum::extract::State;
use http::StatusCode;

use super::extract::{self, CallOf};
use crate::error::{ApiError, Problem};
use crate::service::{PeerService, Report};
use crate::wire::TokenReport;

/// The caller was shown a token of this cloud that has too much power to travel.
#[utoipa::path(
    post,
    path = "/v1/reports",
    tag = "partners",
    request_body = TokenReport,
    responses(
        (status = 202, description = "Taken note of"),
        (status = 400, description = "Not a token, or its hash is another", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The caller is no active partner", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn reports<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    extract::Json(report): extract::Json<TokenReport>,
) -> Result<StatusCode, ApiError> {
    let token = Token::parse_tagged(&report.token)
        .map_err(|e| ApiError::malformed(format!("the reported token: {e}")))?;
    if token.sha256() != report.token_sha256 {
        return Err(ApiError::malformed("token_sha256 is not the token's"));
    }
    let reason = report.reason;
    service.report(&call, Report { token, reason }).await?;
    Ok(StatusCode::ACCEPTED)
}
