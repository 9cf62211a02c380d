//! Which regions of partners our users see.

use std::collections::BTreeSet;
use std::sync::Arc;

use alliance_core::descriptor::{Endpoint, Region, Service};
use alliance_core::endpoint_url::UnfitUrl;
use alliance_core::label::clean;
use alliance_core::partner::Partner;
use alliance_core::snapshot::{LeftOut, Showing};
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
    let regions = known.descriptor().map_or(&[][..], |told| &told.regions);
    warnings_of(&known.partner, regions, showing)
}

fn warnings_of(partner: &Partner, regions: &[Region], showing: &Showing) -> Vec<String> {
    let renamed = regions.iter().filter_map(|region| {
        let taken = clean(&showing.names.taken(partner, &region.id)?, LONGEST);
        Some(format!(
            "partner {}: its region is called {} here, for {taken} is one of our own: scripts that name region {taken} get this cloud's own; if that was made by hand for the partner, take away its endpoints and then run: openstack region delete {taken}; else nothing is to be done",
            partner.name,
            clean(&showing.names.name(partner, &region.id), LONGEST),
        ))
    });
    let unseen: Vec<_> = regions
        .iter()
        .flat_map(|region| unshown(region, showing))
        .collect();
    let hidden = unseen.first().map(|(service, endpoint, why)| {
        format!(
            "partner {}: {} of its endpoints are shown to nobody here: {} {} {} {why}; {}; `alliance region list` says why of each",
            partner.name,
            unseen.len(),
            clean(&service.kind, LONGEST),
            clean(&endpoint.interface, LONGEST),
            clean(&endpoint.url, LONGEST),
            mend(why, &partner.name),
        )
    });
    renamed.chain(hidden).collect()
}

/// What an operator should know of regions of our own without endpoints, `bare`, that are named like a
/// partner's.
pub(super) fn bare(known: &Known, showing: &Showing, bare: &BTreeSet<String>) -> Vec<String> {
    let regions = known.descriptor().map_or(&[][..], |told| &told.regions);
    bare_of(&known.partner, regions, showing, bare)
}

fn bare_of(
    partner: &Partner,
    regions: &[Region],
    showing: &Showing,
    bare: &BTreeSet<String>,
) -> Vec<String> {
    let names = regions
        .iter()
        .map(|region| showing.names.name(partner, &region.id));
    let alike = names.filter(|name| bare.contains(name));
    let warning = |name: String| {
        let name = clean(&name, LONGEST);
        format!(
            "partner {}: this cloud has a region {name} of its own, without endpoints: once it has one, the partner's is called something else here, and scripts that name region {name} get this cloud's own; unless that is wanted, run: openstack region delete {name}",
            partner.name
        )
    };
    alike.map(warning).collect()
}

/// What lets an endpoint be shown.
fn mend(why: &LeftOut, partner: &str) -> String {
    let mended = format!("its operator mends that in {partner}'s catalog");
    let is_of_a_lab = match why {
        LeftOut::Url(UnfitUrl::Scheme(scheme)) => scheme == "http",
        LeftOut::Url(UnfitUrl::Local(_)) => true,
        _ => false,
    };
    match why {
        _ if is_of_a_lab => {
            format!("{mended}; [catalog] allow_http = true takes it, for a lab only")
        }
        LeftOut::Url(UnfitUrl::Refused { .. }) => {
            "if it is right, narrow that, or name the host in [catalog] allow_hosts".to_owned()
        }
        LeftOut::Url(UnfitUrl::OwnKeystone(_)) => {
            format!("{mended}; if it is right, name the host in [catalog] allow_hosts")
        }
        _ => mended,
    }
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
        unreachable_since: border.silent_since(known, at),
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
    unshown(region, showing).map(|(service, endpoint, why)| LeftOutView {
        service: clean(&service.kind, LONGEST),
        interface: clean(&endpoint.interface, LONGEST),
        url: clean(&endpoint.url, LONGEST),
        why: why.to_string(),
    })
}

/// What of a region is shown to nobody here, and why.
fn unshown<'a>(
    region: &'a Region,
    showing: &Showing,
) -> impl Iterator<Item = (&'a Service, &'a Endpoint, LeftOut)> {
    let endpoints = region.services.iter().flat_map(|service| {
        let endpoints = service.endpoints.iter();
        endpoints.map(move |endpoint| (service, endpoint))
    });
    endpoints.filter_map(|(service, endpoint)| {
        let why = showing.require_shown(region, service, endpoint).err()?;
        Some((service, endpoint, why))
    })
}

#[cfg(test)]
mod tests {
    use alliance_core::endpoint_url::AddressRange;

    use super::super::partners::tests::west;
    use super::*;

    fn region(id: &str, urls: &[&str]) -> Region {
        let endpoint = |url: &&str| Endpoint {
            interface: "public".to_owned(),
            url: (*url).to_owned(),
        };
        Region {
            id: id.to_owned(),
            services: vec![Service {
                kind: "image".to_owned(),
                name: "glance".to_owned(),
                endpoints: urls.iter().map(endpoint).collect(),
                versions: Vec::new(),
            }],
        }
    }

    fn said(region: Region, showing: &Showing) -> Vec<String> {
        warnings_of(&west(), &[region], showing)
    }

    #[test]
    fn of_regions_that_are_shown_as_they_are_nothing_is_said() {
        let region = region("west", &["https://west.example:9292"]);
        assert_eq!(said(region, &Showing::default()), [""; 0]);
    }

    #[test]
    fn a_name_that_is_taken_says_what_that_means_and_what_to_do() {
        let mut showing = Showing::default();
        showing.names.own = ["west".to_owned()].into();
        let found = said(region("west", &[]), &showing).join("\n");
        let is_so = "its region is called west:west here, for west is one of our own: scripts";
        assert!(found.contains(is_so), "{found}");
        assert!(found.contains("openstack region delete west"), "{found}");
    }

    #[test]
    fn a_region_of_our_own_without_endpoints_is_named_if_it_is_called_like_the_partners() {
        let bare = ["west".to_owned(), "north".to_owned()].into();
        let found = |id: &str, showing: &Showing| {
            bare_of(&west(), &[region(id, &[])], showing, &bare).join("\n")
        };
        let showing = Showing::default();
        let said = found("west", &showing);
        assert!(
            said.ends_with("run: openstack region delete west"),
            "{said}"
        );
        assert_eq!(found("north", &showing), "", "that is west:north here");
    }

    #[test]
    fn what_is_shown_to_nobody_names_the_first_reason_and_what_mends_it() {
        let mut showing = Showing::default();
        showing.urls.refuse = "10.0.0.0/8".parse::<AddressRange>().into_iter().collect();
        showing.urls.own = ["own.example".to_owned()].into();
        for (url, mend) in [
            ("http://west.example:9292", "[catalog] allow_http"),
            ("https://10.0.0.8:9292", "[catalog] allow_hosts"),
            ("https://127.0.0.1/", "[catalog] allow_http"),
            ("https://own.example/", "[catalog] allow_hosts"),
            (
                "https://me:secret@west.example",
                "mends that in west's catalog;",
            ),
        ] {
            let found = said(region("west", &[url, "ftp://x"]), &showing).join("\n");
            assert!(
                found.contains("2 of its endpoints are shown to nobody"),
                "{found}"
            );
            assert!(found.contains(url) && found.contains(mend), "{found}");
        }
    }
}
