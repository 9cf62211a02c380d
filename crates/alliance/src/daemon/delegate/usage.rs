//! What was used, for operators.

use std::sync::Arc;

use alliance_core::usage::Month;
use axum::Json;
use axum::extract::{Query, State};

use super::problem::ApiError;
use crate::daemon::Daemon;
use crate::daemon::directory::Known;
use crate::wire::{UsageDifference, UsageLine, UsageQuery, UsageRecordView};

/// `GET /v1/usage`
pub(crate) async fn sums(
    State(daemon): State<Arc<Daemon>>,
    Query(query): Query<UsageQuery>,
) -> Result<Json<Vec<UsageLine>>, ApiError> {
    Ok(Json(daemon.usage(month(&query)?).await?))
}

/// `GET /v1/usage/records`
pub(crate) async fn records(
    State(daemon): State<Arc<Daemon>>,
    Query(query): Query<UsageQuery>,
) -> Result<Json<Vec<UsageRecordView>>, ApiError> {
    let month = month(&query)?;
    let partners = daemon.directory.partners();
    let mut records = Vec::new();
    for known in partners.all() {
        if query
            .partner
            .as_ref()
            .is_none_or(|name| *name == known.partner.name)
        {
            records.extend(daemon.usage_records(known, month).await?);
        }
    }
    Ok(Json(records))
}

/// `GET /v1/usage/differences`
pub(crate) async fn differences(
    State(daemon): State<Arc<Daemon>>,
    Query(query): Query<UsageQuery>,
) -> Result<Json<Vec<UsageDifference>>, ApiError> {
    let month = month(&query)?;
    let name = query.partner.as_deref().unwrap_or_default();
    let known = partner(&daemon, name)?;
    let found = daemon
        .reconcile_usage(&known, month)
        .await
        .map_err(|error| ApiError::upstream(format!("the two were not compared: {error:#}")))?;
    let found = found.into_iter().map(|one| UsageDifference {
        part: one.part,
        here: one.here,
        there: one.there,
    });
    Ok(Json(found.collect()))
}

fn month(query: &UsageQuery) -> Result<Month, ApiError> {
    query
        .month
        .parse()
        .map_err(|error: alliance_core::usage::NotAMonth| ApiError::invalid(error.to_string()))
}

fn partner(daemon: &Daemon, name: &str) -> Result<Arc<Known>, ApiError> {
    let partners = daemon.directory.partners();
    let found = partners.by_name(name).map(Arc::clone);
    found.ok_or_else(|| ApiError::not_found(format!("there is no partner {name}")))
}
