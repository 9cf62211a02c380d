//! What is asked of a Keystone before its tokens are believed.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde::Deserialize;

use super::login::Scope;
use super::token::Validation;
use super::{Keystone, KeystoneError};
use crate::transport::Question;

impl Keystone {
    /// The version of the Identity API that answers there, as `v3.14`.
    ///
    /// # Errors
    /// If nobody answers, or something that is no Keystone with version 3.
    pub async fn version(&self, request_id: &str) -> Result<String, KeystoneError> {
        let call = self.call(request_id);
        let question = Question::get([]).request_id(request_id);
        let answer = self.http.ask(question, call.deadline).await?;
        if answer.status != StatusCode::OK {
            return Err(answer.unexpected_status().into());
        }
        let VersionBody { version } = answer.json()?;
        if version.id == "v3" || version.id.starts_with("v3.") {
            Ok(version.id)
        } else {
            Err(answer
                .unexpected(format!("version {:?}", version.id))
                .into())
        }
    }

    /// The roles of the service user on its project, by Keystone's word on the user's own token:
    /// whoever gets them can log in and validate.
    ///
    /// # Errors
    /// If it cannot, or if Keystone does not say.
    pub async fn service_roles(&self, request_id: &str) -> Result<BTreeSet<String>, KeystoneError> {
        self.roles_in(Scope::Project, self.call(request_id)).await
    }

    /// Whether tokens of `other` are valid here too: whether both are one Keystone, or have the
    /// same keys.
    ///
    /// # Errors
    /// If one of the two does not say.
    pub async fn shares_tokens_with(
        &self,
        other: &Keystone,
        request_id: &str,
    ) -> Result<bool, KeystoneError> {
        let theirs = other
            .project
            .token(None, &other.http, &other.settings, other.call(request_id))
            .await?;
        let subject = theirs.header();
        let Ok(token) = subject.to_str() else {
            return Ok(false);
        };
        let answer = self.validate(token, request_id).await?;
        Ok(matches!(answer, Validation::Valid(_)))
    }
}

#[derive(Deserialize)]
struct VersionBody {
    version: VersionJson,
}

#[derive(Deserialize)]
struct VersionJson {
    id: String,
}
