//! HTTP to one Keystone: deadlines, bounded answers, no redirects, no proxies.

/// Why there is no usable answer from Keystone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No HTTP client can be made.
    #[error("no HTTP client for {url}: {reason}")]
    Setup {
        /// Keystone's URL.
        url: String,
        /// Why.
        reason: String,
    },
    /// No connection, or it broke.
    #[error("Keystone at {url} was not reached: {reason}; is it running, and is the URL right?")]
    Unreachable {
        /// Keystone's URL.
        url: String,
        /// Why.
        reason: String,
    },
    /// No answer in time.
    #[error("Keystone at {url} did not answer {request} within {seconds} s; is it overloaded?")]
    TimedOut {
        /// Keystone's URL.
        url: String,
        /// What was asked.
        request: String,
        /// The deadline.
        seconds: u64,
    },
    /// Keystone failed: 5xx, or 429.
    #[error("Keystone failed at {request} with status {status} ({trace}); see its log")]
    Failed {
        /// What was asked.
        request: String,
        /// HTTP status.
        status: u16,
        /// Keystone's request id.
        trace: String,
    },
    /// Keystone answered something that its API does not know.
    #[error("Keystone's answer to {request} was not understood: {found}")]
    Unexpected {
        /// What was asked.
        request: String,
        /// What was found instead.
        found: String,
    },
}
