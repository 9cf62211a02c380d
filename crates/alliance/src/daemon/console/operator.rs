//! Who may come in: a native user of this cloud who holds the role that the configuration names.

use alliance_cloud::keystone::{KeystoneError, Person, Place, Validation};
use alliance_core::Seconds;
use alliance_core::label::clean;
use alliance_peer::request_id::RequestId;
use alliance_token::body::TokenView;
use secrecy::{ExposeSecret, SecretString};

use crate::config;
use crate::daemon::Daemon;
use crate::daemon::clock::now;

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Operator {
    user_id: String,
    /// Where the role holds: a project's id, or the system.
    project_id: Option<String>,
    /// Name and domain, for the screen and for the record of who did what.
    pub name: String,
}

/// Why somebody is not let in. Says nothing that who logs in does not know.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("Keystone knows no such user, or not with this password, or not there.")]
    Unknown,
    #[error("Keystone knows no such token, or it has expired.")]
    NoToken,
    #[error("That is a guest: only native users of this cloud are let in.")]
    Guest,
    #[error(
        "That token was made by an application credential, a trust or OAuth: log in with a password, or with a token of a login."
    )]
    Delegated,
    #[error("That needs role {role} on the system, or on project {project} in {domain}.")]
    Role {
        role: String,
        project: String,
        domain: String,
    },
    #[error("Keystone does not answer: {0}")]
    Silent(#[from] KeystoneError),
}

impl Refused {
    /// Whether what was shown may have been guessed, and not only be too little.
    pub(super) fn is_guess(&self) -> bool {
        matches!(self, Self::Unknown | Self::NoToken)
    }
}

/// What somebody shows.
pub(super) enum Credentials {
    Password {
        username: String,
        domain: String,
        password: SecretString,
        system: bool,
    },
    Token(SecretString),
}

impl Daemon {
    /// Lets somebody into the console.
    pub(super) async fn admit(&self, shown: &Credentials) -> Result<Operator, Refused> {
        let settings = &self.config.console;
        let request_id = RequestId::random().to_string();
        let view = match shown {
            Credentials::Password {
                username,
                domain,
                password,
                system,
            } => {
                let place = if *system {
                    Place::System
                } else {
                    Place::Project {
                        name: settings.project_name.clone(),
                        domain_name: settings.project_domain_name.clone(),
                    }
                };
                let person = Person {
                    username,
                    user_domain_name: domain,
                    password,
                };
                let found = self.keystone.log_in(&person, &place, &request_id).await?;
                found.ok_or(Refused::Unknown)?
            }
            Credentials::Token(token) => {
                match self
                    .keystone
                    .validate(token.expose_secret(), &request_id)
                    .await?
                {
                    Validation::Valid(view) => *view,
                    Validation::Unknown => return Err(Refused::NoToken),
                }
            }
        };
        let operator = admit(
            &view,
            settings,
            |id| self.directory.is_guest_domain(id),
            now(),
        )?;
        // Keystone's own word about the user: a token may have outlived a role.
        match self.holds_role(&operator).await? {
            true => Ok(operator),
            false => Err(role_is_missing(settings)),
        }
    }

    /// Whether an operator still is one.
    pub(super) async fn holds_role(&self, operator: &Operator) -> Result<bool, KeystoneError> {
        let role = &self.config.console.role;
        let project_id = operator.project_id.as_deref();
        let request_id = RequestId::random().to_string();
        let holds = self
            .keystone
            .holds(&operator.user_id, role, project_id, &request_id);
        holds.await
    }
}

fn admit(
    view: &TokenView,
    settings: &config::Console,
    is_guest_domain: impl Fn(&str) -> bool,
    at: Seconds,
) -> Result<Operator, Refused> {
    let scope = view.home_view();
    if view.expires_at.as_second() <= at {
        return Err(Refused::NoToken);
    }
    if scope.guest || is_guest_domain(&view.user.domain.id) {
        return Err(Refused::Guest);
    }
    if scope.trust || scope.oauth || scope.application_credential {
        return Err(Refused::Delegated);
    }
    let project = view.project.as_ref().filter(|project| {
        !scope.domain_scope
            && project.name == settings.project_name
            && project.domain.name == settings.project_domain_name
    });
    let is_there = scope.system_scope || project.is_some();
    if !is_there || !view.roles.contains(&settings.role) {
        return Err(role_is_missing(settings));
    }
    Ok(Operator {
        user_id: view.user.id.clone(),
        project_id: project.map(|project| project.id.clone()),
        name: format!(
            "{} in {}",
            clean(&view.user.name, 64),
            clean(&view.user.domain.name, 64)
        ),
    })
}

fn role_is_missing(settings: &config::Console) -> Refused {
    Refused::Role {
        role: settings.role.clone(),
        project: settings.project_name.clone(),
        domain: settings.project_domain_name.clone(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use alliance_token::body::TokenBody;
    use serde_json::{Value, json};

    use super::*;

    pub(in crate::daemon::console) fn ann() -> Operator {
        Operator {
            user_id: "a1".repeat(16),
            project_id: None,
            name: "ann in Default".to_owned(),
        }
    }

    fn settings() -> config::Console {
        config::Console {
            listen: None,
            certificate: None,
            key: None,
            role: "admin".to_owned(),
            project_name: "admin".to_owned(),
            project_domain_name: "Default".to_owned(),
        }
    }

    /// A token of ann's on project admin, but for what `change` says.
    fn admitted(change: Value) -> Result<Operator, String> {
        let domain = json!({"id": "default", "name": "Default"});
        let mut token = json!({
            "user": {"id": "a1".repeat(16), "name": "ann", "domain": domain},
            "project": {"id": "p", "name": "admin", "domain": domain},
            "roles": [{"id": "r", "name": "admin"}, {"id": "m", "name": "member"}],
            "methods": ["password"],
            "audit_ids": ["one"],
            "issued_at": "1970-01-01T00:01:00Z",
            "expires_at": "1970-01-01T01:00:00Z",
        });
        if let (Some(token), Some(change)) = (token.as_object_mut(), change.as_object()) {
            token.extend(change.clone());
            token.retain(|_, value| !value.is_null());
        }
        let body: TokenBody =
            serde_json::from_value(json!({ "token": token })).map_err(|error| error.to_string())?;
        let admitted = admit(&body.token, &settings(), |id| id == "of-west", 3599);
        admitted.map_err(|refused| refused.to_string())
    }

    fn refusal(change: Value) -> String {
        admitted(change).map_or_else(|why| why, |_| "let in".to_owned())
    }

    #[test]
    fn the_role_counts_on_the_project_that_is_named_and_on_the_system() {
        let there = admitted(json!({}));
        assert_eq!(
            there.as_ref().map(|ann| ann.project_id.as_deref()),
            Ok(Some("p"))
        );
        assert_eq!(there.map(|ann| ann.name), Ok("ann in Default".to_owned()));
        let system = admitted(json!({"project": null, "system": {"all": true}}));
        assert_eq!(system.map(|ann| ann.project_id), Ok(None));

        let other = |name: &str, domain: &str| json!({"project": {"id": "p", "name": name, "domain": {"id": "x", "name": domain}}});
        for change in [
            json!({"roles": [{"id": "m", "name": "member"}]}),
            json!({"project": null}),
            other("science", "Default"),
            other("admin", "Other"),
            json!({"project": null, "domain": {"id": "default", "name": "Default"}}),
        ] {
            let why = refusal(change.clone());
            assert!(why.starts_with("That needs role admin"), "{change}: {why}");
        }
    }

    #[test]
    fn no_guest_comes_in_whatever_its_roles() {
        let of_west = json!({"id": "of-west", "name": "west"});
        for user in [
            json!({"id": "a", "name": "ann", "domain": of_west}),
            json!({"id": "a", "name": "ann", "domain": {"id": "default", "name": "Default"}, "OS-FEDERATION": {}}),
        ] {
            let why = refusal(json!({ "user": user }));
            assert!(why.starts_with("That is a guest"), "{why}");
        }
    }

    #[test]
    fn what_was_made_from_a_login_is_none() {
        for change in [
            json!({"OS-TRUST:trust": {"id": "t"}}),
            json!({"OS-OAUTH1": {"consumer_id": "c"}}),
            json!({"application_credential": {"id": "c"}}),
        ] {
            let why = refusal(change.clone());
            assert!(why.starts_with("That token was made by"), "{change}: {why}");
        }
        // Keystone shows tokens that have expired a while ago.
        let why = refusal(json!({"expires_at": "1970-01-01T00:59:59Z"}));
        assert!(why.contains("expired"), "{why}");
    }
}
