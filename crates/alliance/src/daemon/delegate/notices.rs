//! What has happened at partners, for operators.

use std::sync::Arc;

use alliance_store::Filter;
use axum::Json;
use axum::extract::{Query, State};

use super::problem::ApiError;
use crate::daemon::Daemon;
use crate::wire::{NoticeQuery, NoticeView};

/// `GET /v1/notices`
pub(crate) async fn list(
    State(daemon): State<Arc<Daemon>>,
    Query(query): Query<NoticeQuery>,
) -> Result<Json<Vec<NoticeView>>, ApiError> {
    let host = match &query.partner {
        Some(name) => {
            let partners = daemon.directory.partners();
            let found = partners.by_name(name);
            let found = found.map(|known| known.partner.cloud_id.clone());
            Some(found.ok_or_else(|| ApiError::not_found(format!("there is no partner {name}")))?)
        }
        None => None,
    };
    let filter = Filter {
        host,
        project_id: query.project,
        since: query.since,
        after: query.after,
    };
    Ok(Json(daemon.notices(&filter).await?))
}
