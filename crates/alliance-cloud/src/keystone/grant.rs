//! Which roles a user has.

use alliance_core::statement::Grants;

use super::{Keystone, KeystoneError};

/// Keystone's word about a user.
#[expect(clippy::large_enum_variant, reason = "made once per question and taken apart at once")]
#[derive(Debug, Clone, PartialEq)]
pub enum UserGrants {
    /// The user is native and enabled, and holds roles in the project if one was asked about.
    Some(Grants),
    /// There is no such user or project, one of them or its domain is disabled, the user is
    /// federated, or holds no role there.
    None,
}

impl Keystone {
    /// The roles of a user in a project, implied and inherited ones and those of groups included.
    /// Without a project: only the user, no roles.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn grants(
        &self,
        _user_id: &str,
        _project_id: Option<&str>,
        _request_id: &str,
    ) -> Result<UserGrants, KeystoneError> {
        self.unwritten()
    }
}
