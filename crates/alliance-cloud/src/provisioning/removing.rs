//! Removing one resource.

use alliance_core::provision::Kind;
use reqwest::Method;
use serde_json::{Value, json};

use super::finding::{has_interface, has_volume};
use super::{neutron, pair};
use crate::services::{Service, ServiceError, Session, found};

/// Asks the service to delete a resource. That it is gone is fine.
///
/// # Errors
/// See [`ServiceError`].
pub async fn remove(session: &Session, kind: Kind, id: &str) -> Result<(), ServiceError> {
    let removed = match kind {
        Kind::RouterInterface => {
            let (router, subnet) = pair(Service::Neutron, id)?;
            if !has_interface(session, router, subnet).await? {
                return Ok(());
            }
            let path = ["v2.0", "routers", router, "remove_router_interface"];
            let asked = json!({"subnet_id": subnet});
            session
                .ask(Service::Neutron, Method::PUT, &path, Some(&asked))
                .await
        }
        Kind::VolumeAttachment => {
            let (server, volume) = pair(Service::Nova, id)?;
            let path = ["servers", server, "os-volume_attachments", volume];
            session
                .ask(Service::Nova, Method::DELETE, &path, None)
                .await
        }
        kind => {
            let (service, path) = place(kind, id);
            session.ask(service, Method::DELETE, &path, None).await
        }
    };
    found(removed)?;
    Ok(())
}

/// Whether nothing is left of a resource that was removed.
///
/// # Errors
/// See [`ServiceError`].
pub async fn is_gone(session: &Session, kind: Kind, id: &str) -> Result<bool, ServiceError> {
    match kind {
        Kind::RouterInterface => {
            let (router, subnet) = pair(Service::Neutron, id)?;
            Ok(!has_interface(session, router, subnet).await?)
        }
        Kind::VolumeAttachment => {
            let (server, volume) = pair(Service::Nova, id)?;
            if has_volume(session, server, volume).await? {
                return Ok(false);
            }
            let path = ["volumes", volume];
            let asked = session.ask(Service::Cinder, Method::GET, &path, None);
            Ok(found(asked.await)?.is_none_or(|volume| {
                let status = volume.pointer("/volume/status").and_then(Value::as_str);
                !matches!(status, Some("in-use" | "detaching"))
            }))
        }
        kind => {
            let (service, path) = place(kind, id);
            let asked = session.ask(service, Method::GET, &path, None);
            Ok(found(asked.await)?.is_none_or(|left| {
                let status = left.get("status").and_then(Value::as_str);
                kind == Kind::WebImage && status == Some("deleted")
            }))
        }
    }
}

fn place(kind: Kind, id: &str) -> (Service, Vec<&str>) {
    match (kind, neutron(kind)) {
        (_, Some((collection, _))) => (Service::Neutron, vec!["v2.0", collection, id]),
        (Kind::Server, None) => (Service::Nova, vec!["servers", id]),
        (Kind::Volume, None) => (Service::Cinder, vec!["volumes", id]),
        (_, None) => (Service::Glance, vec!["v2", "images", id]),
    }
}
