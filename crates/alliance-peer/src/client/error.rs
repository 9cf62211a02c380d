//! Why a partner gave no answer that counts.

use std::time::Duration;

use alliance_core::refusal::Reason;

use super::guard::NoAnswer;
use crate::error::{NO_SUCH_ROUTE, Problem};
use crate::tls::WrongKey;

/// Why there is no client for a partner.
#[derive(Debug, thiserror::Error)]
pub enum NoClient {
    /// The peer URL is none.
    #[error("the peer URL {url:?} {why}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong.
        why: &'static str,
    },
    /// TLS could not be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// The HTTP client could not be set up.
    #[error("cannot set up the HTTP client")]
    Http(#[source] reqwest::Error),
}

/// Why a partner gave no answer that counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// No connection, or one that broke.
    #[error("the partner cannot be reached: {0}")]
    Unreachable(String),
    /// No answer within the deadline.
    #[error("the partner did not answer in time")]
    Timeout,
    /// Not asked: the partner has failed to answer several times in a row.
    #[error("the partner is left alone for {} ms: {last}", pause.as_millis())]
    Paused {
        /// For how long still.
        pause: Duration,
        /// The last failure.
        last: String,
    },
    /// Somebody else answers at the partner's URL.
    #[error(
        "another cloud answers at the partner's URL: {0}; if the partner has a new identity, pair again"
    )]
    WrongKey(#[from] WrongKey),
    /// The partner answered no.
    #[error("the partner refused: {0}")]
    Refused(Problem),
    /// The partner answered something that is no answer.
    #[error("the partner's answer is not understood: {0}")]
    Protocol(String),
}

impl NoAnswer for PeerError {
    fn is_answer(&self) -> bool {
        matches!(self, PeerError::Refused(_) | PeerError::Protocol(_))
    }

    fn paused(pause: Duration, last: String) -> Self {
        PeerError::Paused { pause, last }
    }
}

impl PeerError {
    /// The reason code for a question that ended like this. Definite ([`Reason::is_definite`]) only
    /// where the partner refused us as such; otherwise the question stays open.
    pub fn reason(&self) -> Reason {
        match self {
            PeerError::Refused(problem) => match problem.reason() {
                Some(reason) if problem.status == 403 || !reason.is_definite() => reason,
                _ => Reason::HomeError,
            },
            PeerError::Protocol(_) => Reason::HomeError,
            PeerError::Unreachable(_)
            | PeerError::Timeout
            | PeerError::Paused { .. }
            | PeerError::WrongKey(_) => Reason::Unreachable,
        }
    }

    /// Whether the partner does not know the route: its daemon is of a version without it.
    pub fn is_of_an_older_version(&self) -> bool {
        matches!(self, PeerError::Refused(problem) if problem.code() == NO_SUCH_ROUTE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_of_ourselves_is_a_definite_no() {
        let refused = |code: &str, status| {
            PeerError::Refused(Problem {
                kind: format!("urn:alliance:problem:{code}"),
                status,
                detail: String::new(),
            })
        };
        for (error, reason) in [
            (refused("partner_suspended", 403), Reason::PartnerSuspended),
            (refused("budget", 429), Reason::Budget),
            (refused("overloaded", 503), Reason::Overloaded),
            (refused("not_found", 503), Reason::HomeError),
            (refused("malformed_request", 400), Reason::HomeError),
            (PeerError::Timeout, Reason::Unreachable),
            (PeerError::Protocol(String::new()), Reason::HomeError),
        ] {
            assert_eq!(error.reason(), reason, "{error}");
        }
    }

    #[test]
    fn a_daemon_that_does_not_know_the_route_is_an_older_one() {
        let refused = |code: &str| {
            PeerError::Refused(Problem {
                kind: format!("urn:alliance:problem:{code}"),
                status: 404,
                detail: String::new(),
            })
        };
        assert!(refused("no_such_route").is_of_an_older_version());
        assert!(!refused("not_found").is_of_an_older_version());
        assert!(!PeerError::Protocol(String::new()).is_of_an_older_version());
    }
}
