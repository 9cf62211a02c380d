//! The one place that reads the clock.

use alliance_core::Seconds;

/// Now, in seconds since the Unix epoch.
pub(crate) fn now() -> Seconds {
    jiff::Timestamp::now().as_second()
}
