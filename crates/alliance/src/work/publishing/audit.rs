//! Audit events, as Keystone says its own: in the form of CADF. Each is said at least once, and deleted
//! when it was.

use alliance_cloud::publishing::Notification;
use alliance_core::Seconds;
use alliance_core::notice::Severity;
use alliance_store::{AuditEvent, Receiver, Store};
use anyhow::Context;
use jiff::Timestamp;
use serde_json::Value;

use super::{AT_ONCE, Source, Step, publisher_id};

#[derive(Default)]
pub(super) struct Audit {
    /// What was said when this is asked again.
    said: Vec<String>,
}

impl Source for Audit {
    const RECEIVER: Receiver = Receiver::BusAudit;

    async fn next(
        &mut self,
        store: &Store,
        reached: u64,
        _now: Seconds,
    ) -> anyhow::Result<Vec<Step>> {
        let events = store.audit_events();
        if !self.said.is_empty() {
            events.forget(&self.said).await?;
            self.said.clear();
        }
        let waiting = events.oldest(AT_ONCE).await?;
        let steps = (reached + 1..).zip(&waiting).map(|(reaches, event)| {
            Ok(Step {
                notification: Some(notification(event)?),
                reaches,
            })
        });
        let steps = steps.collect::<anyhow::Result<_>>()?;
        self.said = waiting.into_iter().map(|event| event.id).collect();
        Ok(steps)
    }
}

fn notification(one: &AuditEvent) -> anyhow::Result<Notification> {
    let payload: Value = serde_json::from_str(&one.event)
        .with_context(|| format!("the audit event {} is damaged", one.id))?;
    let text = |at: &str| payload.pointer(at).and_then(Value::as_str);
    Ok(Notification {
        id: one.id.clone(),
        publisher: publisher_id(text("/observer/name").unwrap_or_default()),
        event_type: text("/name").unwrap_or("alliance.audit").to_owned(),
        severity: Severity::Info,
        at: Timestamp::from_millisecond(one.at)?,
        payload,
    })
}
