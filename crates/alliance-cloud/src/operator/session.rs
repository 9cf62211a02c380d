//! Asking Keystone as the operator.

use std::fmt;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::OperatorError;
use super::environment::{Environment, Identity};
use crate::keystone::AUTH_TOKEN;
use crate::transport::{Answer, Deadline, Http, Question};

/// How long each request may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How long a deletion may take: a domain goes with all its users and projects.
const DELETION: Duration = Duration::from_secs(600);

const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");

/// The operator, logged in when first needed.
pub(super) struct Session {
    http: Http,
    identity: Identity,
    token: OnceCell<HeaderValue>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("http", &self.http)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(environment: Environment) -> Result<Self, OperatorError> {
        let authorities = environment.ca_file.map(std::fs::read).transpose();
        let authorities = authorities.map_err(|error| OperatorError::WrongVariable {
            name: "OS_CACERT",
            reason: format!("the file cannot be read: {error}"),
        })?;
        Ok(Self {
            http: Http::new(&environment.auth_url, authorities.as_deref())?,
            identity: environment.identity,
            token: OnceCell::new(),
        })
    }

    /// Reads one thing, none if there is no such thing.
    pub(super) async fn find<T: DeserializeOwned>(
        &self,
        path: &[&str],
    ) -> Result<Option<T>, OperatorError> {
        let answer = self.ask(Question::get(path.iter().copied()), LIMIT).await?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer.json()?)),
            _ if answer.is_not_found() => Ok(None),
            _ => Err(refused(&answer)),
        }
    }

    /// Reads a list.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: Option<(&str, &str)>,
    ) -> Result<T, OperatorError> {
        let mut question = Question::list(path.iter().copied());
        if let Some((name, value)) = query {
            question = question.query(name, value);
        }
        let answer = self.ask(question, LIMIT).await?;
        match answer.status {
            StatusCode::OK => Ok(answer.json()?),
            _ => Err(refused(&answer)),
        }
    }

    /// Creates a thing; false if there is one of that name already.
    pub(super) async fn create(
        &self,
        method: Method,
        path: &[&str],
        body: &Value,
    ) -> Result<bool, OperatorError> {
        let question = Question::new(method, path.iter().copied()).json(body);
        let answer = self.ask(question, LIMIT).await?;
        match answer.status {
            StatusCode::CREATED => Ok(true),
            StatusCode::CONFLICT => Ok(false),
            _ => Err(refused(&answer)),
        }
    }

    /// Changes a thing; false if there is no such thing.
    pub(super) async fn change(&self, path: &[&str], body: &Value) -> Result<bool, OperatorError> {
        let question = Question::new(Method::PATCH, path.iter().copied()).json(body);
        let answer = self.ask(question, LIMIT).await?;
        match answer.status {
            StatusCode::OK => Ok(true),
            _ if answer.is_not_found() => Ok(false),
            _ => Err(refused(&answer)),
        }
    }

    /// Deletes a thing; false if there was no such thing.
    pub(super) async fn delete(&self, path: &[&str]) -> Result<bool, OperatorError> {
        let question = Question::new(Method::DELETE, path.iter().copied());
        let answer = self.ask(question, DELETION).await?;
        match answer.status {
            StatusCode::NO_CONTENT => Ok(true),
            _ if answer.is_not_found() => Ok(false),
            _ => Err(refused(&answer)),
        }
    }

    async fn ask(&self, question: Question<'_>, limit: Duration) -> Result<Answer, OperatorError> {
        let token = self.token.get_or_try_init(|| self.log_in()).await?;
        let question = question.header(AUTH_TOKEN, token.clone());
        Ok(self.http.ask(question, Deadline::after(limit)).await?)
    }

    async fn log_in(&self) -> Result<HeaderValue, OperatorError> {
        let mut token =
            match (&self.identity, self.identity.body()) {
                (Identity::Token(token), _) => HeaderValue::from_str(token.expose_secret())
                    .map_err(|_| OperatorError::WrongVariable {
                        name: "OS_TOKEN",
                        reason: "this is no token".to_owned(),
                    })?,
                (_, body) => {
                    let question = Question::new(Method::POST, ["auth", "tokens"])
                        .query("nocatalog", "1")
                        .json(&body.unwrap_or_default());
                    let answer = self.http.ask(question, Deadline::after(LIMIT)).await?;
                    if answer.status != StatusCode::CREATED {
                        return Err(refused(&answer));
                    }
                    let header = answer.headers.get(&SUBJECT_TOKEN);
                    header
                        .cloned()
                        .ok_or_else(|| answer.unexpected("no X-Subject-Token".to_owned()))?
                }
            };
        token.set_sensitive(true);
        Ok(token)
    }
}

fn refused(answer: &Answer) -> OperatorError {
    let said = || answer.said().unwrap_or_else(|| answer.status.to_string());
    match answer.status {
        StatusCode::UNAUTHORIZED => OperatorError::WrongCredentials { said: said() },
        StatusCode::FORBIDDEN => OperatorError::Forbidden {
            request: answer.request().to_owned(),
            said: said(),
        },
        _ => answer.unexpected_status().into(),
    }
}
