//! Tokens: whether they are valid, the doorbell, and revoking them.

use std::collections::BTreeSet;

use alliance_core::admission::HomeView;
use alliance_core::statement::{HomeUser, Named, Project};
use jiff::Timestamp;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::login::{AUTH_TOKEN, SUBJECT_TOKEN, Scope};
use super::role::{RoleJson, names};
use super::{Call, Keystone, KeystoneError};
use crate::transport::{Answer, Question};

/// With it Keystone also shows tokens of application credentials that are limited to some
/// requests. The daemon does not honour the limits; it refuses all such tokens, and says why.
const ACCESS_RULES: HeaderName = HeaderName::from_static("openstack-identity-access-rules");

/// Keystone's word about a token.
#[derive(Debug, Clone, PartialEq)]
pub enum Validation {
    /// Valid, or expired within `[token] allow_expired_window`.
    Valid(Box<TokenView>),
    /// Unknown, expired, revoked, or of somebody or something that is disabled.
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
    /// Its own, and that of the chain's root if it has one.
    pub audit_ids: Vec<String>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires, or did.
    pub expires_at: Timestamp,
    view: HomeView,
}

impl TokenView {
    /// What decides whether it may leave home. `guest` is set for users that Keystone calls
    /// federated; whether their domain is that of a partner is for the caller to add.
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
        token: &str,
        request_id: &str,
    ) -> Result<Validation, KeystoneError> {
        let Some(subject) = secret(token) else {
            return Ok(Validation::Unknown);
        };
        let answer = self.look_up(subject, self.call(request_id)).await?;
        match answer.status {
            StatusCode::OK => {
                let body: TokenBody = answer.json()?;
                Ok(Validation::Valid(Box::new(body.token.into())))
            }
            _ if answer.is_not_found() => Ok(Validation::Unknown),
            // A token whose trust no longer holds, in contrast to a right that we lack: there,
            // Keystone names the action.
            StatusCode::FORBIDDEN
                if answer
                    .said()
                    .is_some_and(|said| !said.contains("identity:validate_token")) =>
            {
                Ok(Validation::Unknown)
            }
            _ => Err(self.refused(Scope::Project, &answer)),
        }
    }

    /// Rings the doorbell: looks up `secret` as if it were a token. Keystone's answer to a
    /// doorbell is always that there is no such token.
    ///
    /// # Errors
    /// If Keystone gave another answer, or none.
    pub async fn ring(&self, secret: &str, request_id: &str) -> Result<(), KeystoneError> {
        let answer = match self::secret(secret) {
            Some(subject) => self.look_up(subject, self.call(request_id)).await?,
            None => return Ok(()),
        };
        if answer.is_not_found() {
            Ok(())
        } else {
            Err(self.refused(Scope::Project, &answer))
        }
    }

    /// Revokes a token by its own right, and those made from it. Fine also if it is no longer
    /// valid.
    ///
    /// # Errors
    /// If it may still be valid. [`KeystoneError::Expired`] if it is so for running work only.
    pub async fn revoke_with_itself(
        &self,
        token: &str,
        request_id: &str,
    ) -> Result<(), KeystoneError> {
        let Some(subject) = secret(token) else {
            return Ok(());
        };
        let call = self.call(request_id);
        let question = Question::new(Method::DELETE, ["auth", "tokens"])
            .header(AUTH_TOKEN, subject.clone())
            .header(SUBJECT_TOKEN, subject.clone())
            .request_id(request_id);
        let answer = self.http.ask(question, call.deadline).await?;
        match answer.status {
            StatusCode::NO_CONTENT => Ok(()),
            _ if answer.is_not_found() => Ok(()),
            StatusCode::UNAUTHORIZED => {
                let seen = self.look_up(subject, call).await?;
                match seen.status {
                    StatusCode::OK => Err(KeystoneError::Expired),
                    _ if seen.is_not_found() => Ok(()),
                    _ => Err(self.refused(Scope::Project, &seen)),
                }
            }
            _ => Err(answer.unexpected_status().into()),
        }
    }

    async fn look_up(&self, subject: HeaderValue, call: Call<'_>) -> Result<Answer, KeystoneError> {
        let question = Question::get(["auth", "tokens"])
            .query("allow_expired", "1")
            .query("nocatalog", "1")
            .header(SUBJECT_TOKEN, subject)
            .header(ACCESS_RULES, HeaderValue::from_static("1.0"));
        self.ask(Scope::Project, question, call).await
    }

    /// The names of the roles that the daemon's user holds in a scope now.
    pub(super) async fn roles_in(
        &self,
        scope: Scope,
        call: Call<'_>,
    ) -> Result<BTreeSet<String>, KeystoneError> {
        let login = match scope {
            Scope::Project => &self.project,
            Scope::System => &self.system,
        };
        let own = login.token(None, &self.http, &self.settings, call).await?;
        let question = Question::get(["auth", "tokens"])
            .query("nocatalog", "1")
            .header(SUBJECT_TOKEN, own.header());
        let answer = self.ask(scope, question, call).await?;
        if answer.status != StatusCode::OK {
            return Err(self.refused(scope, &answer));
        }
        let body: TokenBody = answer.json()?;
        Ok(names(&body.token.roles))
    }
}

/// As a header; none if it is no token, since it could not be one.
fn secret(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(token).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// `{"token": …}` of `/v3/auth/tokens`.
#[derive(Deserialize)]
pub(super) struct TokenBody {
    pub(super) token: TokenJson,
}

#[derive(Deserialize)]
pub(super) struct TokenJson {
    user: UserJson,
    project: Option<Project>,
    #[serde(default)]
    is_domain: bool,
    domain: Option<IgnoredAny>,
    system: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) roles: Vec<RoleJson>,
    methods: Vec<String>,
    audit_ids: Vec<String>,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
    #[serde(rename = "OS-TRUST:trust")]
    trust: Option<IgnoredAny>,
    #[serde(rename = "OS-OAUTH1")]
    oauth1: Option<IgnoredAny>,
    oauth2_credential: Option<IgnoredAny>,
    application_credential: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct UserJson {
    id: String,
    name: String,
    domain: Named,
    #[serde(rename = "OS-FEDERATION")]
    federation: Option<IgnoredAny>,
}

impl From<TokenJson> for TokenView {
    fn from(token: TokenJson) -> Self {
        Self {
            view: HomeView {
                system_scope: token.system.is_some(),
                // A project that acts as a domain is one.
                domain_scope: token.domain.is_some() || token.is_domain,
                trust: token.trust.is_some(),
                oauth: token.oauth1.is_some() || token.oauth2_credential.is_some(),
                application_credential: token.application_credential.is_some(),
                guest: token.user.federation.is_some(),
                methods: token.methods.clone(),
            },
            roles: names(&token.roles),
            user: HomeUser {
                id: token.user.id,
                name: token.user.name,
                domain: token.user.domain,
            },
            project: token.project,
            methods: token.methods,
            audit_ids: token.audit_ids,
            issued_at: token.issued_at,
            expires_at: token.expires_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(json: &str) -> TokenView {
        serde_json::from_str::<TokenBody>(json)
            .unwrap()
            .token
            .into()
    }

    fn plain() -> HomeView {
        HomeView {
            methods: vec!["password".to_owned()],
            ..HomeView::default()
        }
    }

    #[test]
    fn a_users_token_for_a_project_tells_who_and_where() {
        let view = view(include_str!("fixtures/token-project.json"));
        assert_eq!(view.user.name, "ann");
        assert_eq!(view.user.domain.name, "Default");
        let project = view.project.as_ref().unwrap();
        assert_eq!(
            (project.name.as_str(), project.domain.id.as_str()),
            ("science", "default")
        );
        assert_eq!(
            view.roles,
            ["member".to_owned(), "reader".to_owned()].into()
        );
        assert_eq!(view.audit_ids.len(), 1);
        assert!(view.expires_at > view.issued_at);
        assert_eq!(view.home_view(), plain());
    }

    #[test]
    fn an_unscoped_token_has_no_project_and_no_roles() {
        let view = view(include_str!("fixtures/token-unscoped.json"));
        assert_eq!((&view.project, view.roles.len()), (&None, 0));
        assert_eq!(view.home_view(), plain());
    }

    #[test]
    fn what_may_not_leave_is_seen() {
        let system = view(include_str!("fixtures/token-system.json"));
        assert_eq!(
            system.home_view(),
            HomeView {
                system_scope: true,
                ..plain()
            }
        );
        assert!(system.roles.contains("admin"));
        let trust = view(include_str!("fixtures/token-trust.json"));
        assert_eq!(
            trust.home_view(),
            HomeView {
                trust: true,
                ..plain()
            }
        );
        assert_eq!(trust.user.name, "ann");
        let credential = view(include_str!("fixtures/token-application-credential.json"));
        let home = credential.home_view();
        assert!(home.application_credential);
        assert_eq!(home.methods, ["application_credential"]);
    }

    #[test]
    fn rarer_kinds_are_seen_by_the_names_of_keystones_source() {
        let with = |in_user: &str, in_token: &str| {
            view(&format!(
                r#"{{"token": {{
                    "user": {{"id": "u", "name": "n", "domain": {{"id": "d", "name": "D"}}{in_user}}},
                    "methods": ["password"], "audit_ids": ["a"],
                    "issued_at": "2026-11-24T22:00:00.000000Z",
                    "expires_at": "2026-11-24T23:00:00.000000Z"{in_token}}}}}"#
            ))
            .home_view()
        };
        assert_eq!(with("", ""), plain());
        assert!(with("", r#", "domain": {"id": "d", "name": "D"}"#).domain_scope);
        assert!(with("", r#", "is_domain": true"#).domain_scope);
        assert!(
            with(
                "",
                r#", "OS-OAUTH1": {"access_token_id": "a", "consumer_id": "c"}"#
            )
            .oauth
        );
        assert!(with("", r#", "oauth2_credential": {"x5t#S256": "t"}"#).oauth);
        assert!(with(r#", "OS-FEDERATION": {"groups": []}"#, "").guest);
    }
}
