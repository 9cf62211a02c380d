//! Deleting.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Kind, Site, Thing};
use crate::services::{ServiceError, found};

/// How a thing is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// As its owner would.
    Gentle,
    /// Whatever state it is in: it did not go before.
    Whatever,
}

impl Site<'_> {
    /// Asks its service to delete a thing, and for what has to be done before. Success means that it is
    /// gone, or will be; what is not there is gone.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn delete(&self, thing: &Thing, force: Force) -> Result<(), ServiceError> {
        found(self.try_delete(thing, force).await)?;
        Ok(())
    }

    async fn try_delete(&self, thing: &Thing, force: Force) -> Result<(), ServiceError> {
        match (thing.kind, force) {
            (Kind::Server, Force::Whatever) => {
                let reset = json!({"os-resetState": {"state": "error"}});
                self.act(thing, &reset).await?;
                return self.act(thing, &json!({"forceDelete": null})).await;
            }
            (Kind::Volume, Force::Whatever) => {
                let reset = json!({"os-reset_status": {
                    "status": "error", "attach_status": "detached", "migration_status": "none",
                }});
                self.act(thing, &reset).await?;
                return self.act(thing, &json!({"os-force_delete": {}})).await;
            }
            (Kind::Snapshot | Kind::Backup, Force::Whatever) => {
                return self.act(thing, &json!({"os-force_delete": {}})).await;
            }
            (Kind::Image, _) if thing.shown.get("protected") == Some(&Value::Bool(true)) => {
                let open = json!([{"op": "replace", "path": "/protected", "value": false}]);
                self.ask(Method::PATCH, thing, &[], Some(&open)).await?;
            }
            (Kind::Router, _) => self.cut_off(thing).await?,
            _ => {}
        }
        self.ask(Method::DELETE, thing, &[], None).await?;
        Ok(())
    }

    async fn act(&self, thing: &Thing, action: &Value) -> Result<(), ServiceError> {
        self.ask(Method::POST, thing, &["action"], Some(action))
            .await?;
        Ok(())
    }

    /// Takes a router out of its networks.
    async fn cut_off(&self, router: &Thing) -> Result<(), ServiceError> {
        let clear = json!({"router": {"external_gateway_info": {}, "routes": []}});
        self.ask(Method::PUT, router, &[], Some(&clear)).await?;
        for port in self.interfaces(&router.id).await? {
            let interface = json!({"port_id": port});
            let out = ["remove_router_interface"];
            found(self.ask(Method::PUT, router, &out, Some(&interface)).await)?;
        }
        Ok(())
    }
}
