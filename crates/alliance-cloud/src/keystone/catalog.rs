//! What this cloud offers.

use std::collections::{BTreeMap, BTreeSet};

use alliance_core::descriptor::{Endpoint, Region, Service};
use serde::Deserialize;

use super::{Keystone, KeystoneError};
use crate::transport::Question;

impl Keystone {
    /// The regions with their services and endpoints of [`Settings::interface`], in
    /// [`Settings::region`] if that is set; and the types of all enabled services. In a stable
    /// order, without what is disabled.
    ///
    /// [`Settings::interface`]: super::Settings::interface
    /// [`Settings::region`]: super::Settings::region
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn catalog(
        &self,
        request_id: &str,
    ) -> Result<(Vec<Region>, BTreeSet<String>), KeystoneError> {
        let call = self.call(request_id);
        let settings = &self.settings;
        let endpoints = Question::list(["endpoints"]).query("interface", &settings.interface);
        let (services, endpoints) = tokio::try_join!(
            self.list::<Services>(Question::list(["services"]), call),
            self.list::<Endpoints>(endpoints, call),
        )?;
        Ok((
            regions(
                &services,
                endpoints,
                &settings.interface,
                settings.region.as_deref(),
            ),
            types(&services),
        ))
    }
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

fn types(services: &Services) -> BTreeSet<String> {
    let enabled = services.services.iter().filter(|service| service.enabled);
    enabled.map(|service| service.kind.clone()).collect()
}

/// An endpoint without a region belongs to none and is not offered.
fn regions(
    services: &Services,
    endpoints: Endpoints,
    interface: &str,
    only: Option<&str>,
) -> Vec<Region> {
    let services: BTreeMap<&str, &ServiceJson> = services
        .services
        .iter()
        .filter(|service| service.enabled)
        .map(|service| (service.id.as_str(), service))
        .collect();
    type Key<'a> = (&'a str, &'a str, &'a str);
    let mut regions: BTreeMap<String, BTreeMap<Key<'_>, BTreeSet<String>>> = BTreeMap::new();
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
        if endpoint.enabled && endpoint.interface == interface {
            let name = service.name.as_deref().unwrap_or_default();
            let key = (service.kind.as_str(), name, service.id.as_str());
            regions
                .entry(region)
                .or_default()
                .entry(key)
                .or_default()
                .insert(endpoint.url);
        }
    }
    let service = |((kind, name, _), urls): (Key<'_>, BTreeSet<String>)| Service {
        kind: kind.to_owned(),
        name: name.to_owned(),
        endpoints: urls
            .into_iter()
            .map(|url| Endpoint {
                interface: interface.to_owned(),
                url,
            })
            .collect(),
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

    fn offered(services: &Services, endpoints: Endpoints, only: Option<&str>) -> Vec<String> {
        regions(services, endpoints, "public", only)
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
        assert!(regions(&services, fixtures().1, "admin", None).is_empty());
        services.services[0].enabled = false;
        assert_eq!(offered(&services, fixtures().1, None).len(), 1);
        for endpoint in &mut endpoints.endpoints {
            endpoint.enabled = false;
        }
        assert!(offered(&services, endpoints, None).is_empty());
    }
}
