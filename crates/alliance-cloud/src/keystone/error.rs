//! Why Keystone gave no answer to the daemon, and what to do about it.

use super::password::BadPasswordFile;
use crate::transport::TransportError;

/// Why a question to Keystone has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeystoneError {
    /// Keystone was not reached, was too slow, failed, or answered nonsense.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The daemon's own user cannot log in.
    #[error(
        "Keystone at {auth_url} refuses to log in the daemon's user {user:?}: {said}; {remedy}"
    )]
    WrongCredentials {
        /// Where Keystone was asked.
        auth_url: String,
        /// The user's name.
        user: String,
        /// Keystone's words.
        said: String,
        /// What to check.
        remedy: String,
    },
    /// There is no password to log in with.
    #[error(transparent)]
    PasswordFile(#[from] BadPasswordFile),
    /// The daemon's own user lacks a role.
    #[error(
        "Keystone does not let the daemon's user {request}; it needs role {role} there: {remedy}"
    )]
    MissingRole {
        /// The role.
        role: &'static str,
        /// What was asked.
        request: String,
        /// The command that grants it.
        remedy: String,
    },
    /// The project on which the daemon's own user works.
    #[error(
        "project {project}, on which the daemon's user holds its role, is disabled in Keystone, and nobody can log in to it; run: {remedy}"
    )]
    ProjectDisabled {
        /// Its name.
        project: String,
        /// The command that enables it.
        remedy: String,
    },
    /// A token that cannot revoke itself, since it has outlived its time.
    #[error(
        "the token has expired, and is accepted for running work only ([token] allow_expired_window); nobody but an admin can revoke it"
    )]
    Expired,
}

impl KeystoneError {
    /// Whether Keystone is not there, or not able to answer: asking again later may help.
    pub fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::Transport(
                TransportError::Unreachable { .. }
                    | TransportError::TimedOut { .. }
                    | TransportError::Failed { .. }
            )
        )
    }
}
