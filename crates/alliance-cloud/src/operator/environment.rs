//! The operator's OpenStack environment variables.

use std::collections::HashMap;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::OperatorError;

/// Who the operator is, and where Keystone is.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) auth_url: Url,
    pub(super) identity: Identity,
    /// The file of the authorities to trust.
    pub(super) ca_file: Option<String>,
}

/// How the operator logs in.
#[derive(Debug)]
pub(super) enum Identity {
    /// Not at all: this is the token to use.
    Token(SecretString),
    /// By an application credential, which has its scope.
    ApplicationCredential { id: String, secret: SecretString },
    /// By password.
    Password {
        /// `{"name", "domain"}` or `{"id"}`.
        user: Value,
        password: SecretString,
        /// As Keystone's API has it.
        scope: Value,
    },
}

impl Identity {
    /// The body of the login; none with a token.
    pub(super) fn body(&self) -> Option<Value> {
        match self {
            Identity::Token(_) => None,
            Identity::ApplicationCredential { id, secret } => Some(json!({"auth": {"identity": {
                "methods": ["application_credential"],
                "application_credential": {"id": id, "secret": secret.expose_secret()},
            }}})),
            Identity::Password {
                user,
                password,
                scope,
            } => {
                let mut user = user.clone();
                user["password"] = password.expose_secret().into();
                Some(json!({"auth": {
                    "identity": {"methods": ["password"], "password": {"user": user}},
                    "scope": scope,
                }}))
            }
        }
    }
}

/// Reads, and collects the names of what is missing.
struct Reader {
    variables: HashMap<String, String>,
    missing: Vec<String>,
}

impl Environment {
    pub(super) fn read(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, OperatorError> {
        let mut reader = Reader {
            variables: variables
                .into_iter()
                .filter(|(name, value)| name.starts_with("OS_") && !value.is_empty())
                .collect(),
            missing: Vec::new(),
        };
        let auth_url = reader.need("OS_AUTH_URL", "");
        let identity = reader.identity()?;
        if !reader.missing.is_empty() {
            return Err(OperatorError::MissingVariables(reader.missing));
        }
        Ok(Self {
            auth_url: auth_url.parse().map_err(|_| OperatorError::WrongVariable {
                name: "OS_AUTH_URL",
                reason: format!("expected the URL of a Keystone, found {auth_url:?}"),
            })?,
            identity,
            ca_file: reader.take("OS_CACERT"),
        })
    }
}

impl Reader {
    fn take(&mut self, name: &str) -> Option<String> {
        self.variables.remove(name)
    }

    fn need(&mut self, name: &str, instead: &str) -> String {
        self.take(name).unwrap_or_else(|| {
            self.missing.push(format!("{name}{instead}"));
            String::new()
        })
    }

    fn identity(&mut self) -> Result<Identity, OperatorError> {
        if let Some(id) = self.take("OS_APPLICATION_CREDENTIAL_ID") {
            let secret = self.need("OS_APPLICATION_CREDENTIAL_SECRET", "").into();
            return Ok(Identity::ApplicationCredential { id, secret });
        }
        if let Some(token) = self.take("OS_TOKEN") {
            return Ok(Identity::Token(token.into()));
        }
        let user = self.named("OS_USER_ID", "OS_USERNAME", "OS_USER_DOMAIN", "");
        let password = self.need("OS_PASSWORD", "").into();
        Ok(Identity::Password {
            user,
            password,
            scope: self.scope()?,
        })
    }

    fn scope(&mut self) -> Result<Value, OperatorError> {
        match self.take("OS_SYSTEM_SCOPE").as_deref() {
            Some("all") => Ok(json!({"system": {"all": true}})),
            Some(other) => Err(OperatorError::WrongVariable {
                name: "OS_SYSTEM_SCOPE",
                reason: format!("expected all, found {other:?}"),
            }),
            None => {
                let instead = ", or OS_SYSTEM_SCOPE=all";
                let project = self.named(
                    "OS_PROJECT_ID",
                    "OS_PROJECT_NAME",
                    "OS_PROJECT_DOMAIN",
                    instead,
                );
                Ok(json!({"project": project}))
            }
        }
    }

    /// By id, or by name within a domain.
    fn named(&mut self, id: &str, name: &str, domain: &str, instead: &str) -> Value {
        if let Some(id) = self.take(id) {
            return json!({"id": id});
        }
        let name = self.need(name, &format!(" (or {id}{instead})"));
        if name.is_empty() {
            // Which domain does not matter yet.
            return Value::Null;
        }
        let domain = match self.take(&format!("{domain}_ID")) {
            Some(id) => json!({"id": id}),
            None => {
                json!({"name": self.need(&format!("{domain}_NAME"), &format!(" (or {domain}_ID)"))})
            }
        };
        json!({"name": name, "domain": domain})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, OperatorError> {
        Environment::read(
            variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    #[test]
    fn everything_that_is_missing_is_named_at_once() {
        let error =
            read(&[("OS_USERNAME", "admin"), ("OS_PASSWORD", ""), ("HOME", "/")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment lacks OS_AUTH_URL, OS_USER_DOMAIN_NAME (or OS_USER_DOMAIN_ID), OS_PASSWORD, \
             OS_PROJECT_NAME (or OS_PROJECT_ID, or OS_SYSTEM_SCOPE=all); \
             load your OpenStack credentials first (an openrc file; clouds.yaml is not read)"
        );
    }

    #[test]
    fn the_ways_to_log_in() {
        let base = ("OS_AUTH_URL", "http://k/v3");
        let admin = [
            base,
            ("OS_USERNAME", "admin"),
            ("OS_PASSWORD", "secret"),
            ("OS_USER_DOMAIN_ID", "default"),
            ("OS_PROJECT_NAME", "admin"),
            ("OS_PROJECT_DOMAIN_NAME", "Default"),
        ];
        let project = read(&admin).unwrap();
        assert_eq!(
            project.identity.body(),
            Some(json!({"auth": {
                "identity": {"methods": ["password"], "password": {"user":
                    {"name": "admin", "domain": {"id": "default"}, "password": "secret"}}},
                "scope": {"project": {"name": "admin", "domain": {"name": "Default"}}},
            }}))
        );
        assert!(!format!("{project:?}").contains("secret\""));
        let mut system = admin.to_vec();
        system.push(("OS_SYSTEM_SCOPE", "all"));
        let system = read(&system).unwrap().identity.body().unwrap();
        assert_eq!(system["auth"]["scope"], json!({"system": {"all": true}}));
        let token = read(&[base, ("OS_TOKEN", "t")]).unwrap();
        assert!(token.identity.body().is_none());
        let credential = [base, ("OS_APPLICATION_CREDENTIAL_ID", "a")];
        assert_eq!(
            read(&credential).unwrap_err(),
            OperatorError::MissingVariables(vec!["OS_APPLICATION_CREDENTIAL_SECRET".to_owned()])
        );
    }
}
