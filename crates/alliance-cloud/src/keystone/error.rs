//! Why Keystone gave no answer, and what to do about it.

use crate::transport::TransportError;

/// Why a question to Keystone has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeystoneError {
    /// Keystone was not reached, was too slow, failed, or answered nonsense.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The daemon's own user cannot log in.
    #[error(
        "Keystone refuses the daemon's user {user:?}: {said}; check username, password and user_domain_name in [keystone]"
    )]
    WrongCredentials {
        /// The user's name.
        user: String,
        /// Keystone's words.
        said: String,
    },
    /// The daemon's own user lacks a role.
    #[error(
        "the daemon's Keystone user {user:?} needs role {role} on {scope} for {request}; grant it: openstack role add --user {user} {target} {role}"
    )]
    MissingRole {
        /// The user's name.
        user: String,
        /// The role.
        role: &'static str,
        /// Where, in words.
        scope: String,
        /// Where, as options of `openstack role add`.
        target: String,
        /// What was asked.
        request: String,
    },
    /// A token outlived its time by `allow_expired` only, and cannot be used to revoke itself.
    #[error(
        "the token has expired and is only accepted for running work ([token] allow_expired_window); only an admin can revoke it"
    )]
    Expired,
}
