//! `POST /v1/introspect`

use std::sync::Arc;

use alliance_core::refusal::Reason;
use alliance_token::Token;
use axum::Json;
use axum::extract::State;

use super::extract::{self, CallOf};
use crate::error::{ApiError, Problem};
use crate::service::PeerService;
use crate::wire::{IntrospectQuestion, Introspection, IntrospectionBody};

/// What this cloud says of a token that it issued (RFC 7662, answered as in RFC 9701).
#[utoipa::path(
    post,
    path = "/v1/introspect",
    tag = "partners",
    request_body = IntrospectQuestion,
    responses(
        (status = 200, description = "A passport, or a definite no", body = IntrospectionBody),
        (status = 403, description = "The caller is no active partner", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many invalid tokens lately", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Nobody could tell; conclude nothing", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn introspect<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    extract::Json(question): extract::Json<IntrospectQuestion>,
) -> Result<Json<Introspection>, ApiError> {
    match Token::parse_tagged(&question.token) {
        Ok(token) => service.introspect(&call, token).await.map(Json),
        Err(malformed) => {
            tracing::debug!(%malformed, "a token that is none");
            Ok(Json(Introspection::Inactive {
                reason: Reason::Malformed,
            }))
        }
    }
}
