//! Why an operator's request to Keystone failed.

use crate::transport::TransportError;

/// Why an operator's request failed, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// The environment does not say who the operator is.
    #[error(
        "the environment lacks {}; load your OpenStack credentials first (an openrc file; clouds.yaml is not read)",
        .0.join(", ")
    )]
    MissingVariables(Vec<String>),
    /// A variable has a value that is not understood.
    #[error("{name}: {reason}")]
    WrongVariable {
        /// Its name.
        name: &'static str,
        /// What was expected, and what was found.
        reason: String,
    },
    /// A partner cannot be called so.
    #[error(
        "{0:?} cannot name a partner: expected 1 to 32 letters, digits, '-', '_' or '.', the first a letter or digit"
    )]
    NotAnAlias(String),
    /// Keystone was not reached, was too slow, failed, or answered nonsense.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Keystone does not accept the credentials.
    #[error(
        "Keystone does not accept the credentials of the environment (OS_*): {said}; check user, password and scope"
    )]
    WrongCredentials {
        /// Keystone's words.
        said: String,
    },
    /// The operator lacks the right.
    #[error(
        "Keystone does not let you {request}: {said} Use credentials with role admin (OS_SYSTEM_SCOPE=all, or an admin project)"
    )]
    Forbidden {
        /// What was asked.
        request: String,
        /// Keystone's words.
        said: String,
    },
    /// Something has the name but is not ours; it was not touched.
    #[error(
        "{object} exists in Keystone and is not this partner's: {why}. It was not touched; choose another name for the partner, or rename or delete that one"
    )]
    NotOurs {
        /// What it is.
        object: String,
        /// How that is known.
        why: String,
    },
    /// It failed, and what it had made before could not be removed again.
    #[error(
        "{failure}. Before that it made {}, which could not be removed again ({undo}); repeat the command, it goes on from there",
        .left.join(", ")
    )]
    Incomplete {
        /// The first failure.
        failure: Box<OperatorError>,
        /// Why it was not undone.
        undo: Box<OperatorError>,
        /// What may be left.
        left: Vec<String>,
    },
}
