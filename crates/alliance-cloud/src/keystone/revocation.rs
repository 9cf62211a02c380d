//! Which tokens have ended before their time.

use std::time::{SystemTime, UNIX_EPOCH};

use alliance_core::Seconds;
use alliance_core::revocation::RevocationEvent;
use jiff::Timestamp;
use reqwest::StatusCode;
use serde::Deserialize;

use super::login::Scope;
use super::{Keystone, KeystoneError};
use crate::transport::Question;

impl Keystone {
    /// Keystone's revocation events: those whose tokens could still be alive.
    ///
    /// # Errors
    /// If Keystone does not say, or says more than is read.
    pub async fn revocation_events(
        &self,
        request_id: &str,
    ) -> Result<Vec<RevocationEvent>, KeystoneError> {
        self.revocation_events_since(0, request_id).await
    }

    /// Those that were stored after `since` (seconds, by Keystone's clock).
    ///
    /// # Errors
    /// If Keystone does not say, or says more than is read.
    pub async fn revocation_events_since(
        &self,
        since: Seconds,
        request_id: &str,
    ) -> Result<Vec<RevocationEvent>, KeystoneError> {
        // Keystone remembers its answer for up to an hour ([revoke] cache_time), by this parameter, in
        // each process.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let micros = i64::from(now.unwrap_or_default().subsec_micros());
        let since = Timestamp::from_microsecond(since * 1_000_000 + micros);
        let since = format!("{:.6}", since.unwrap_or(Timestamp::UNIX_EPOCH));
        let question = Question::list(["OS-REVOKE", "events"]).query("since", &since);
        let answer = self
            .ask(Scope::Project, question, self.call(request_id))
            .await?;
        if answer.status != StatusCode::OK {
            return Err(self.refused(Scope::Project, &answer));
        }
        let Events { events } = answer.json()?;
        Ok(events)
    }
}

#[derive(Deserialize)]
struct Events {
    events: Vec<RevocationEvent>,
}
