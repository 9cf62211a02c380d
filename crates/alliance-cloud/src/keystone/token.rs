//! Tokens: whether they are valid, the doorbell, and revoking them.

use std::collections::BTreeSet;

use alliance_core::admission::HomeView;
use alliance_core::statement::{HomeUser, Project};
use jiff::Timestamp;

use super::{Keystone, KeystoneError};

/// Keystone's word about a token.
#[derive(Debug, Clone, PartialEq)]
pub enum Validation {
    /// Valid, or expired within `[token] allow_expired_window`.
    Valid(Box<TokenView>),
    /// Unknown, expired, revoked, or of somebody or something disabled.
    Unknown,
}

/// What Keystone knows of a valid token.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenView {
    /// Whose it is.
    pub user: HomeUser,
    /// The project, none if unscoped or scoped to something else.
    pub project: Option<Project>,
    /// Role names in its scope, implied ones included.
    pub roles: BTreeSet<String>,
    /// Authentication methods.
    pub methods: Vec<String>,
    /// Own, and that of the chain's root.
    pub audit_ids: Vec<String>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires, or did.
    pub expires_at: Timestamp,
    view: HomeView,
}

impl TokenView {
    /// What decides whether it may leave home.
    pub fn home_view(&self) -> HomeView {
        self.view.clone()
    }
}

impl Keystone {
    /// Asks whether a token is valid; one that expired within `[token] allow_expired_window` is.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn validate(
        &self,
        _token: &str,
        _request_id: &str,
    ) -> Result<Validation, KeystoneError> {
        self.unwritten()
    }

    /// Rings the doorbell: looks up `secret` as if it were a token. Keystone's answer to a
    /// doorbell is always that there is no such token.
    ///
    /// # Errors
    /// If Keystone gave any other answer, or none.
    pub async fn ring(&self, _secret: &str, _request_id: &str) -> Result<(), KeystoneError> {
        self.unwritten()
    }

    /// Revokes a token by its own right. Fine also if it is no longer valid.
    ///
    /// # Errors
    /// If the token may still be valid.
    pub async fn revoke_with_itself(
        &self,
        _token: &str,
        _request_id: &str,
    ) -> Result<(), KeystoneError> {
        self.unwritten()
    }
}
