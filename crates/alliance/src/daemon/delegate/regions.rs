//! Which regions of partners our users see.

use std::sync::Arc;

use alliance_core::descriptor::{Region, Service};
use alliance_core::label::clean;
use alliance_core::snapshot::Showing;
use axum::Json;
use axum::extract::State;

use crate::daemon::Daemon;
use crate::daemon::border::Border;
use crate::daemon::clock::now;
use crate::daemon::directory::Known;
use crate::daemon::own_catalog::Offer;
use crate::wire::{ApiView, LeftOutView, RegionView};

/// Longest name and URL of a partner's that an operator is shown, in characters.
const LONGEST: usize = 255;
/// Most endpoints that are named as left out, of one region.
const MOST_LEFT_OUT: usize = 100;

/// `GET /v1/regions`
pub(crate) async fn list(State(daemon): State<Arc<Daemon>>) -> Json<Vec<RegionView>> {
    let at = now();
    let (showing, own) = (daemon.catalog.showing(), daemon.catalog.current());
    let partners = daemon.directory.partners();
    let hosts = partners
        .all()
        .into_iter()
        .filter(|known| known.partner.role.is_host() && known.partner.require_active(at).is_ok());
    let views = hosts.flat_map(|known| {
        let regions = known.descriptor().map(|told| told.regions.iter());
        let regions = regions.into_iter().flatten();
        regions
            .map(|region| view(&daemon.border, known, region, &showing, &own))
            .collect::<Vec<_>>()
    });
    Json(views.collect())
}

/// What an operator should know of how a partner's regions are shown.
pub(super) fn warnings(known: &Known, showing: &Showing) -> Vec<String> {
    let partner = &known.partner;
    let regions = known.descriptor().map_or(&[][..], |told| &told.regions);
    let renamed = regions.iter().filter_map(|region| {
        let taken = showing.names.taken(partner, &region.id)?;
        Some(format!(
            "partner {}: its region is called {} here, for {} is one of our own",
            partner.name,
            clean(&showing.names.name(partner, &region.id), LONGEST),
            clean(&taken, LONGEST),
        ))
    });
    let count: usize = regions
        .iter()
        .map(|region| left_out(region, showing).count())
        .sum();
    let hidden = (count > 0).then(|| {
        format!(
            "partner {}: {count} of its endpoints are shown to nobody here; `alliance region list` says why",
            partner.name
        )
    });
    renamed.chain(hidden).collect()
}

fn view(
    border: &Border,
    known: &Known,
    region: &Region,
    showing: &Showing,
    own: &Offer,
) -> RegionView {
    let at = now();
    let live = known
        .facts
        .received
        .iter()
        .filter(|grant| grant.is_live(at));
    let name = |text: &str| clean(text, LONGEST);
    RegionView {
        region: name(&showing.names.name(&known.partner, &region.id)),
        partner: known.partner.name.clone(),
        region_there: name(&region.id),
        taken: showing.names.taken(&known.partner, &region.id),
        services: region.services.iter().map(|s| name(&s.kind)).collect(),
        apis: region.services.iter().map(|s| api(s, own)).collect(),
        left_out: left_out(region, showing).take(MOST_LEFT_OUT).collect(),
        projects: live.map(|grant| grant.project_id.to_string()).collect(),
        unreachable_since: border.silent_since(known),
        is_hidden: border.is_hidden(known, at),
    }
}

fn api(service: &Service, own: &Offer) -> ApiView {
    let here = own.versions(&service.kind);
    ApiView {
        kind: clean(&service.kind, LONGEST),
        there: service.current_version(),
        here: here.and_then(Service::current_version),
        differs: !service.versions.is_empty()
            && here.is_some_and(|here| here.versions != service.versions),
        versions: service.versions.clone(),
    }
}

fn left_out(region: &Region, showing: &Showing) -> impl Iterator<Item = LeftOutView> {
    let endpoints = region.services.iter().flat_map(|service| {
        let endpoints = service.endpoints.iter();
        endpoints.map(move |endpoint| (service, endpoint))
    });
    endpoints.filter_map(|(service, endpoint)| {
        let why = showing.require_shown(region, service, endpoint).err()?;
        Some(LeftOutView {
            service: clean(&service.kind, LONGEST),
            interface: clean(&endpoint.interface, LONGEST),
            url: clean(&endpoint.url, LONGEST),
            why: why.to_string(),
        })
    })
}
