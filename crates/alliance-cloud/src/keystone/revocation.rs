//! Which tokens have ended before their time.

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
        let question = Question::list(["OS-REVOKE", "events"]);
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
