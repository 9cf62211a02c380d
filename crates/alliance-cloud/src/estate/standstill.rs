//! Shutting off, and starting again what was shut off.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Kind, Site, Thing};
use crate::services::{ServiceError, found};

/// States of servers that do not run.
const AT_REST: &[&str] = &[
    "SHUTOFF",
    "PAUSED",
    "SUSPENDED",
    "SHELVED",
    "SHELVED_OFFLOADED",
    "SOFT_DELETED",
    "DELETED",
];

impl Thing {
    /// Whether it is to be shut off or withdrawn.
    pub fn is_running(&self) -> bool {
        match self.kind {
            Kind::Server => !AT_REST.contains(&self.state()),
            Kind::FloatingIp => self.port().is_some(),
            _ => false,
        }
    }

    /// Whether its service does not know how it is: whether it runs is not to be seen.
    pub fn is_broken(&self) -> bool {
        self.kind == Kind::Server && self.state() == "ERROR"
    }

    /// What is needed to give it back what it has: a floating IP's port.
    pub fn port(&self) -> Option<&str> {
        self.text("port_id").filter(|port| !port.is_empty())
    }

    fn state(&self) -> &str {
        self.text("status").unwrap_or_default()
    }
}

impl Site<'_> {
    /// Shuts a server off, locked or not; takes a floating IP off its port.
    ///
    /// # Errors
    /// See [`ServiceError`]. What is not there is not running.
    pub async fn stop(&self, thing: &Thing) -> Result<(), ServiceError> {
        let asked = match thing.kind {
            Kind::Server => {
                let stop = json!({"os-stop": null});
                self.ask(Method::POST, thing, &["action"], Some(&stop))
                    .await
            }
            Kind::FloatingIp => {
                let withdraw = json!({"floatingip": {"port_id": null}});
                self.ask(Method::PUT, thing, &[], Some(&withdraw)).await
            }
            _ => return Ok(()),
        };
        found(asked)?;
        Ok(())
    }

    /// Starts a server that was shut off; gives a floating IP its port back. What somebody has started,
    /// or given another port, is left so.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn restore(
        &self,
        kind: Kind,
        id: &str,
        port: Option<&str>,
    ) -> Result<(), ServiceError> {
        let thing = Thing {
            kind,
            id: id.to_owned(),
            name: None,
            shown: Value::Null,
        };
        let Some(shown) = found(self.ask(Method::GET, &thing, &[], None).await)? else {
            return Ok(());
        };
        match kind {
            Kind::Server => {
                if shown.pointer("/server/status").and_then(Value::as_str) != Some("SHUTOFF") {
                    return Ok(());
                }
                let start = json!({"os-start": null});
                self.ask(Method::POST, &thing, &["action"], Some(&start))
                    .await?;
            }
            Kind::FloatingIp => {
                let other = shown.pointer("/floatingip/port_id").and_then(Value::as_str);
                if other.is_some() || port.is_none() {
                    return Ok(());
                }
                let give = json!({"floatingip": {"port_id": port}});
                self.ask(Method::PUT, &thing, &[], Some(&give)).await?;
            }
            _ => {}
        }
        Ok(())
    }
}
