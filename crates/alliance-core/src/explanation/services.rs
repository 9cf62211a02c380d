//! What the partner offers, and what of it users see.

use std::collections::{BTreeMap, BTreeSet};

use super::agreements::grants;
use super::condition::Who::{PartnersOperator, ThisOperator};
use super::condition::{Condition, Name, State, broken, holds};
use super::{Host, Inputs, NAME_LEN};
use crate::descriptor::{Endpoint, Region, Service};
use crate::endpoint_url::UnfitUrl;
use crate::label::clean;
use crate::snapshot::{LeftOut, Received};

/// The URLs of a service in the region that are shown to users, templates unresolved; none if the
/// agreement leaves the service out.
pub fn shown(inputs: &Inputs<'_>) -> BTreeMap<String, Vec<String>> {
    let Some(host) = &inputs.host else {
        return BTreeMap::new();
    };
    let grants = grants(inputs, host);
    let offered = offered(inputs, host).into_iter();
    offered
        .filter(|(kind, _)| is_granted(inputs, &grants, kind))
        .map(|(kind, offers)| {
            let shown = offers
                .into_iter()
                .filter(|o| o.require_shown(inputs).is_ok());
            let urls = shown.map(|offer| offer.endpoint.url.clone());
            (kind.to_owned(), urls.collect())
        })
        .collect()
}

/// An endpoint that the partner offers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer<'a> {
    region: &'a Region,
    service: &'a Service,
    endpoint: &'a Endpoint,
}

/// Why no user sees an endpoint.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unseen {
    /// It is not in the snapshot.
    #[error(transparent)]
    LeftOut(#[from] LeftOut),
    /// The plugin can fill in no more than the project's id.
    #[error("has a template other than the project's id")]
    Template,
}

impl Unseen {
    /// Whether this cloud's operator has a say in it.
    fn is_by_range(&self) -> bool {
        matches!(self, Self::LeftOut(LeftOut::Url(UnfitUrl::Refused { .. })))
    }
}

impl Offer<'_> {
    fn require_shown(&self, inputs: &Inputs<'_>) -> Result<(), Unseen> {
        let showing = inputs.showing;
        showing.require_shown(self.region, self.service, self.endpoint)?;
        let mut rest = self.endpoint.url.clone();
        for open in ["%(", "$("] {
            for of in ["project_id)s", "tenant_id)s"] {
                rest = rest.replace(&format!("{open}{of}"), "");
            }
        }
        if rest.contains("%(") || rest.contains("$(") {
            return Err(Unseen::Template);
        }
        Ok(())
    }
}

/// The endpoints of each service type in the region.
pub(super) fn offered<'a>(
    inputs: &Inputs<'_>,
    host: &Host<'a>,
) -> BTreeMap<&'a str, Vec<Offer<'a>>> {
    let mut offered: BTreeMap<&str, Vec<Offer<'_>>> = BTreeMap::new();
    let regions = host.told.map_or(&[][..], |(regions, _)| regions);
    let here = regions.iter();
    for region in here.filter(|region| Some(region.id.as_str()) == inputs.region_there) {
        for service in &region.services {
            let offers = offered.entry(&service.kind).or_default();
            offers.extend(service.endpoints.iter().map(|endpoint| Offer {
                region,
                service,
                endpoint,
            }));
        }
    }
    offered
}

pub(super) fn is_granted(inputs: &Inputs<'_>, grants: &[&Received], kind: &str) -> bool {
    // The identity service goes along always: clients warn or fail without.
    kind == "identity"
        || grants.iter().any(|grant| {
            let types = grant.services.as_ref().unwrap_or(inputs.own_service_types);
            types.contains(kind)
        })
}

pub(super) fn services(
    inputs: &Inputs<'_>,
    host: &Host<'_>,
    grants: &[&Received],
) -> Vec<Condition> {
    if inputs.region_there.is_none() || grants.is_empty() {
        return Vec::new();
    }
    let offered = offered(inputs, host);
    let agreed = grants.iter().filter_map(|grant| grant.services.as_ref());
    let mut types: BTreeSet<&str> = agreed.flatten().map(String::as_str).collect();
    types.extend(offered.keys());
    types.extend(inputs.service);
    let types = types.into_iter();
    types
        .map(|kind| Condition {
            service: Some(clean(kind, NAME_LEN)),
            ..service(inputs, host, grants, kind, offered.get(kind))
        })
        .collect()
}

pub(super) fn service(
    inputs: &Inputs<'_>,
    host: &Host<'_>,
    grants: &[&Received],
    kind: &str,
    offers: Option<&Vec<Offer<'_>>>,
) -> Condition {
    let name = &host.partner.name;
    let left_out = |detail: String, who, what: String| {
        let condition = broken(Name::Service, detail, who, what);
        if inputs.service == Some(kind) {
            condition
        } else {
            Condition {
                state: State::LeftOut,
                ..condition
            }
        }
    };
    let Some(offers) = offers else {
        return left_out(
            format!("{name} does not offer it in this region"),
            PartnersOperator,
            "a public endpoint in its Keystone, and [catalog] offer of its daemon".to_owned(),
        );
    };
    if !is_granted(inputs, grants, kind) {
        let by_type = grants.iter().any(|grant| grant.services.is_none());
        return left_out(
            if by_type {
                "this cloud has no service of that type, and the agreement does not name it"
                    .to_owned()
            } else {
                "the agreement does not name it".to_owned()
            },
            PartnersOperator,
            format!(
                "end the agreement and make it again with --service {}",
                clean(kind, NAME_LEN)
            ),
        );
    }
    let unseen = offers.iter().filter_map(|offer| {
        let why = offer.require_shown(inputs).err()?;
        Some((offer.endpoint, why))
    });
    let unseen: Vec<(&Endpoint, Unseen)> = unseen.collect();
    if unseen.len() < offers.len() {
        return holds(Name::Service, "shown");
    }
    let each = unseen.iter().map(|(endpoint, why)| match why {
        Unseen::LeftOut(LeftOut::Interface) => {
            format!("interface {} {why}", clean(&endpoint.interface, NAME_LEN))
        }
        _ => format!("{} {why}", clean(&endpoint.url, 200)),
    });
    let detail = format!(
        "no endpoint that may be shown: {}",
        each.collect::<Vec<_>>().join("; ")
    );
    if unseen.iter().any(|(_, why)| why.is_by_range()) {
        broken(
            Name::Service,
            detail,
            ThisOperator,
            "if users may go there, the host in [catalog] allow_hosts",
        )
    } else {
        broken(
            Name::Service,
            detail,
            PartnersOperator,
            "a public endpoint with an https URL that is reached from elsewhere",
        )
    }
}
