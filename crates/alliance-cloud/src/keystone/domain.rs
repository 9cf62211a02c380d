//! Domains and identity providers.

use alliance_core::keystone_id::is_id;
use alliance_core::label::is_alias;
use serde::Deserialize;

use super::{Call, Keystone, KeystoneError};
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
    /// Whether its users' tokens count.
    pub enabled: bool,
    /// The domain of its users; empty if it has none.
    #[serde(default, deserialize_with = "or_empty")]
    pub domain_id: String,
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
    }
}
