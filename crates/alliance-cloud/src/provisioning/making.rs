//! Making one resource.

use alliance_core::provision::Kind;
use data_encoding::BASE64;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::finding::{flavor, group, image, network};
use super::{Fault, MARKER, Wish, neutron};
use crate::services::{Service, ServiceError, Session};

/// Asks the service for the resource. Returns its id.
///
/// # Errors
/// See [`Fault`]. Where the service was not reached, or failed, it may have been made all the same.
pub async fn make(session: &Session, wish: &Wish) -> Result<String, Fault> {
    if let Some((collection, one)) = neutron(wish.kind) {
        let mut body = neutron_body(session, wish).await?;
        body.insert("name".to_owned(), json!(wish.called()));
        body.insert("description".to_owned(), json!(wish.marker));
        let path = ["v2.0", collection];
        let asked = json!({one: body});
        let made = session.ask(Service::Neutron, Method::POST, &path, Some(&asked));
        return id_in(&made.await?, one, Service::Neutron);
    }
    match wish.kind {
        Kind::Server => server(session, wish).await,
        Kind::Volume => {
            let mut body = wish.copied(&["size", "volume_type", "availability_zone"]);
            body.insert("name".to_owned(), json!(wish.called()));
            body.insert("metadata".to_owned(), wish.marked_metadata());
            let asked = json!({"volume": body});
            let made = session.ask(Service::Cinder, Method::POST, &["volumes"], Some(&asked));
            id_in(&made.await?, "volume", Service::Cinder)
        }
        Kind::WebImage => {
            let mut body = wish.copied(&["disk_format", "container_format", "min_disk", "min_ram"]);
            body.insert("name".to_owned(), json!(wish.called()));
            body.insert(MARKER.to_owned(), json!(wish.marker));
            let (path, body) = (["v2", "images"], Value::Object(body));
            let made = session.ask(Service::Glance, Method::POST, &path, Some(&body));
            let made = json!({"image": made.await?});
            id_in(&made, "image", Service::Glance)
        }
        Kind::RouterInterface => {
            let (router, subnet) = wish.pair("router", "subnet");
            let path = ["v2.0", "routers", router, "add_router_interface"];
            let asked = json!({"subnet_id": subnet});
            session
                .ask(Service::Neutron, Method::PUT, &path, Some(&asked))
                .await?;
            Ok(format!("{router}:{subnet}"))
        }
        _ => {
            let (server, volume) = wish.pair("instance_uuid", "volume_id");
            let path = ["servers", server, "os-volume_attachments"];
            let mut body = Map::from_iter([("volumeId".to_owned(), json!(volume))]);
            if let Some(device) = wish.properties.get("mountpoint") {
                body.insert("device".to_owned(), device.clone());
            }
            let asked = json!({"volumeAttachment": body});
            session
                .ask(Service::Nova, Method::POST, &path, Some(&asked))
                .await?;
            Ok(format!("{server}:{volume}"))
        }
    }
}

async fn neutron_body(session: &Session, wish: &Wish) -> Result<Map<String, Value>, Fault> {
    Ok(match wish.kind {
        Kind::Net => wish.copied(&["admin_state_up", "port_security_enabled"]),
        Kind::Subnet => {
            let mut body = wish.copied(&[
                "cidr",
                "ip_version",
                "gateway_ip",
                "enable_dhcp",
                "dns_nameservers",
                "allocation_pools",
            ]);
            let is_ipv6 = wish.text("cidr").is_some_and(|cidr| cidr.contains(':'));
            body.entry("ip_version")
                .or_insert(json!(if is_ipv6 { 6 } else { 4 }));
            body.insert("network_id".to_owned(), json!(wish.text("network")));
            body
        }
        Kind::Router => {
            let mut body = wish.copied(&["admin_state_up"]);
            let outside = wish.properties.get("external_gateway_info");
            if let Some(name) = outside.and_then(|info| info.get("network")?.as_str()) {
                let gateway = json!({"network_id": network(session, name).await?});
                body.insert("external_gateway_info".to_owned(), gateway);
            }
            body
        }
        Kind::Port => {
            let mut body = wish.copied(&["admin_state_up"]);
            let at = wish.text("network").unwrap_or_default();
            let at = network(session, at).await?;
            body.insert("network_id".to_owned(), json!(at));
            if let Some(addresses) = wish.properties.get("fixed_ips").and_then(Value::as_array) {
                let addresses = addresses.iter().map(|address| {
                    let mut body = Map::new();
                    for (ours, theirs) in [("subnet", "subnet_id"), ("ip_address", "ip_address")] {
                        if let Some(value) = address.get(ours) {
                            body.insert(theirs.to_owned(), value.clone());
                        }
                    }
                    Value::Object(body)
                });
                body.insert("fixed_ips".to_owned(), addresses.collect());
            }
            if wish.properties.contains_key("security_groups") {
                let groups = json!(groups(session, wish).await?);
                body.insert("security_groups".to_owned(), groups);
            }
            body
        }
        _ => Map::new(),
    })
}

async fn server(session: &Session, wish: &Wish) -> Result<String, Fault> {
    let mut body = wish.copied(&["config_drive", "availability_zone"]);
    let wanted = flavor(session, wish.text("flavor").unwrap_or_default()).await?;
    let source = image(session, wish.text("image").unwrap_or_default()).await?;
    for (name, value) in [
        ("name", json!(wish.called())),
        ("flavorRef", json!(wanted.id)),
        ("imageRef", json!(source)),
        ("metadata", wish.marked_metadata()),
        ("networks", networks(session, wish).await?),
    ] {
        body.insert(name.to_owned(), value);
    }
    if wish.properties.contains_key("security_groups") {
        let groups = groups(session, wish).await?;
        let groups = groups.iter().map(|id| json!({"name": id}));
        body.insert("security_groups".to_owned(), groups.collect());
    }
    if let Some(data) = wish.text("user_data") {
        let data = BASE64.encode(data.as_bytes());
        body.insert("user_data".to_owned(), json!(data));
    }
    let asked = json!({"server": body});
    let made = session.ask(Service::Nova, Method::POST, &["servers"], Some(&asked));
    id_in(&made.await?, "server", Service::Nova)
}

async fn networks(session: &Session, wish: &Wish) -> Result<Value, Fault> {
    let wanted = wish.properties.get("networks").and_then(Value::as_array);
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
        return Ok(json!("auto"));
    };
    let mut networks = Vec::new();
    for one in wanted {
        let mut body = Map::new();
        if let Some(port) = one.get("port") {
            body.insert("port".to_owned(), port.clone());
        } else if let Some(name) = one.get("network").and_then(Value::as_str) {
            body.insert("uuid".to_owned(), json!(network(session, name).await?));
        }
        if let Some(address) = one.get("fixed_ip") {
            body.insert("fixed_ip".to_owned(), address.clone());
        }
        networks.push(Value::Object(body));
    }
    Ok(Value::Array(networks))
}

async fn groups(session: &Session, wish: &Wish) -> Result<Vec<String>, Fault> {
    let wanted = wish.properties.get("security_groups");
    let mut ids = Vec::new();
    for name in wanted.and_then(Value::as_array).into_iter().flatten() {
        ids.push(group(session, name.as_str().unwrap_or_default()).await?);
    }
    Ok(ids)
}

/// What has to be done after the service has the resource. May be done again.
///
/// # Errors
/// See [`ServiceError`].
pub async fn furnish(session: &Session, wish: &Wish, id: &str) -> Result<(), ServiceError> {
    match wish.kind {
        Kind::SecurityGroup => {
            let rules = wish.properties.get("rules").and_then(Value::as_array);
            for rule in rules.into_iter().flatten() {
                let mut body = rule.as_object().cloned().unwrap_or_default();
                body.entry("direction").or_insert(json!("ingress"));
                body.entry("ethertype").or_insert(json!("IPv4"));
                body.insert("security_group_id".to_owned(), json!(id));
                let path = ["v2.0", "security-group-rules"];
                let asked = json!({"security_group_rule": body});
                let made = session.ask(Service::Neutron, Method::POST, &path, Some(&asked));
                match made.await {
                    // It has that rule.
                    Err(error) if is_conflict(&error) && !is_over_quota(&error) => {}
                    made => {
                        made?;
                    }
                }
            }
            Ok(())
        }
        Kind::WebImage => {
            let path = ["v2", "images", id];
            let image = session
                .ask(Service::Glance, Method::GET, &path, None)
                .await?;
            let is_begun = ["os_glance_importing_to_stores", "os_glance_import_task"]
                .iter()
                .any(|name| image.get(*name).is_some());
            if image.get("status").and_then(Value::as_str) != Some("queued") || is_begun {
                return Ok(());
            }
            let path = ["v2", "images", id, "import"];
            let method = json!({"method": {"name": "web-download", "uri": wish.text("location")}});
            let begun = session.ask(Service::Glance, Method::POST, &path, Some(&method));
            match begun.await {
                Err(error) if is_conflict(&error) => Ok(()),
                begun => begun.map(|_| ()),
            }
        }
        _ => Ok(()),
    }
}

pub(super) fn is_conflict(error: &ServiceError) -> bool {
    error.status() == Some(StatusCode::CONFLICT)
}

fn is_over_quota(error: &ServiceError) -> bool {
    error.to_string().to_lowercase().contains("quota")
}

fn id_in(made: &Value, name: &str, service: Service) -> Result<String, Fault> {
    let id = made.get(name).and_then(|made| made.get("id")?.as_str());
    let id = id.ok_or_else(|| ServiceError::Unexpected {
        service,
        request: format!("POST {name}"),
        found: "an answer without an id".to_owned(),
    });
    Ok(id?.to_owned())
}

impl Wish {
    fn called(&self) -> &str {
        self.text("name").unwrap_or(&self.name)
    }

    fn marked_metadata(&self) -> Value {
        let said = self.properties.get("metadata").and_then(Value::as_object);
        let mut words = said.cloned().unwrap_or_default();
        words.insert(MARKER.to_owned(), json!(self.marker));
        Value::Object(words)
    }

    fn pair(&self, one: &str, other: &str) -> (&str, &str) {
        let text = |name| self.text(name).unwrap_or_default();
        (text(one), text(other))
    }
}
