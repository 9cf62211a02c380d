//! What is there.

use alliance_core::provision::Kind;
use reqwest::Method;
use serde_json::Value;

use super::{Fault, MARKER, Progress, Wish, neutron, pair};
use crate::services::{Service, ServiceError, Session, found};

/// The ids of what was made for this wish: none, one, or more if somebody made it twice.
///
/// # Errors
/// See [`ServiceError`].
pub async fn find(session: &Session, wish: &Wish) -> Result<Vec<String>, ServiceError> {
    let marker = wish.marker.as_str();
    if let Some((collection, _)) = neutron(wish.kind) {
        let query = [("description", marker)];
        let list = collection.replace('-', "_");
        let path = ["v2.0", collection];
        let found = session.list(Service::Neutron, &path, &list, &query);
        return Ok(ids(&found.await?, |item| {
            text(item, "description") == Some(marker)
        }));
    }
    match wish.kind {
        Kind::Server => {
            let path = ["servers", "detail"];
            let found = session.list(Service::Nova, &path, "servers", &[]);
            Ok(ids(&found.await?, |item| is_marked(item, marker)))
        }
        Kind::Volume => {
            let path = ["volumes", "detail"];
            let found = session.list(Service::Cinder, &path, "volumes", &[]);
            Ok(ids(&found.await?, |item| is_marked(item, marker)))
        }
        Kind::WebImage => {
            let path = ["v2", "images"];
            let query = [(MARKER, marker)];
            let found = session.list(Service::Glance, &path, "images", &query);
            Ok(ids(&found.await?, |item| {
                text(item, MARKER) == Some(marker)
            }))
        }
        Kind::RouterInterface => match (wish.text("router"), wish.text("subnet")) {
            (Some(router), Some(subnet)) => {
                let is_there = has_interface(session, router, subnet).await?;
                Ok(Vec::from_iter(
                    is_there.then(|| format!("{router}:{subnet}")),
                ))
            }
            _ => Ok(Vec::new()),
        },
        _ => match (wish.text("instance_uuid"), wish.text("volume_id")) {
            (Some(server), Some(volume)) => {
                let is_there = has_volume(session, server, volume).await?;
                Ok(Vec::from_iter(
                    is_there.then(|| format!("{server}:{volume}")),
                ))
            }
            _ => Ok(Vec::new()),
        },
    }
}

/// Whether a router has a port in a subnet.
pub(super) async fn has_interface(
    session: &Session,
    router: &str,
    subnet: &str,
) -> Result<bool, ServiceError> {
    let query = [("device_id", router)];
    let ports = session.list(Service::Neutron, &["v2.0", "ports"], "ports", &query);
    Ok(ports.await?.iter().any(|port| {
        let addresses = port.get("fixed_ips").and_then(Value::as_array);
        addresses
            .into_iter()
            .flatten()
            .any(|address| text(address, "subnet_id") == Some(subnet))
    }))
}

/// Whether a server has a volume, as Nova knows.
pub(super) async fn has_volume(
    session: &Session,
    server: &str,
    volume: &str,
) -> Result<bool, ServiceError> {
    let path = ["servers", server, "os-volume_attachments"];
    let asked = session.ask(Service::Nova, Method::GET, &path, None);
    Ok(found(asked.await)?.is_some_and(|server| {
        let all = server.get("volumeAttachments").and_then(Value::as_array);
        let mut all = all.into_iter().flatten();
        all.any(|one| text(one, "volumeId") == Some(volume))
    }))
}

/// How far a resource is.
///
/// # Errors
/// See [`ServiceError`]; that it is gone is one.
pub async fn progress(session: &Session, kind: Kind, id: &str) -> Result<Progress, ServiceError> {
    match kind {
        Kind::Server => {
            let server = show(session, Service::Nova, &["servers", id], "server").await?;
            let why = server.pointer("/fault/message").and_then(Value::as_str);
            Ok(match text(&server, "status") {
                Some("ACTIVE") => Progress::Ready,
                Some("ERROR") => broken("the server is in ERROR", why),
                Some("DELETED" | "SOFT_DELETED") => broken("somebody deleted the server", None),
                _ => Progress::Waiting,
            })
        }
        Kind::Volume => {
            let volume = show(session, Service::Cinder, &["volumes", id], "volume").await?;
            Ok(match text(&volume, "status") {
                Some("available" | "in-use" | "attaching" | "detaching" | "reserved") => {
                    Progress::Ready
                }
                Some(status) if status.starts_with("error") => {
                    broken(&format!("the volume is in {status}"), None)
                }
                _ => Progress::Waiting,
            })
        }
        Kind::VolumeAttachment => {
            let (_, volume) = pair(Service::Nova, id)?;
            let volume = show(session, Service::Cinder, &["volumes", volume], "volume").await?;
            Ok(match text(&volume, "status") {
                Some("in-use") => Progress::Ready,
                Some(status @ ("available" | "error" | "error_attaching")) => broken(
                    &format!("the volume was not attached, and is {status}"),
                    None,
                ),
                _ => Progress::Waiting,
            })
        }
        Kind::WebImage => {
            let path = ["v2", "images", id];
            let image = session
                .ask(Service::Glance, Method::GET, &path, None)
                .await?;
            let failed = text(&image, "os_glance_failed_import").unwrap_or_default();
            Ok(match text(&image, "status") {
                Some("active") => Progress::Ready,
                Some("killed" | "deleted" | "pending_delete") => {
                    broken("Glance has given the image up", None)
                }
                Some("queued") if !failed.is_empty() => {
                    broken("Glance could not fetch the image from its location", None)
                }
                _ => Progress::Waiting,
            })
        }
        _ => Ok(Progress::Ready),
    }
}

fn broken(what: &str, why: Option<&str>) -> Progress {
    Progress::Broken(match why {
        Some(why) => format!("{what}: {}", alliance_core::label::clean(why, 200)),
        None => what.to_owned(),
    })
}

/// A flavor, as quotas count it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flavor {
    /// Its id.
    pub id: String,
    /// Virtual processors.
    pub cores: u64,
    /// MiB.
    pub ram_mb: u64,
}

/// The flavor of that name or id.
///
/// # Errors
/// See [`Fault`].
pub async fn flavor(session: &Session, name: &str) -> Result<Flavor, Fault> {
    let path = ["flavors", "detail"];
    let all = session.list(Service::Nova, &path, "flavors", &[]).await?;
    let found = one_of(&all, "flavor", name)?;
    let number = |of: &str| found.get(of).and_then(Value::as_u64).unwrap_or_default();
    Ok(Flavor {
        id: text(found, "id").unwrap_or_default().to_owned(),
        cores: number("vcpus"),
        ram_mb: number("ram"),
    })
}

/// The id of the network of that name or id.
pub(super) async fn network(session: &Session, name: &str) -> Result<String, Fault> {
    neutron_named(session, "networks", "network", name).await
}

/// The id of the security group of that name or id.
pub(super) async fn group(session: &Session, name: &str) -> Result<String, Fault> {
    neutron_named(session, "security-groups", "security group", name).await
}

async fn neutron_named(
    session: &Session,
    collection: &str,
    what: &'static str,
    name: &str,
) -> Result<String, Fault> {
    let path = ["v2.0", collection];
    let list = collection.replace('-', "_");
    let all = session.list(Service::Neutron, &path, &list, &[]).await?;
    Ok(id(one_of(&all, what, name)?))
}

/// The id of the image of that name or id.
pub(super) async fn image(session: &Session, name: &str) -> Result<String, Fault> {
    let path = ["v2", "images"];
    let all = session.list(Service::Glance, &path, "images", &[]).await?;
    Ok(id(one_of(&all, "image", name)?))
}

/// The one with that id, else the one of that name.
fn one_of<'a>(all: &'a [Value], what: &'static str, name: &str) -> Result<&'a Value, Fault> {
    if let Some(found) = all.iter().find(|item| text(item, "id") == Some(name)) {
        return Ok(found);
    }
    let mut named = all.iter().filter(|item| text(item, "name") == Some(name));
    match (named.next(), named.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Fault::Missing(what, name.to_owned())),
        (Some(_), Some(_)) => Err(Fault::Several(what, name.to_owned())),
    }
}

async fn show(
    session: &Session,
    service: Service,
    path: &[&str],
    name: &str,
) -> Result<Value, ServiceError> {
    let mut found = session.ask(service, Method::GET, path, None).await?;
    Ok(found.get_mut(name).map(Value::take).unwrap_or_default())
}

fn ids(all: &[Value], is_meant: impl Fn(&Value) -> bool) -> Vec<String> {
    all.iter().filter(|item| is_meant(item)).map(id).collect()
}

fn is_marked(item: &Value, marker: &str) -> bool {
    let metadata = item.get("metadata");
    metadata.and_then(|words| text(words, MARKER)) == Some(marker)
}

fn id(item: &Value) -> String {
    text(item, "id").unwrap_or_default().to_owned()
}

fn text<'v>(item: &'v Value, name: &str) -> Option<&'v str> {
    item.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_has_to_fit_one_and_an_id_comes_first() {
        let all = [
            json!({"id": "1", "name": "a"}),
            json!({"id": "2", "name": "b"}),
            json!({"id": "b", "name": "b"}),
        ];
        let found = |name: &str| one_of(&all, "image", name).map(id);
        assert_eq!(found("a").unwrap(), "1");
        assert_eq!(found("b").unwrap(), "b");
        assert!(matches!(found("c"), Err(Fault::Missing("image", _))));
        let [_, two, three] = &all;
        let named = [two.clone(), json!({"id": "3", "name": "b"})];
        assert!(matches!(
            one_of(&named, "image", "b"),
            Err(Fault::Several("image", _))
        ));
        assert_eq!(text(three, "id"), Some("b"));
    }
}
