//! Which regions of partners our users see.

use std::sync::Arc;

use alliance_core::snapshot::region_name;
use axum::Json;
use axum::extract::State;

use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::wire::RegionView;

/// `GET /v1/regions`
pub(crate) async fn list(State(daemon): State<Arc<Daemon>>) -> Json<Vec<RegionView>> {
    let at = now();
    let partners = daemon.directory.partners();
    let hosts = partners
        .all()
        .into_iter()
        .filter(|known| known.partner.role.is_host() && known.partner.require_active(at).is_ok());
    let views = hosts.flat_map(|known| {
        let projects: Vec<String> = known
            .facts
            .received
            .iter()
            .filter(|grant| grant.is_live(at))
            .map(|grant| grant.project_id.to_string())
            .collect();
        let unreachable_since = daemon.border.silent_since(known);
        let is_hidden = daemon.border.is_hidden(known, at);
        let regions = known.descriptor().map(|told| told.regions.iter());
        regions
            .into_iter()
            .flatten()
            .map(|region| RegionView {
                region: region_name(&known.partner.name, &region.id),
                partner: known.partner.name.clone(),
                region_there: region.id.clone(),
                services: region
                    .services
                    .iter()
                    .map(|service| service.kind.clone())
                    .collect(),
                projects: projects.clone(),
                unreachable_since,
                is_hidden,
            })
            .collect::<Vec<_>>()
    });
    Json(views.collect())
}
