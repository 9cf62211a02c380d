//! `GET /v1/agreements/{id}`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::extract::{self, AgreementId, CallOf};
use crate::error::{ApiError, Problem};
use crate::service::PeerService;
use crate::wire::{ContractAnswer, VersionsQuery};

/// The signed versions of an agreement with the caller, from the one after `after` on.
#[utoipa::path(
    get,
    path = "/v1/agreements/{id}",
    tag = "partners",
    params(("id" = String, Path, description = "The agreement (UUID)"), VersionsQuery),
    responses(
        (status = 200, body = ContractAnswer),
        (status = 403, description = "The caller is no active partner", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No agreement with the caller has that id", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn contract<S: PeerService>(
    State(service): State<Arc<S>>,
    CallOf(call): CallOf,
    AgreementId(id): AgreementId,
    extract::Query(query): extract::Query<VersionsQuery>,
) -> Result<Json<ContractAnswer>, ApiError> {
    service.contract(&call, id, query.after).await.map(Json)
}
