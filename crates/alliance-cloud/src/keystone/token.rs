//! Tokens: whether they are valid, the doorbell, and revoking them.

use std::collections::BTreeSet;

use alliance_token::body::{TokenBody, TokenView};
use jiff::Timestamp;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};

use super::login::{AUTH_TOKEN, OwnToken, SUBJECT_TOKEN, Scope};
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
                Ok(Validation::Valid(Box::new(body.token)))
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
        Ok(self.own_view(scope, call).await?.roles)
    }

    /// What the daemon's own token for a scope says now.
    pub(super) async fn own_view(
        &self,
        scope: Scope,
        call: Call<'_>,
    ) -> Result<TokenView, KeystoneError> {
        let login = match scope {
            Scope::Project => &self.project,
            Scope::System => &self.system,
        };
        let own = login.token(None, &self.http, &self.settings, call).await?;
        let about = |own: &OwnToken| {
            Question::get(["auth", "tokens"])
                .query("nocatalog", "1")
                .header(SUBJECT_TOKEN, own.header())
        };
        let sent = Timestamp::now();
        let mut answer = self.ask(scope, about(&own), call).await?;
        self.look_at_clock(sent, &answer);
        if answer.is_not_found() {
            // Keystone looks for the token in question before it looks at who asks: ours has ended.
            let next = login.token(Some(&own), &self.http, &self.settings, call);
            answer = self.ask(scope, about(&*next.await?), call).await?;
        }
        if answer.status != StatusCode::OK {
            return Err(self.refused(scope, &answer));
        }
        let body: TokenBody = answer.json()?;
        Ok(body.token)
    }
}

/// As a header; none if it is no token, since it could not be one.
fn secret(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(token).ok()?;
    value.set_sensitive(true);
    Some(value)
}
