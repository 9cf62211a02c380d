//! What partners' projects use here: a resource's [`Life`] from what the services said of it, the
//! [`Record`]s that follow from a life, and what they amount to in a [`Month`].
//!
//! All times are milliseconds of UTC and all amounts are whole numbers, so that host and home add up to
//! the same. A life does not depend on the order in which its facts were learned, nor on how often.

mod batch;
mod focus;
mod life;
mod month;
mod notification;
mod reconciliation;
mod record;
mod resource;
mod tariff;

pub use batch::{BATCH, CloudEvent, NotABatch, Numbered, UsageBatch};
pub use focus::{COLUMNS, Charge, Cost, Party, focus};
pub use life::{Fact, Interval, Life};
pub use month::{Month, NotAMonth};
pub use notification::{Malformed, Message, Notice, time};
pub use reconciliation::{Difference, reconcile};
pub use record::{Owner, Part, Record, Unsound, parts};
pub use resource::{Kind, Resource, Size};
pub use tariff::{Exact, Priced, Segment, Tariff, per_hour};

/// Milliseconds since the Unix epoch, UTC.
pub type Millis = i64;
