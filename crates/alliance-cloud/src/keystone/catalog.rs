//! What this cloud offers.

use std::collections::{BTreeMap, BTreeSet};

use alliance_core::descriptor::{Endpoint, Region, Service};
use serde::Deserialize;

use super::{Keystone, KeystoneError};
use crate::transport::Question;

/// The interface under which partners look for endpoints.
pub const PUBLIC: &str = "public";

/// What a cloud has. In a stable order, without what is disabled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// What partners may be told.
    pub regions: Vec<Region>,
    /// The types of all services.
    pub service_types: BTreeSet<String>,
    /// The ids of all regions that have endpoints.
    pub region_ids: BTreeSet<String>,
}

impl Keystone {
    /// The regions with their services and endpoints, in [`Settings::region`] if that is set. Those of
    /// [`Settings::interface`] are public ones to partners, whatever they are called here; those of
    /// `more` interfaces are told as what they are.
    ///
    /// [`Settings::interface`]: super::Settings::interface
    /// [`Settings::region`]: super::Settings::region
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn catalog(
        &self,
        request_id: &str,
        more: &[String],
    ) -> Result<Catalog, KeystoneError> {
        let call = self.call(request_id);
        let settings = &self.settings;
        let (services, endpoints) = tokio::try_join!(
            self.list::<Services>(Question::list(["services"]), call),
            self.list::<Endpoints>(Question::list(["endpoints"]), call),
        )?;
        let region_ids = endpoints.endpoints.iter().filter(|e| e.enabled);
        let region_ids = region_ids.filter_map(|e| e.region_id.clone()).collect();
        let told = Told {
            public: &settings.interface,
            more,
        };
        Ok(Catalog {
            regions: regions(&services, endpoints, told, settings.region.as_deref()),
            service_types: types(&services),
            region_ids,
        })
    }

    /// The ids of all regions, also of those without endpoints, which nobody sees in a token.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn region_ids(&self, request_id: &str) -> Result<BTreeSet<String>, KeystoneError> {
        let call = self.call(request_id);
        let found: Regions = self.list(Question::list(["regions"]), call).await?;
        Ok(found.regions.into_iter().map(|region| region.id).collect())
    }
}

#[derive(Deserialize)]
struct Regions {
    regions: Vec<RegionJson>,
}

#[derive(Deserialize)]
struct RegionJson {
    id: String,
}

#[derive(Deserialize)]
struct Services {
    services: Vec<ServiceJson>,
}

#[derive(Deserialize)]
struct ServiceJson {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: Option<String>,
    enabled: bool,
}

#[derive(Deserialize)]
struct Endpoints {
    endpoints: Vec<EndpointJson>,
}

#[derive(Deserialize)]
struct EndpointJson {
    interface: String,
    region_id: Option<String>,
    service_id: String,
    url: String,
    enabled: bool,
}

/// Which interfaces partners are told.
#[derive(Clone, Copy)]
struct Told<'a> {
    public: &'a str,
    more: &'a [String],
}

impl Told<'_> {
    /// What an interface of ours is called there.
    fn names(self, interface: &str) -> impl Iterator<Item = String> {
        let public = (interface == self.public).then(|| PUBLIC.to_owned());
        let same = interface != PUBLIC && self.more.iter().any(|name| name == interface);
        public.into_iter().chain(same.then(|| interface.to_owned()))
    }
}

fn types(services: &Services) -> BTreeSet<String> {
    let enabled = services.services.iter().filter(|service| service.enabled);
    enabled.map(|service| service.kind.clone()).collect()
}

/// An endpoint without a region belongs to none and is not offered.
fn regions(
    services: &Services,
    endpoints: Endpoints,
    told: Told<'_>,
    only: Option<&str>,
) -> Vec<Region> {
    let services: BTreeMap<&str, &ServiceJson> = services
        .services
        .iter()
        .filter(|service| service.enabled)
        .map(|service| (service.id.as_str(), service))
        .collect();
    type Key<'a> = (&'a str, &'a str, &'a str);
    let mut regions: BTreeMap<String, BTreeMap<Key<'_>, BTreeSet<(String, String)>>> =
        BTreeMap::new();
    for endpoint in endpoints.endpoints {
        let Some(service) = services.get(endpoint.service_id.as_str()) else {
            continue;
        };
        let Some(region) = endpoint
            .region_id
            .filter(|id| only.is_none_or(|only| only == id))
        else {
            continue;
        };
        for interface in told.names(&endpoint.interface).filter(|_| endpoint.enabled) {
            let name = service.name.as_deref().unwrap_or_default();
            let key = (service.kind.as_str(), name, service.id.as_str());
            regions
                .entry(region.clone())
                .or_default()
                .entry(key)
                .or_default()
                .insert((interface, endpoint.url.clone()));
        }
    }
    let service = |((kind, name, _), endpoints): (Key<'_>, BTreeSet<(String, String)>)| Service {
        kind: kind.to_owned(),
        name: name.to_owned(),
        endpoints: endpoints
            .into_iter()
            .map(|(interface, url)| Endpoint { interface, url })
            .collect(),
        versions: Vec::new(),
    };
    regions
        .into_iter()
        .map(|(id, services)| Region {
            id,
            services: services.into_iter().map(service).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixtures() -> (Services, Endpoints) {
        (
            serde_json::from_str(include_str!("fixtures/services.json")).unwrap(),
            serde_json::from_str(include_str!("fixtures/endpoints.json")).unwrap(),
        )
    }

    const PUBLIC_ALONE: Told<'_> = Told {
        public: PUBLIC,
        more: &[],
    };

    fn offered(services: &Services, endpoints: Endpoints, only: Option<&str>) -> Vec<String> {
        regions(services, endpoints, PUBLIC_ALONE, only)
            .into_iter()
            .flat_map(|region| {
                let id = region.id;
                region.services.into_iter().map(move |service| {
                    format!(
                        "{id} {} {} {}",
                        service.kind,
                        service.name,
                        service.endpoints.len()
                    )
                })
            })
            .collect()
    }

    #[test]
    fn a_real_catalog_reads() {
        let (services, endpoints) = fixtures();
        assert_eq!(
            types(&services),
            ["identity".to_owned(), "image".to_owned()].into()
        );
        assert_eq!(
            offered(&services, endpoints, Some("west")),
            ["west identity keystone 1", "west image glance 1"]
        );
    }

    #[test]
    fn what_is_disabled_elsewhere_or_of_another_interface_is_not_offered() {
        let (mut services, mut endpoints) = fixtures();
        assert!(offered(&services, fixtures().1, Some("east")).is_empty());
        let admin = Told {
            public: "admin",
            more: &[],
        };
        assert!(regions(&services, fixtures().1, admin, None).is_empty());
        services.services[0].enabled = false;
        assert_eq!(offered(&services, fixtures().1, None).len(), 1);
        for endpoint in &mut endpoints.endpoints {
            endpoint.enabled = false;
        }
        assert!(offered(&services, endpoints, None).is_empty());
    }

    #[test]
    fn internal_endpoints_are_told_as_public_ones_or_as_what_they_are_or_not_at_all() {
        let told = |public, more: &[&str]| {
            let (services, endpoints) = fixtures();
            let more: Vec<_> = more.iter().map(|&name| name.to_owned()).collect();
            let told = Told {
                public,
                more: &more,
            };
            let regions = regions(&services, endpoints, told, Some("west"));
            let services = regions.into_iter().flat_map(|region| region.services);
            let identity = services.filter(|service| service.kind == "identity");
            identity
                .flat_map(|service| service.endpoints)
                .map(|endpoint| endpoint.interface)
                .collect::<Vec<_>>()
        };
        assert_eq!(told("public", &["public"]), ["public"]);
        assert_eq!(told("internal", &["public"]), ["public"]);
        let both = ["internal", "public"];
        assert_eq!(told("public", &["public", "internal", "admin"]), both);
        assert_eq!(told("internal", &["internal"]), both);
    }
}
