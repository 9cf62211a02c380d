//! What the plugin and the command line say to the daemon over its socket, as JSON.
//!
//! Errors are problem details (RFC 9457) of the form of [`Problem`].

mod agreements;
mod double_option;
mod notices;
mod operators;
mod plugin;
mod provisions;
mod retirements;

pub(crate) use self::agreements::*;
pub(crate) use self::notices::*;
pub(crate) use self::operators::*;
pub(crate) use self::plugin::*;
pub(crate) use self::provisions::*;
pub(crate) use self::retirements::*;

use serde::{Deserialize, Serialize};

/// RFC 9457 problem details. `type` is stable: `urn:alliance:problem:<code>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Problem {
    /// Stable: `urn:alliance:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// HTTP status.
    pub status: u16,
    /// What went wrong, and what to do next.
    pub detail: String,
}
