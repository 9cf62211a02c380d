//! What the operator's command line makes in Keystone for a partner whose users come here: a
//! domain, and an identity provider with a protocol and a mapping.

mod error;
mod object;

use alliance_core::cloud::CloudId;

pub use self::error::OperatorError;
pub use self::object::{Created, Object, Purged};

/// Keystone, with the rights of the operator who is at the command line.
#[derive(Debug)]
pub struct Operator(());

impl Operator {
    /// From OpenStack's usual environment variables (`OS_AUTH_URL`, `OS_USERNAME`, …); others are
    /// ignored. Asks nobody yet.
    ///
    /// # Errors
    /// Names the variables that are missing.
    pub fn from_env(
        _variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, OperatorError> {
        Ok(Self(()))
    }

    /// Makes what is missing of a partner's objects. What is disabled stays disabled and is listed.
    /// If it fails, what it made is removed again.
    ///
    /// # Errors
    /// If Keystone refuses or fails, or if something of that name is not ours.
    pub async fn ensure_partner_objects(
        &self,
        _alias: &str,
        _cloud_id: &CloudId,
    ) -> Result<Created, OperatorError> {
        Err(OperatorError::MissingVariables(Vec::new()))
    }

    /// Removes what one call of [`Self::ensure_partner_objects`] made.
    ///
    /// # Errors
    /// If Keystone refuses or fails; may be repeated.
    pub async fn undo(&self, _created: &Created) -> Result<(), OperatorError> {
        Err(OperatorError::MissingVariables(Vec::new()))
    }

    /// Makes what is missing and enables what is disabled. Says what it did.
    ///
    /// # Errors
    /// If Keystone refuses or fails, or if something of that name is not ours.
    pub async fn repair(
        &self,
        _alias: &str,
        _cloud_id: &CloudId,
    ) -> Result<Vec<String>, OperatorError> {
        Err(OperatorError::MissingVariables(Vec::new()))
    }

    /// Disables and deletes a partner's objects, its shadow users and projects with them.
    ///
    /// # Errors
    /// If Keystone refuses or fails; may be repeated.
    pub async fn purge(&self, _alias: &str, _cloud_id: &CloudId) -> Result<Purged, OperatorError> {
        Err(OperatorError::MissingVariables(Vec::new()))
    }
}
