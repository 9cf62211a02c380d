//! `GET /v1/descriptor`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use http::header::{ETAG, IF_NONE_MATCH, SERVER};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::extract::CallOf;
use crate::error::{ApiError, Problem};
use crate::service::PeerService;
use crate::statement::part;
use crate::wire::DescriptorAnswer;

/// Who answers: the name of this program and its version.
const PROGRAM: &str = concat!("alliance/", env!("CARGO_PKG_VERSION"));

/// This cloud's signed self-description, and what it holds of the caller.
#[utoipa::path(
    get,
    path = "/v1/descriptor",
    tag = "partners",
    params(
        ("If-None-Match" = Option<String>, Header, description = "The ETag of the answer that the caller has"),
    ),
    responses(
        (status = 200, body = DescriptorAnswer, headers(("ETag" = String, description = "Of all that the answer says but its time"))),
        (status = 304, description = "The answer would say the same as the one that the caller has, its time left aside"),
        (status = 403, description = "The caller is no active partner", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn descriptor<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let answer = service.descriptor(&call).await?;
    let etag = etag(&answer)?;
    let known = headers.get_all(IF_NONE_MATCH).iter();
    let mut known = known.flat_map(|known| known.as_bytes().split(|&byte| byte == b','));
    let is_known = known.any(|known| known.trim_ascii() == etag.as_bytes());
    let headers = [(SERVER, PROGRAM.to_owned()), (ETAG, etag)];
    Ok(if is_known {
        (StatusCode::NOT_MODIFIED, headers).into_response()
    } else {
        (headers, Json(answer)).into_response()
    })
}

/// A descriptor is signed anew each time it is asked for: its times are left aside.
fn etag(answer: &DescriptorAnswer) -> Result<String, ApiError> {
    let payload = part(&answer.descriptor, 1).map_err(ApiError::internal)?;
    let mut claims: Value = serde_json::from_slice(&payload).map_err(ApiError::internal)?;
    if let Some(claims) = claims.as_object_mut() {
        claims.retain(|name, _| name != "iat" && name != "exp");
    }
    let said = format!("{} {claims}", answer.status);
    Ok(format!("\"{}\"", HEXLOWER.encode(&Sha256::digest(said))))
}
