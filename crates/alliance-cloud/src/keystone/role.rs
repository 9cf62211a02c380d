//! Roles that exist, and those of the daemon's own user.

use std::collections::BTreeSet;

use super::{Keystone, KeystoneError};

/// A role of the daemon's own user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRole {
    /// Its name.
    pub name: String,
    /// Where it holds, in words.
    pub scope: String,
}

impl Keystone {
    /// Those of `names` that are no role here. Roles of a single domain do not count.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn roles_missing(
        &self,
        _names: &BTreeSet<String>,
        _request_id: &str,
    ) -> Result<BTreeSet<String>, KeystoneError> {
        self.unwritten()
    }

    /// All roles that the daemon's user holds on its project and on the system.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn own_roles(&self, _request_id: &str) -> Result<Vec<OwnRole>, KeystoneError> {
        self.unwritten()
    }
}
