//! People of this cloud who show themselves to the daemon: who logs in, and what they may.

use std::fmt;

use alliance_core::keystone_id::is_id;
use alliance_token::body::{TokenBody, TokenView};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::role::RoleJson;
use super::{Keystone, KeystoneError, UserGrants};
use crate::transport::Question;

/// What somebody types who logs in.
#[derive(Debug)]
pub struct Person<'a> {
    /// The user's name.
    pub username: &'a str,
    /// The name of the user's domain.
    pub user_domain_name: &'a str,
    /// The user's password.
    pub password: &'a SecretString,
}

/// Where a role is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The whole system.
    System,
    /// A project.
    Project {
        /// Its name.
        name: String,
        /// The name of its domain.
        domain_name: String,
    },
}

impl Place {
    fn scope(&self) -> Value {
        match self {
            Self::System => json!({"system": {"all": true}}),
            Self::Project { name, domain_name } => json!({"project": {
                "name": name,
                "domain": {"name": domain_name},
            }}),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("the system"),
            Self::Project { name, domain_name } => {
                write!(f, "project {name} in {domain_name}")
            }
        }
    }
}

impl Keystone {
    /// Logs a person in, and says what the token says; nobody keeps it. `None`: not with these words, or
    /// not there.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn log_in(
        &self,
        person: &Person<'_>,
        place: &Place,
        request_id: &str,
    ) -> Result<Option<TokenView>, KeystoneError> {
        let body = json!({"auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {
                    "name": person.username,
                    "domain": {"name": person.user_domain_name},
                    "password": person.password.expose_secret(),
                }},
            },
            "scope": place.scope(),
        }});
        let question = Question::new(Method::POST, ["auth", "tokens"])
            .query("nocatalog", "1")
            .json(&body)
            .request_id(request_id);
        let answer = self
            .http
            .ask(question, self.call(request_id).deadline)
            .await?;
        match answer.status {
            StatusCode::CREATED => {
                let body: TokenBody = answer.json()?;
                Ok(Some(body.token))
            }
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(None),
            _ => Err(answer.unexpected_status().into()),
        }
    }

    /// Whether a native user is enabled and holds a role now: in the project of this id, else on the
    /// system.
    ///
    /// # Errors
    /// If Keystone does not say.
    pub async fn holds(
        &self,
        user_id: &str,
        role: &str,
        project_id: Option<&str>,
        request_id: &str,
    ) -> Result<bool, KeystoneError> {
        match self.grants(user_id, project_id, request_id).await? {
            UserGrants::None => Ok(false),
            UserGrants::Some(grants) if project_id.is_some() => Ok(grants.roles.contains(role)),
            UserGrants::Some(_) => self.holds_on_system(user_id, role, request_id).await,
        }
    }

    async fn holds_on_system(
        &self,
        user_id: &str,
        role: &str,
        request_id: &str,
    ) -> Result<bool, KeystoneError> {
        if !is_id(user_id) {
            return Ok(false);
        }
        let question = Question::list(["role_assignments"])
            .query("effective", "true")
            .query("include_names", "true")
            .query("user.id", user_id)
            .query("scope.system", "all");
        let found: Option<Assignments> = self.find(question, self.call(request_id)).await?;
        Ok(found.is_some_and(|found| found.names(user_id, role)))
    }
}

#[derive(Deserialize)]
struct Assignments {
    role_assignments: Vec<Assignment>,
}

#[derive(Deserialize)]
struct Assignment {
    role: RoleJson,
    user: Option<Ref>,
    scope: Scope,
}

#[derive(Deserialize)]
struct Scope {
    system: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Ref {
    id: String,
}

impl Assignments {
    fn names(&self, user_id: &str, role: &str) -> bool {
        self.role_assignments.iter().any(|one| {
            one.scope.system.is_some()
                && one.user.as_ref().is_some_and(|user| user.id == user_id)
                && one.role.is_global()
                && one.role.name == role
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_on_the_system_is_not_one_in_a_project() -> Result<(), serde_json::Error> {
        let read = |scope: &str, user: &str| {
            serde_json::from_value::<Assignments>(json!({"role_assignments": [{
                "role": {"id": "1", "name": "admin"},
                "user": {"id": user},
                "scope": {scope: {"all": true}},
            }]}))
        };
        assert!(read("system", "ann")?.names("ann", "admin"));
        assert!(!read("project", "ann")?.names("ann", "admin"));
        assert!(!read("system", "bob")?.names("ann", "admin"));
        assert!(!read("system", "ann")?.names("ann", "reader"));
        Ok(())
    }
}
