//! `POST /v1/grants` and `POST /v1/grants/batch`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::extract::{self, CallOf};
use crate::error::{ApiError, Problem};
use crate::service::PeerService;
use crate::wire::{
    GrantsAnswer, GrantsBatch, GrantsBatchAnswer, GrantsBody, GrantsQuestion, MAX_QUESTIONS,
};

/// What a user of this cloud may be in a project of this cloud.
#[utoipa::path(
    post,
    path = "/v1/grants",
    tag = "partners",
    request_body = GrantsQuestion,
    responses(
        (status = 200, description = "A grant statement, or a definite no", body = GrantsBody),
        (status = 403, description = "The caller is no active partner", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Nobody could tell; conclude nothing", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn grants<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    extract::Json(question): extract::Json<GrantsQuestion>,
) -> Result<Json<GrantsAnswer>, ApiError> {
    service.grants(&call, question).await.map(Json)
}

/// The same of several users, for hosts where they are.
#[utoipa::path(
    post,
    path = "/v1/grants/batch",
    tag = "partners",
    request_body = GrantsBatch,
    responses(
        (status = 200, description = "A grant statement, or a definite no, to each question", body = GrantsBatchAnswer),
        (status = 403, description = "The caller is no active partner", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Nobody could tell of all of them; conclude nothing", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn batch<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    extract::Json(batch): extract::Json<GrantsBatch>,
) -> Result<Json<GrantsBatchAnswer>, ApiError> {
    if batch.questions.len() > MAX_QUESTIONS {
        let error = format!("at most {MAX_QUESTIONS} questions may be asked at once");
        return Err(ApiError::malformed(error));
    }
    let answers = service.grants_of_many(&call, batch.questions).await?;
    Ok(Json(GrantsBatchAnswer { answers }))
}
