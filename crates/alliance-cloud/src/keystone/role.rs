//! Roles that exist, and those of the daemon's own user.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::login::Scope;
use super::{Keystone, KeystoneError};
use crate::transport::Question;

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
        names: &BTreeSet<String>,
        request_id: &str,
    ) -> Result<BTreeSet<String>, KeystoneError> {
        let call = self.call(request_id);
        let mut missing = BTreeSet::new();
        for name in names {
            let question = Question::list(["roles"]).query("name", name);
            let found: Roles = self.list(question, call).await?;
            if !found
                .roles
                .iter()
                .any(|role| role.name == *name && role.is_global())
            {
                missing.insert(name.clone());
            }
        }
        Ok(missing)
    }

    /// All roles that the daemon's user holds on its project and on the system now.
    ///
    /// # Errors
    /// If Keystone does not say, or if one of the two roles that it needs is missing.
    pub async fn own_roles(&self, request_id: &str) -> Result<Vec<OwnRole>, KeystoneError> {
        let call = self.call(request_id);
        let mut own = Vec::new();
        for scope in [Scope::Project, Scope::System] {
            let names = self.roles_in(scope, call).await?;
            own.extend(names.into_iter().map(|name| OwnRole {
                name,
                scope: scope.describe(&self.settings),
            }));
        }
        Ok(own)
    }
}

#[derive(Deserialize)]
struct Roles {
    roles: Vec<RoleJson>,
}

/// A role as Keystone shows it.
#[derive(Deserialize)]
pub(super) struct RoleJson {
    pub(super) name: String,
    /// In lists of roles.
    domain_id: Option<IgnoredAny>,
    /// In lists of assignments.
    domain: Option<IgnoredAny>,
}

impl RoleJson {
    /// Whether it is of no single domain.
    pub(super) fn is_global(&self) -> bool {
        self.domain_id.is_none() && self.domain.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_roles_read() {
        let found: Roles = serde_json::from_str(include_str!("fixtures/roles.json")).unwrap();
        assert!(
            found
                .roles
                .iter()
                .any(|role| role.name == "member" && role.is_global())
        );
    }

    #[test]
    fn a_role_of_one_domain_is_not_global() {
        let role: RoleJson =
            serde_json::from_str(r#"{"id": "1", "name": "member", "domain_id": "d"}"#).unwrap();
        assert!(!role.is_global());
    }
}
