//! Which tokens have ended before their time.

use std::time::{SystemTime, UNIX_EPOCH};

use alliance_core::revocation::RevocationEvent;
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
        // Keystone remembers its answer for up to an hour ([revoke] cache_time), by this parameter, in
        // each process.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let micros = now.unwrap_or_default().subsec_micros();
        let since = format!("1970-01-01T00:00:00.{micros:06}Z");
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
