//! Domains and identity providers.

use alliance_core::cloud::CloudId;
use alliance_core::keystone_id::is_id;
use alliance_core::label::{clean, is_alias};
use alliance_core::partner::PROTOCOL;
use serde::Deserialize;

use super::{Call, Keystone, KeystoneError};
use crate::operator::object::{MappingBody, mapping_id, never};
use crate::transport::Question;

/// A domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Whether its users and projects count.
    pub enabled: bool,
    /// Its name.
    pub name: String,
}

/// An identity provider.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct IdentityProvider {
    /// Its id.
    pub id: String,
    /// Whether its users' tokens count.
    pub enabled: bool,
    /// The domain of its users; empty if it has none.
    #[serde(default, deserialize_with = "or_empty")]
    pub domain_id: String,
    /// What assertions of its call it; nothing at a partner's.
    #[serde(default)]
    pub remote_ids: Vec<String>,
}

impl Keystone {
    /// The domain of that id.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn domain(
        &self,
        id: &str,
        request_id: &str,
    ) -> Result<Option<Domain>, KeystoneError> {
        let found = self.find_domain(id, self.call(request_id)).await?;
        Ok(found.map(|domain| Domain {
            enabled: domain.enabled,
            name: domain.name,
        }))
    }

    /// The identity provider of that id, which is an alias of a partner.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn identity_provider(
        &self,
        id: &str,
        request_id: &str,
    ) -> Result<Option<IdentityProvider>, KeystoneError> {
        if !is_alias(id) {
            return Ok(None);
        }
        let question = Question::get(["OS-FEDERATION", "identity_providers", id]);
        let found = self.find(question, self.call(request_id)).await?;
        Ok(found.map(|IdentityProviderBody { identity_provider }| identity_provider))
    }

    /// All identity providers, those included that are no partner's.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn identity_providers(
        &self,
        request_id: &str,
    ) -> Result<Vec<IdentityProvider>, KeystoneError> {
        let question = Question::list(["OS-FEDERATION", "identity_providers"]);
        let found: Providers = self.list(question, self.call(request_id)).await?;
        Ok(found.identity_providers)
    }

    /// What is wrong with the protocols and the mapping of a partner's identity provider, by which no login
    /// comes in but the plugin's; `None` if they are as `alliance` has made them.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn wrong_with_federation(
        &self,
        alias: &str,
        cloud_id: &CloudId,
        request_id: &str,
    ) -> Result<Option<String>, KeystoneError> {
        if !is_alias(alias) {
            return Ok(None);
        }
        let call = self.call(request_id);
        let ours = mapping_id(cloud_id);
        let path = ["OS-FEDERATION", "identity_providers", alias, "protocols"];
        let found: Option<Protocols> = self.find(Question::get(path), call).await?;
        let protocols = found.map_or_else(Vec::new, |found| found.protocols);
        let anew = format!(
            "openstack federation protocol delete --identity-provider {alias} {PROTOCOL}; openstack mapping delete {ours}; alliance partner repair {alias}"
        );
        match protocols.iter().find(|one| one.id == PROTOCOL) {
            None => {
                return Ok(Some(format!(
                    "protocol {PROTOCOL} of identity provider {alias} is missing: its users are refused; run: alliance partner repair {alias}"
                )));
            }
            Some(protocol) if protocol.mapping_id != ours => {
                let found = clean(&protocol.mapping_id, 64);
                return Ok(Some(format!(
                    "protocol {PROTOCOL} of identity provider {alias} has mapping {found} in place of {ours}: logins may come in past this daemon; run: {anew}"
                )));
            }
            Some(_) => {}
        }
        if let Some(wrong) = further(alias, &protocols) {
            return Ok(Some(wrong));
        }
        let question = Question::get(["OS-FEDERATION", "mappings", &ours]);
        let mapping: Option<MappingBody> = self.find(question, call).await?;
        Ok(match mapping {
            None => Some(format!(
                "mapping {ours} is missing; run: alliance partner repair {alias}"
            )),
            Some(MappingBody { mapping }) if mapping.rules != never() => Some(format!(
                "mapping {ours} has other rules than those that never match: logins may come in past this daemon; run: {anew}"
            )),
            Some(_) => None,
        })
    }

    pub(super) async fn find_domain(
        &self,
        id: &str,
        call: Call<'_>,
    ) -> Result<Option<DomainJson>, KeystoneError> {
        if !is_id(id) {
            return Ok(None);
        }
        let found = self.find(Question::get(["domains", id]), call).await?;
        Ok(found
            .map(|DomainBody { domain }| domain)
            .filter(|domain| domain.id == id))
    }
}

/// What to say of protocols that `alliance` has not made.
fn further(alias: &str, protocols: &[Protocol]) -> Option<String> {
    let others = protocols.iter().filter(|one| one.id != PROTOCOL);
    let others: Vec<_> = others.map(|one| clean(&one.id, 64)).collect();
    (!others.is_empty()).then(|| {
        format!(
            "identity provider {alias} has further protocols ({}), of which alliance made none: logins may come in past this daemon; run: openstack federation protocol delete --identity-provider {alias} {}",
            others.join(", "),
            others.join(" ")
        )
    })
}

#[derive(Deserialize)]
struct Protocols {
    protocols: Vec<Protocol>,
}

#[derive(Deserialize)]
struct Protocol {
    id: String,
    mapping_id: String,
}

#[derive(Deserialize)]
struct Providers {
    identity_providers: Vec<IdentityProvider>,
}

#[derive(Deserialize)]
struct DomainBody {
    domain: DomainJson,
}

/// A domain as Keystone shows it.
#[derive(Deserialize)]
pub(super) struct DomainJson {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) enabled: bool,
}

#[derive(Deserialize)]
struct IdentityProviderBody {
    identity_provider: IdentityProvider,
}

fn or_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::<String>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_answers_read() {
        let DomainBody { domain } =
            serde_json::from_str(include_str!("fixtures/domain.json")).unwrap();
        assert_eq!(
            (domain.id.as_str(), domain.name.as_str(), domain.enabled),
            ("default", "Default", true)
        );
        let body: IdentityProviderBody =
            serde_json::from_str(include_str!("fixtures/identity-provider.json")).unwrap();
        assert!(body.identity_provider.enabled && is_id(&body.identity_provider.domain_id));
        assert_eq!(body.identity_provider.remote_ids, [""; 0]);
    }

    #[test]
    fn protocols_beside_the_plugins_are_named_with_what_takes_them_away() {
        let of = |ids: &[&str]| {
            let protocol = |id: &&str| Protocol {
                id: (*id).to_owned(),
                mapping_id: "m".to_owned(),
            };
            further("west", &ids.iter().map(protocol).collect::<Vec<_>>())
        };
        assert_eq!(of(&[PROTOCOL]), None);
        let said = of(&["mapped", PROTOCOL, "openid"]).unwrap();
        assert!(said.contains("(mapped, openid)"), "{said}");
        assert!(
            said.ends_with("delete --identity-provider west mapped openid"),
            "{said}"
        );
    }
}
