//! What is said on this cloud's message bus: notifications in the form of oslo.messaging 2.0, as its
//! services send them.
//!
//! Nothing is made on the bus: the exchange is there when somebody listens, who knows how it is to be. A
//! message counts as sent when RabbitMQ has said that it has it.

use alliance_core::notice::Severity;
use jiff::Timestamp;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use serde_json::{Value, json};

use crate::bus::{BusError, Hosts, ask_for, in_time};

/// Kept by RabbitMQ where the queue is.
const PERSISTENT: u8 = 2;

/// Where notifications are sent.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the bus is.
    pub hosts: Hosts,
    /// The exchange, of the kind `topic`.
    pub exchange: String,
    /// What routing keys begin with; a dot and the priority follow.
    pub topic: String,
}

/// One notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// Its id: the same each time that it is sent.
    pub id: String,
    /// Who says it.
    pub publisher: String,
    /// What it is about.
    pub event_type: String,
    /// Its priority.
    pub severity: Severity,
    /// When it happened.
    pub at: Timestamp,
    /// What it says.
    pub payload: Value,
}

/// A connection by which they are sent.
#[derive(Debug)]
pub struct Publisher {
    // The channel ends with it.
    _connection: Connection,
    channel: Channel,
    settings: Settings,
}

impl Notification {
    /// In oslo.messaging's envelope.
    fn body(&self) -> String {
        let message = json!({
            "message_id": self.id,
            "_unique_id": self.id,
            "publisher_id": self.publisher,
            "event_type": self.event_type,
            "priority": self.severity.as_str().to_uppercase(),
            "timestamp": self.at.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string(),
            "payload": self.payload,
        });
        json!({"oslo.version": "2.0", "oslo.message": message.to_string()}).to_string()
    }
}

impl Settings {
    /// Connects.
    ///
    /// # Errors
    /// See [`BusError`]; also if the exchange is not there.
    pub async fn connect(&self) -> Result<Publisher, BusError> {
        let connection = self.hosts.connect("alliance work: notices").await?;
        let channel = ask_for(&connection, &self.exchange).await?;
        let channel = channel.ok_or_else(|| BusError::NoExchange(self.exchange.clone()))?;
        in_time(channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(Publisher {
            _connection: connection,
            channel,
            settings: self.clone(),
        })
    }
}

impl Publisher {
    /// Sends one; returns when RabbitMQ has it. One that no queue is bound for is nobody's.
    ///
    /// # Errors
    /// See [`BusError`]: RabbitMQ may have it all the same.
    pub async fn publish(&self, notification: &Notification) -> Result<(), BusError> {
        let key = format!("{}.{}", self.settings.topic, notification.severity);
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_content_encoding("utf-8".into())
            .with_delivery_mode(PERSISTENT);
        let body = notification.body();
        let confirmed = async {
            let exchange = self.settings.exchange.as_str().into();
            let options = BasicPublishOptions::default();
            let sent = self
                .channel
                .basic_publish(
                    exchange,
                    key.as_str().into(),
                    options,
                    body.as_bytes(),
                    properties,
                )
                .await?;
            sent.await
        };
        match in_time(confirmed).await? {
            Confirmation::Ack(_) => Ok(()),
            Confirmation::Nack(_) | Confirmation::NotRequested => Err(BusError::NotTaken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_is_in_oslo_messagings_envelope() -> Result<(), serde_json::Error> {
        let notification = Notification {
            id: "ab".into(),
            publisher: "alliance.east".into(),
            event_type: "alliance.server.failed".into(),
            severity: Severity::Error,
            at: Timestamp::from_millisecond(1_795_852_800_400).unwrap_or_default(),
            payload: json!({"subject": "s"}),
        };
        let envelope: Value = serde_json::from_str(&notification.body())?;
        assert_eq!(envelope["oslo.version"], "2.0");
        let inner = envelope["oslo.message"].as_str().unwrap_or_default();
        let message: Value = serde_json::from_str(inner)?;
        let expected = json!({
            "message_id": "ab", "_unique_id": "ab", "publisher_id": "alliance.east",
            "event_type": "alliance.server.failed", "priority": "ERROR",
            "timestamp": "2026-11-28 08:00:00.400000", "payload": {"subject": "s"},
        });
        assert_eq!(message, expected);
        Ok(())
    }
}
