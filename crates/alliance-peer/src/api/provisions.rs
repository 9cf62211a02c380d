//! `/v1/provisions`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::extract::{self, CallOf};
use crate::error::{ApiError, Problem};
use crate::service::PeerService;
use crate::wire::{
    PlanAnswer, PlanQuestion, ProvisionAnswer, ProvisionRequest, StacksAnswer, StacksQuery,
};

/// What a project of the caller's is to have in this cloud, or no longer. Heard twice is heard once.
#[utoipa::path(
    post,
    path = "/v1/provisions",
    tag = "partners",
    request_body = ProvisionRequest,
    responses(
        (status = 200, description = "Taken in, also if it was before; it is carried out from now on", body = ProvisionAnswer),
        (status = 400, description = "Not the caller's order to this cloud, or a bad one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The caller is no active partner, or no agreement allows it", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another order is being carried out, or a later one was given", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Nobody could tell; order again", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn order<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    extract::Json(request): extract::Json<ProvisionRequest>,
) -> Result<Json<ProvisionAnswer>, ApiError> {
    service.provision(&call, request.order).await.map(Json)
}

/// What would be done for a plan. Nothing is.
#[utoipa::path(
    post,
    path = "/v1/provisions/plan",
    tag = "partners",
    request_body = PlanQuestion,
    responses(
        (status = 200, description = "Each resource, with what would become of it", body = PlanAnswer),
        (status = 400, description = "A bad plan", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The caller is no active partner, or no agreement allows it", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Something would have to be replaced, which was not allowed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn plan<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    extract::Json(question): extract::Json<PlanQuestion>,
) -> Result<Json<PlanAnswer>, ApiError> {
    service.provision_plan(&call, question).await.map(Json)
}

/// How the stacks of the caller's projects are.
#[utoipa::path(
    get,
    path = "/v1/provisions",
    tag = "partners",
    params(StacksQuery),
    responses(
        (status = 200, description = "Perhaps none", body = StacksAnswer),
        (status = 403, description = "The caller is no active partner, or none whose users come here", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn stacks<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    extract::Query(query): extract::Query<StacksQuery>,
) -> Result<Json<StacksAnswer>, ApiError> {
    service.stacks(&call, query).await.map(Json)
}
