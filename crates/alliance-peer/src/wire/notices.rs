//! What partners tell each other's homes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where homes poll for notices.
pub(crate) const NOTICES: &str = "/v1/notices/poll";

/// `POST /v1/notices/poll`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoticePoll {
    /// The number of the last notice that the caller has taken in: all up to it are acknowledged.
    #[serde(default)]
    pub after: u64,
}

/// The answer to `POST /v1/notices/poll`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoticeAnswer {
    /// What has happened to the caller's projects (JWS, `alliance-notices+jwt`), perhaps nothing.
    pub notices: String,
    /// Whether there are more.
    pub more: bool,
}
