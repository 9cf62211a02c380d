//! Notices, as operators see them.

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::notice::Notice;
use serde::{Deserialize, Serialize};

/// How many one answer holds at most.
pub(crate) const NOTICES_AT_ONCE: usize = 1000;

/// What `GET /v1/notices` is asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct NoticeQuery {
    /// A partner's name.
    pub partner: Option<String>,
    /// A project's id here.
    pub project: Option<String>,
    /// Those that came then or later.
    pub since: Option<Seconds>,
    /// Those with a larger number.
    #[serde(default)]
    pub after: u64,
}

/// What has happened at a partner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NoticeView {
    /// Its number here: later ones have larger numbers.
    pub number: u64,
    /// What the partner is called here, or its cloud id if it is none any more.
    pub partner: String,
    /// Its cloud id.
    pub partner_id: CloudId,
    /// Its id, everywhere.
    pub id: String,
    /// When it came.
    pub received_at: Seconds,
    /// `info`, `warn` or `error`.
    pub severity: String,
    /// What it says; times in it are milliseconds.
    #[serde(flatten)]
    pub notice: Notice,
}
