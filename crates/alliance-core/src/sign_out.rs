//! What a home tells its hosts when something there has ended: security event tokens (RFC 8417).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Seconds;
use crate::cloud::CloudId;
use crate::revocation::RevocationEvent;
use crate::statement::said_to_one;

/// CAEP's name of what is said beside [`REVOKED`] where it is about one session.
const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
/// A revocation event of Keystone's, with its own fields.
const REVOKED: &str = "urn:alliance:event:revoked";
/// Something else has changed that may end tokens.
const LOOK_AGAIN: &str = "urn:alliance:event:look-again";

/// Home's word about one change, for one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignOut {
    /// Home.
    pub iss: CloudId,
    /// The host that asked.
    pub aud: CloudId,
    /// When home said it, seconds.
    pub iat: Seconds,
    /// Its number at home, in decimal.
    pub jti: String,
    /// What happened, by the type's URI. Those that are not known are left to newer versions.
    pub events: BTreeMap<String, Value>,
}

said_to_one!(SignOut, "secevent+jwt");

/// What has changed at home.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "few at a time, and nearly all are events"
)]
pub enum Change {
    /// Keystone has stored this event.
    Revoked(RevocationEvent),
    /// Keystone stores no event for it; home must be asked again.
    LookAgain(LookAgain),
}

/// About whom home must be asked again. What is `None` means anybody or anything; each of the others
/// must be the token's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LookAgain {
    /// The user's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The project's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// The user's domain or the project's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_id: Option<String>,
}

impl Change {
    /// As the events of a security event token.
    ///
    /// # Errors
    /// Only if it cannot be written as JSON.
    pub fn to_events(&self) -> Result<BTreeMap<String, Value>, serde_json::Error> {
        let mut events = BTreeMap::new();
        match self {
            Change::Revoked(event) => {
                if event.audit_id.is_some() || event.audit_chain_id.is_some() {
                    events.insert(
                        SESSION_REVOKED.to_owned(),
                        Value::Object(Default::default()),
                    );
                }
                events.insert(REVOKED.to_owned(), serde_json::to_value(event)?);
            }
            Change::LookAgain(look) => {
                events.insert(LOOK_AGAIN.to_owned(), serde_json::to_value(look)?);
            }
        }
        Ok(events)
    }

    /// Whether it could be about a token abroad: those of trusts and of OAuth, and those for a domain,
    /// never leave.
    pub fn concerns_travellers(&self) -> bool {
        match self {
            Change::Revoked(event) => {
                event.trust_id.is_none()
                    && event.consumer_id.is_none()
                    && event.access_token_id.is_none()
                    && event.domain_scope_id.is_none()
            }
            Change::LookAgain(_) => true,
        }
    }
}

impl SignOut {
    /// What it says, without the types that only a newer version knows.
    ///
    /// # Errors
    /// If one of the types that are known has another content than it should: nothing may be
    /// concluded from the rest then.
    pub fn changes(&self) -> Result<Vec<Change>, serde_json::Error> {
        let mut changes = Vec::new();
        if let Some(event) = self.events.get(REVOKED) {
            changes.push(Change::Revoked(RevocationEvent::deserialize(event)?));
        }
        if let Some(look) = self.events.get(LOOK_AGAIN) {
            changes.push(Change::LookAgain(LookAgain::deserialize(look)?));
        }
        Ok(changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(events: Value) -> SignOut {
        SignOut {
            iss: CloudId::from_spki(b"west"),
            aud: CloudId::from_spki(b"east"),
            iat: 1,
            jti: "1".into(),
            events: serde_json::from_value(events).unwrap_or_default(),
        }
    }

    fn logout() -> RevocationEvent {
        RevocationEvent {
            audit_id: Some("own".into()),
            issued_before: "2026-11-25T07:00:00Z".parse().unwrap_or_default(),
            ..RevocationEvent::default()
        }
    }

    #[test]
    fn what_is_said_is_heard() -> Result<(), serde_json::Error> {
        let look = LookAgain {
            user_id: Some("ann".into()),
            ..LookAgain::default()
        };
        for change in [Change::Revoked(logout()), Change::LookAgain(look)] {
            let events = change.to_events()?;
            let heard = said(serde_json::to_value(&events)?);
            assert_eq!(heard.changes()?, [change]);
        }
        let events = Change::Revoked(logout()).to_events()?;
        assert!(events.contains_key(SESSION_REVOKED));
        Ok(())
    }

    #[test]
    fn what_a_newer_version_says_is_left_out() -> Result<(), serde_json::Error> {
        let newer = serde_json::json!({"urn:alliance:event:newer": {"a": 1}});
        assert!(said(newer).changes()?.is_empty());
        Ok(())
    }

    #[test]
    fn what_is_garbled_is_not_taken_for_nothing() {
        for garbled in [
            serde_json::json!({(REVOKED): {"issued_before": 7}}),
            serde_json::json!({(LOOK_AGAIN): {"user_id": 7}}),
            serde_json::json!({(LOOK_AGAIN): {}, (REVOKED): null}),
        ] {
            assert!(said(garbled.clone()).changes().is_err(), "{garbled}");
        }
    }

    #[test]
    fn what_ends_a_trust_is_nobodys_business_abroad() {
        assert!(Change::Revoked(logout()).concerns_travellers());
        let trust = RevocationEvent {
            trust_id: Some("t".into()),
            ..logout()
        };
        assert!(!Change::Revoked(trust).concerns_travellers());
    }
}
