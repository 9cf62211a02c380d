//! The rules of resource federation, without I/O, without a clock, without async.
//!
//! A *home* cloud issues tokens, a *host* cloud serves them. What crosses the border is a signed
//! statement (see [`statement`]); whether it opens anything is decided here, by [`admission`],
//! from the [`partner`] it came from and the [`agreement`]s that the host made. Time is always a
//! parameter: seconds since the Unix epoch, UTC.

pub mod admission;
pub mod agreement;
pub mod budget;
pub mod cadf;
pub mod cloud;
pub mod contract;
pub mod descriptor;
pub mod digest;
pub mod endpoint_url;
pub mod explanation;
pub mod hearing;
pub mod invitation;
pub mod keystone_id;
pub mod label;
pub mod limits;
pub mod notice;
pub mod numbering;
pub mod partner;
pub mod provision;
pub mod refusal;
pub mod region_name;
pub mod retirement;
pub mod revocation;
pub mod session;
pub mod sign_out;
pub mod skew;
pub mod snapshot;
pub mod statement;
pub mod terms;
pub mod token;
pub mod usage;
pub mod word;

/// Seconds since the Unix epoch, UTC.
pub type Seconds = i64;

/// How far the clocks of two clouds may differ, in seconds.
pub const CLOCK_SKEW: Seconds = 60;

/// No Keystone lets a token live longer than this, what services may finish with it included. Seconds.
pub const LONGEST_TOKEN_LIFE: Seconds = 14 * 24 * 3600;
