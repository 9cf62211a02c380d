//! What there is in this cloud, of all projects: Nova's servers, Cinder's volumes and snapshots,
//! Glance's images, Neutron's floating IPs. Only reads.

use alliance_core::usage::{Fact, Kind, Millis, Resource, Size, time};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::Value;

use crate::services::{Service, ServiceError, Session, found};

const SERVERS: &[&str] = &["servers", "detail"];

/// A resource as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Which.
    pub resource: Resource,
    /// Its project's id here.
    pub project_id: String,
    /// What is said of it.
    pub fact: Fact,
    /// Whether it is a server in error.
    pub is_in_error: bool,
    /// Why, if that is said.
    pub reason: Option<String>,
}

/// All that is there of one kind, as of `at`. `None` if this region has no such service.
///
/// # Errors
/// See [`ServiceError`]. Nothing may be concluded from what a listing lacks then.
pub async fn list(
    session: &Session,
    kind: Kind,
    at: Millis,
) -> Result<Option<Vec<Sighting>>, ServiceError> {
    let all: &[_] = &[("all_tenants", "1")];
    let (service, path, list, query): (_, &[&str], _, _) = match kind {
        Kind::Server => (Service::Nova, SERVERS, "servers", all),
        Kind::Volume => (Service::Cinder, &["volumes", "detail"], "volumes", all),
        Kind::Snapshot => (Service::Cinder, &["snapshots", "detail"], "snapshots", all),
        Kind::Image => {
            let all: &[_] = &[("visibility", "all")];
            (Service::Glance, &["v2", "images"], "images", all)
        }
        Kind::FloatingIp => {
            let none: &[_] = &[];
            let path = &["v2.0", "floatingips"];
            (Service::Neutron, path, "floatingips", none)
        }
    };
    if !session.has(service) {
        return Ok(None);
    }
    let items = session.list(service, path, list, query).await?;
    let seen = items.iter().filter_map(|item| sighting(kind, item, at));
    Ok(Some(seen.collect()))
}

/// Servers that were deleted since then, of which Nova knows when.
///
/// # Errors
/// See [`ServiceError`].
pub async fn deleted_servers(
    session: &Session,
    since: Timestamp,
    at: Millis,
) -> Result<Vec<Sighting>, ServiceError> {
    let since = since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let query = [
        ("all_tenants", "1"),
        ("deleted", "true"),
        ("changes-since", &since),
    ];
    let items = session
        .list(Service::Nova, SERVERS, "servers", &query)
        .await?;
    let seen = items
        .iter()
        .filter_map(|item| sighting(Kind::Server, item, at));
    Ok(seen.filter(|one| one.fact.ended.is_some()).collect())
}

/// The id at home of a partner's user; `None` if it is no partner's.
///
/// # Errors
/// See [`ServiceError`].
pub async fn home_user(session: &Session, user_id: &str) -> Result<Option<String>, ServiceError> {
    let path = ["users", user_id];
    let asked = session.ask(Service::Keystone, Method::GET, &path, None);
    // One that was deleted has left what it made.
    Ok(found(asked.await)?.and_then(|user| {
        let home = user.pointer("/user/federated/0/protocols/0/unique_id")?;
        home.as_str().map(str::to_owned)
    }))
}

/// What one item of a listing says; `None` if it belongs to nobody.
fn sighting(kind: Kind, item: &Value, at: Millis) -> Option<Sighting> {
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    let number = |of: &Value, name: &str| of.get(name).and_then(Value::as_u64);
    let when = |name: &str| text(name).and_then(time);
    let (project, began, ended, size) = match kind {
        Kind::Server => {
            let began = when("OS-SRV-USG:launched_at");
            let flavor = item.get("flavor");
            let size = flavor.and_then(|flavor| {
                let disk = number(flavor, "disk")? + number(flavor, "ephemeral").unwrap_or(0);
                Some(Size::of_server(
                    flavor.get("original_name")?.as_str()?,
                    number(flavor, "vcpus")?,
                    number(flavor, "ram")?,
                    disk,
                ))
            });
            let ended = when("OS-SRV-USG:terminated_at");
            (text("tenant_id"), began, ended, began.and(size))
        }
        Kind::Volume => (
            text("os-vol-tenant-attr:tenant_id"),
            when("created_at"),
            None,
            made(text("status")).and(number(item, "size").map(Size::of_volume)),
        ),
        Kind::Snapshot => (
            text("os-extended-snapshot-attributes:project_id"),
            when("created_at"),
            None,
            made(text("status")).and(number(item, "size").map(Size::of_volume)),
        ),
        Kind::Image => (
            text("owner"),
            when("created_at"),
            None,
            number(item, "size").map(Size::of_image),
        ),
        Kind::FloatingIp => (
            text("project_id").or_else(|| text("tenant_id")),
            when("created_at"),
            None,
            Some(Size::default()),
        ),
    };
    Some(Sighting {
        resource: Resource {
            kind,
            id: text("id")?.to_owned(),
        },
        project_id: project?.to_owned(),
        fact: Fact {
            at,
            began,
            ended,
            size,
            user_id: text("user_id").map(str::to_owned),
        },
        is_in_error: kind == Kind::Server && text("status") == Some("ERROR"),
        reason: item
            .pointer("/fault/message")
            .and_then(Value::as_str)
            .map(str::to_owned),
    })
}

/// A volume that was never made is billed to nobody.
fn made(status: Option<&str>) -> Option<()> {
    (!matches!(status, None | Some("creating" | "error"))).then_some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const EIGHT: Millis = 1_795_852_800_000;

    #[test]
    fn a_server_says_when_it_was_launched_and_ended() {
        let mut server = json!({
            "id": "s", "tenant_id": "p", "user_id": "u", "status": "ACTIVE",
            "flavor": {"original_name": "m1", "vcpus": 2, "ram": 64, "disk": 1, "ephemeral": 1},
            "OS-SRV-USG:launched_at": "2026-11-28T08:00:00.000000",
            "OS-SRV-USG:terminated_at": null,
        });
        let fact = |item: &Value| sighting(Kind::Server, item, 7).map(|one| one.fact);
        let expected = Fact {
            at: 7,
            began: Some(EIGHT),
            ended: None,
            size: Some(Size::of_server("m1", 2, 64, 2)),
            user_id: Some("u".into()),
        };
        assert_eq!(fact(&server), Some(expected.clone()));
        server["OS-SRV-USG:terminated_at"] = json!("2026-11-28T08:00:01.000000");
        let ended = fact(&server).and_then(|fact| fact.ended);
        assert_eq!(ended, Some(EIGHT + 1000));
        let trouble =
            |item: &Value| sighting(Kind::Server, item, 7).map(|one| (one.is_in_error, one.reason));
        assert_eq!(trouble(&server), Some((false, None)));
        server["status"] = json!("ERROR");
        server["fault"] = json!({"code": 500, "message": "No valid host"});
        assert_eq!(trouble(&server), Some((true, Some("No valid host".into()))));
        server["OS-SRV-USG:launched_at"] = Value::Null;
        assert_eq!(fact(&server).and_then(|fact| fact.size), None);
    }

    #[test]
    fn a_volume_that_was_not_made_has_no_size() {
        let volume = |status: &str| {
            let item = json!({
                "id": "v", "size": 2, "status": status, "os-vol-tenant-attr:tenant_id": "p",
                "created_at": "2026-11-28T08:00:00.000000",
            });
            sighting(Kind::Volume, &item, 7).and_then(|one| one.fact.size)
        };
        assert_eq!(volume("in-use"), Some(Size::of_volume(2)));
        assert_eq!(volume("error_deleting"), Some(Size::of_volume(2)));
        assert_eq!(volume("creating").or(volume("error")), None);
    }
}
