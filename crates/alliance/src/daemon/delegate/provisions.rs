//! What projects of this cloud are to have at partners, for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{ConnectInfo, Query, State};

use super::caller::Caller;
use super::problem::ApiError;
use crate::daemon::Daemon;
use crate::wire::{OrderRequest, OrderedView, PlanRequest, PlanView, StacksRequest, StacksView};

/// `POST /v1/provisions`
pub(crate) async fn order(
    State(daemon): State<Arc<Daemon>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    request: Result<Json<OrderRequest>, JsonRejection>,
) -> Result<Json<OrderedView>, ApiError> {
    let Json(request) = request?;
    Ok(Json(daemon.order(&request, &caller.name()).await?))
}

/// `POST /v1/provisions/plan`
pub(crate) async fn plan(
    State(daemon): State<Arc<Daemon>>,
    request: Result<Json<PlanRequest>, JsonRejection>,
) -> Result<Json<PlanView>, ApiError> {
    let Json(request) = request?;
    Ok(Json(daemon.plan_at_host(&request).await?))
}

/// `GET /v1/provisions`
pub(crate) async fn stacks(
    State(daemon): State<Arc<Daemon>>,
    query: Result<Query<StacksRequest>, QueryRejection>,
) -> Result<Json<StacksView>, ApiError> {
    let Query(query) = query?;
    Ok(Json(daemon.stacks_at_host(&query).await?))
}
