//! A partner that is a plain Keystone: how it is asked.

use std::time::Duration;

use alliance_cloud::keystone::{self, Keystone, KeystoneError, Password, Reads};
use alliance_core::partner::KeystoneAccess;
use alliance_core::refusal::Reason;
use alliance_peer::client::guard::{Guard, NoAnswer};
use tokio::time::timeout;

/// How long a request to a partner's Keystone may take, logging in included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a question may take that somebody's request in our Keystone waits for: the plugin gives
/// up after 2 s. A login that was begun goes on for the next.
const QUESTION: Duration = Duration::from_millis(1700);

/// A partner's Keystone, as its service user asks it.
pub(crate) struct PlainKeystone {
    /// What is asked.
    pub keystone: Keystone,
    /// As our operator described it.
    pub access: KeystoneAccess,
    guard: Guard,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// Keystone's own error.
    #[error(transparent)]
    Keystone(#[from] KeystoneError),
    /// Too slow.
    #[error("no answer within {} s", QUESTION.as_secs_f32())]
    Slow,
    /// Not asked.
    #[error("not asked for another {} ms, since it did not answer before: {last}", pause.as_millis())]
    Paused {
        /// How long not.
        pause: Duration,
        /// The last failure.
        last: String,
    },
}

impl NoAnswer for Unanswered {
    fn is_answer(&self) -> bool {
        matches!(self, Self::Keystone(error) if !error.is_silence())
    }

    fn paused(pause: Duration, last: String) -> Self {
        Self::Paused { pause, last }
    }
}

impl Unanswered {
    /// The reason code for a question that ended like this. It stays open.
    pub(crate) fn reason(&self) -> Reason {
        if self.is_answer() {
            Reason::HomeError
        } else {
            Reason::Unreachable
        }
    }
}

impl PlainKeystone {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub(crate) fn new(access: KeystoneAccess) -> Result<Self, KeystoneError> {
        let keystone = Keystone::new(keystone::Settings {
            auth_url: access.auth_url.as_url().clone(),
            ca_file: access.ca_file.clone(),
            username: access.username.clone(),
            password: Password::File(access.password_file.clone()),
            user_domain_name: access.user_domain_name.clone(),
            project_name: access.project_name.clone(),
            project_domain_name: access.project_domain_name.clone(),
            reads: Reads::ByAnything,
            region: None,
            interface: "public".to_owned(),
            timeout: TIMEOUT,
        })?;
        Ok(Self {
            keystone,
            access,
            guard: Guard::default(),
        })
    }

    /// Asks what somebody's request waits for, unless Keystone has just not answered.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, KeystoneError>>,
    ) -> Result<T, Unanswered> {
        let bounded = async {
            match timeout(QUESTION, question).await {
                Ok(answer) => Ok(answer?),
                Err(_) => Err(Unanswered::Slow),
            }
        };
        self.guard.watch(bounded).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_an_answer_and_silence_is_none() {
        assert!(!Unanswered::Slow.is_answer());
        assert_eq!(Unanswered::Slow.reason(), Reason::Unreachable);
        let expired = Unanswered::Keystone(KeystoneError::Expired);
        assert!(expired.is_answer());
        assert_eq!(expired.reason(), Reason::HomeError);
    }
}
