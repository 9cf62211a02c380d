//! Domains and identity providers.

use super::{Keystone, KeystoneError};

/// A domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Whether its users and projects count.
    pub enabled: bool,
    /// Its name.
    pub name: String,
}

/// An identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityProvider {
    /// Whether its users' tokens count.
    pub enabled: bool,
    /// The domain of its users.
    pub domain_id: String,
}

impl Keystone {
    /// The domain of that id.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn domain(
        &self,
        _id: &str,
        _request_id: &str,
    ) -> Result<Option<Domain>, KeystoneError> {
        self.unwritten()
    }

    /// The identity provider of that id.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn identity_provider(
        &self,
        _id: &str,
        _request_id: &str,
    ) -> Result<Option<IdentityProvider>, KeystoneError> {
        self.unwritten()
    }
}
