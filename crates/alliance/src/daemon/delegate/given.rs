//! What this cloud gives partners, where nothing comes of it: agreements about roles that are gone, a
//! catalog of which partners are told nothing. And who else lets users into a partner's domain.

use std::collections::BTreeSet;
use std::sync::Arc;

use alliance_cloud::keystone::IdentityProvider;
use alliance_core::agreement::Agreement;
use alliance_core::label::clean;
use alliance_core::partner::Partner;
use alliance_peer::request_id::RequestId;

use crate::config::Config;
use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::daemon::directory::Known;
use crate::daemon::own_catalog::{IDENTITY, Offer};

/// Longest name that is shown, in characters.
const LONGEST: usize = 64;
/// How many names are shown of many.
const MENTIONED: usize = 8;

/// What to say of it. Keystone is asked a few questions for all partners together; where it does not answer
/// them, nothing is said: that is found elsewhere.
pub(super) async fn warnings(daemon: &Daemon) -> Vec<String> {
    let partners = daemon.directory.partners();
    let guests: Vec<&Arc<Known>> = partners
        .all()
        .into_iter()
        .filter(|known| known.partner.role.is_guest())
        .filter(|known| known.partner.require_active(now()).is_ok())
        .collect();
    let live: Vec<(&Partner, &Agreement)> = guests
        .iter()
        .flat_map(|known| known.given.iter().map(|one| (&known.partner, one)))
        .filter(|(_, agreement)| agreement.is_live(now()))
        .collect();
    let (missing, providers) = tokio::join!(missing(daemon, &live), providers(daemon, &guests));
    let mut warnings: Vec<String> = live
        .iter()
        .filter_map(|(partner, agreement)| useless(&partner.name, agreement, &missing))
        .collect();
    if !live.is_empty() {
        warnings.extend(nothing_told(&daemon.config, &daemon.catalog.current()));
    }
    let others = guests
        .iter()
        .flat_map(|known| others(&known.partner, &providers));
    warnings.extend(others);
    warnings
}

async fn missing(daemon: &Daemon, live: &[(&Partner, &Agreement)]) -> BTreeSet<String> {
    let roles = live
        .iter()
        .flat_map(|(_, agreement)| &agreement.terms.roles);
    let roles: BTreeSet<String> = roles.cloned().collect();
    let request_id = RequestId::random().to_string();
    let missing = daemon.keystone.roles_missing(&roles, &request_id).await;
    missing.unwrap_or_default()
}

async fn providers(daemon: &Daemon, guests: &[&Arc<Known>]) -> Vec<IdentityProvider> {
    if guests.is_empty() {
        return Vec::new();
    }
    let request_id = RequestId::random().to_string();
    let found = daemon.keystone.identity_providers(&request_id).await;
    found.unwrap_or_default()
}

/// What to say of an agreement in force about roles that are missing.
fn useless(partner: &str, agreement: &Agreement, missing: &BTreeSet<String>) -> Option<String> {
    let roles = &agreement.terms.roles;
    let gone: Vec<_> = roles
        .intersection(missing)
        .map(|it| clean(it, LONGEST))
        .collect();
    let first = gone.first()?;
    let left = roles.difference(missing).map(|it| clean(it, LONGEST));
    let left: String = left.map(|role| format!(" --role {role}")).collect();
    let (id, gone_all) = (clean(&agreement.id, LONGEST), gone.join(", "));
    let change = match left.as_str() {
        "" => format!("alliance agreement end {id}"),
        left => format!("alliance agreement change {id}{left}"),
    };
    Some(format!(
        "agreement {id} with {partner} grants role {gone_all}, which Keystone has no more: its users get nothing by that; run: openstack role create {first}, or: {change}"
    ))
}

/// What to say of a catalog that has something, and of which nobody is told anything.
fn nothing_told(config: &Config, offer: &Offer) -> Option<String> {
    // Not read yet.
    if offer.service_types.is_empty() {
        return None;
    }
    let words = &config.catalog.offer;
    let is_there = |word: &String| word == "*" || offer.service_types.contains(word);
    if !words.is_empty() && !words.iter().any(is_there) {
        return Some(format!(
            "of what [catalog] offer names ({}) this cloud's catalog has nothing: partners are told of service {IDENTITY} alone, and guests find nothing here; name types that it has: {}",
            few(words),
            few(&offer.service_types)
        ));
    }
    if offer
        .regions
        .iter()
        .any(|region| !region.services.is_empty())
    {
        return None;
    }
    let costs = "partners are told of no region of this cloud, and guests find nothing here";
    let interface = &config.keystone.interface;
    Some(match &config.keystone.region {
        Some(region) if !offer.region_ids.contains(region) => format!(
            "[keystone] region = {region:?} is no region of this cloud's catalog that has endpoints: {costs}; set it to one that has ({}), or leave it out",
            few(&offer.region_ids)
        ),
        region => {
            let place = region.as_ref().map(|region| format!(" in region {region}"));
            format!(
                "no service in this cloud's catalog has an endpoint of [keystone] interface = {interface:?}{}: {costs}; set [keystone] region and interface as they are in: openstack endpoint list",
                place.unwrap_or_default()
            )
        }
    })
}

fn few<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let mut names = names.into_iter().map(|name| clean(name, LONGEST));
    let mut shown: Vec<String> = names.by_ref().take(MENTIONED).collect();
    if names.next().is_some() {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

/// What to say of identity providers that are not the partner's and have its domain.
fn others(partner: &Partner, providers: &[IdentityProvider]) -> Vec<String> {
    let (name, domain_id) = (&partner.name, partner.domain_id());
    let others = providers
        .iter()
        .filter(|idp| idp.domain_id == domain_id && idp.id != *name && idp.enabled);
    others
        .map(|idp| {
            let id = clean(&idp.id, LONGEST);
            format!(
                "partner {name}: identity provider {id} has the domain of its users too, and alliance has not made it: whom it lets in is a user of that domain, past this daemon; run: openstack identity provider set --disable {id}, or delete it"
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use alliance_core::descriptor::{Region, Service};
    use serde_json::json;

    use super::super::partners::tests::west;
    use super::*;
    use crate::config::ConfigError;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn config(sections: &str) -> Result<Config, ConfigError> {
        let text = format!(
            r#"
            [cloud]
            name = "east"
            state_dir = "/nowhere"
            [peer]
            url = "https://east.example:5443"
            [keystone]
            auth_url = "http://127.0.0.1:5000/v3"
            password = "none"
            {sections}
            "#
        );
        Config::parse(&text, Path::new("alliance.toml"))
    }

    fn offer(told: &[&str]) -> Offer {
        let service = |kind: &&str| Service {
            kind: (*kind).to_owned(),
            name: String::new(),
            endpoints: Vec::new(),
            versions: Vec::new(),
        };
        let region = Region {
            id: "east".to_owned(),
            services: told.iter().map(service).collect(),
        };
        Offer {
            regions: vec![region]
                .into_iter()
                .filter(|_| !told.is_empty())
                .collect(),
            service_types: names(&["compute", IDENTITY]),
            region_ids: names(&["east"]),
        }
    }

    #[test]
    fn roles_that_are_gone_are_named_with_the_agreement_and_what_mends_it()
    -> Result<(), serde_json::Error> {
        let agreement = |roles: &[&str]| {
            serde_json::from_value::<Agreement>(json!({
                "id": "a", "partner": west().cloud_id, "projects": "*", "project_name": null,
                "project_domain": null, "roles": roles, "services": null, "since": 0,
                "till": null, "ended_at": null,
            }))
        };
        let both = agreement(&["member", "reader"])?;
        assert_eq!(useless("west", &both, &names(&[])), None);
        assert_eq!(useless("west", &both, &names(&["other"])), None);
        let said = useless("west", &both, &names(&["member"])).unwrap_or_default();
        assert!(said.contains("grants role member,"), "{said}");
        let mend = "openstack role create member, or: alliance agreement change a --role reader";
        assert!(said.ends_with(mend), "{said}");
        let one = agreement(&["member"])?;
        let said = useless("west", &one, &names(&["member"])).unwrap_or_default();
        assert!(said.ends_with("or: alliance agreement end a"), "{said}");
        Ok(())
    }

    #[test]
    fn a_catalog_of_which_something_is_told_or_that_is_not_read_yet_is_well()
    -> Result<(), ConfigError> {
        for sections in [
            "",
            "[catalog]\noffer = [\"compute\"]",
            "[catalog]\noffer = []",
        ] {
            let config = config(sections)?;
            assert_eq!(nothing_told(&config, &offer(&[IDENTITY])), None);
            assert_eq!(nothing_told(&config, &Offer::default()), None);
        }
        Ok(())
    }

    #[test]
    fn a_catalog_of_which_nothing_is_told_names_what_is_set_and_what_there_is()
    -> Result<(), ConfigError> {
        for (sections, is_set, there_is) in [
            ("region = \"RegionOne\"", "region = \"RegionOne\"", "(east)"),
            (
                "region = \"east\"",
                "interface = \"public\" in region east",
                "endpoint list",
            ),
            (
                "interface = \"internal\"",
                "interface = \"internal\":",
                "endpoint list",
            ),
            (
                "[catalog]\noffer = [\"nova\"]",
                "offer names (nova)",
                "compute, identity",
            ),
        ] {
            let said = nothing_told(&config(sections)?, &offer(&[])).unwrap_or_default();
            assert!(said.contains(is_set) && said.contains(there_is), "{said}");
        }
        Ok(())
    }

    #[test]
    fn another_identity_provider_with_the_partners_domain_is_named() {
        let idp = |id: &str, domain_id: String| IdentityProvider {
            id: id.to_owned(),
            enabled: true,
            domain_id,
            remote_ids: Vec::new(),
        };
        let ours = || idp("west", west().domain_id());
        let elsewhere = idp("sso", "default".to_owned());
        assert_eq!(others(&west(), &[ours(), elsewhere]), [""; 0]);
        let said = others(&west(), &[ours(), idp("sso", west().domain_id())]).join("");
        assert!(
            said.contains("identity provider sso has the domain"),
            "{said}"
        );
    }
}
