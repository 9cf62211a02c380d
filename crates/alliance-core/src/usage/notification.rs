//! What a notification of Nova, Cinder, Glance or Neutron says, in the unversioned form of the
//! envelope `oslo.message` 2.0.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;

use super::{Fact, Kind, Millis, Resource, Size};
use crate::keystone_id::is_foreign_id;

/// Something of interest that a notification says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// About which resource.
    pub resource: Resource,
    /// The project's id at the host; `None` where the notification leaves it out.
    pub project_id: Option<String>,
    /// What.
    pub fact: Fact,
}

/// Not a notification, or one of ours that lacks what it should have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed notification: {0}")]
pub struct Malformed(String);

impl Malformed {
    fn new(what: impl ToString) -> Self {
        Self(what.to_string())
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "oslo.message", borrow)]
    message: std::borrow::Cow<'a, str>,
}

/// A notification, whatever it is about.
#[derive(Debug, Deserialize)]
pub struct Message {
    pub(crate) event_type: String,
    pub(crate) timestamp: String,
    #[serde(default)]
    pub(crate) payload: Value,
}

impl Message {
    /// Reads a message's body.
    ///
    /// # Errors
    /// If it is malformed: it will not be better the next time.
    pub fn read(body: &[u8]) -> Result<Self, Malformed> {
        let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(Malformed::new)?;
        serde_json::from_str(&envelope.message).map_err(Malformed::new)
    }

    /// What usage is told by it. `Ok(None)`: it is about something else.
    ///
    /// # Errors
    /// As [`Message::read`].
    pub fn notice(&self) -> Result<Option<Notice>, Malformed> {
        let Some(subject) = Subject::of(&self.event_type) else {
            return Ok(None);
        };
        let at = time(&self.timestamp).ok_or_else(|| Malformed::new("no time"))?;
        subject.read(&self.payload, at).map(Some)
    }
}

/// What an event type is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Subject {
    kind: Kind,
    is_end: bool,
}

impl Subject {
    fn of(event_type: &str) -> Option<Self> {
        let (kind, is_end) = match event_type {
            "compute.instance.create.end"
            | "compute.instance.finish_resize.end"
            | "compute.instance.resize.confirm.end"
            | "compute.instance.resize.revert.end" => (Kind::Server, false),
            "compute.instance.delete.end" => (Kind::Server, true),
            "volume.create.end" | "volume.resize.end" => (Kind::Volume, false),
            "volume.delete.end" => (Kind::Volume, true),
            "snapshot.create.end" => (Kind::Snapshot, false),
            "snapshot.delete.end" => (Kind::Snapshot, true),
            "image.upload" | "image.activate" => (Kind::Image, false),
            "image.delete" => (Kind::Image, true),
            "floatingip.create.end" => (Kind::FloatingIp, false),
            "floatingip.delete.end" => (Kind::FloatingIp, true),
            _ => return None,
        };
        Some(Self { kind, is_end })
    }

    fn read(self, payload: &Value, at: Millis) -> Result<Notice, Malformed> {
        let inner = match self.kind {
            Kind::FloatingIp => payload.get("floatingip").unwrap_or(payload),
            _ => payload,
        };
        let text = |name: &str| inner.get(name).and_then(Value::as_str);
        let number = |name: &str| inner.get(name).and_then(Value::as_u64);
        let when = |name: &str| text(name).and_then(time);
        let (id, project, began, size) = match self.kind {
            Kind::Server => {
                // One that was never launched is none yet.
                let began = when("launched_at");
                let size = || {
                    Some(Size::of_server(
                        text("instance_type")?,
                        number("vcpus")?,
                        number("memory_mb")?,
                        number("disk_gb")?,
                    ))
                };
                let size = began.and_then(|_| size());
                (text("instance_id"), text("tenant_id"), began, size)
            }
            Kind::Volume => {
                let size = number("size").map(Size::of_volume);
                (
                    text("volume_id"),
                    text("tenant_id"),
                    when("created_at"),
                    size,
                )
            }
            Kind::Snapshot => {
                let size = number("volume_size").map(Size::of_volume);
                (
                    text("snapshot_id"),
                    text("tenant_id"),
                    when("created_at"),
                    size,
                )
            }
            Kind::Image => {
                let size = number("size").map(Size::of_image);
                (text("id"), text("owner"), when("created_at"), size)
            }
            Kind::FloatingIp => {
                let id = text("id").or_else(|| payload.get("floatingip_id")?.as_str());
                let project = text("project_id").or_else(|| text("tenant_id"));
                let began = when("created_at");
                (id, project, began, began.map(|_| Size::default()))
            }
        };
        let ended = match self.kind {
            Kind::Server => when("terminated_at"),
            _ => None,
        };
        let id = id.filter(|id| is_foreign_id(id));
        let id = id.ok_or_else(|| Malformed::new(format!("no id of the {}", self.kind)))?;
        Ok(Notice {
            resource: Resource {
                kind: self.kind,
                id: id.to_owned(),
            },
            project_id: project.map(str::to_owned),
            fact: Fact {
                at,
                began,
                ended: self.is_end.then(|| ended.unwrap_or(at)),
                size,
                user_id: text("user_id").map(str::to_owned),
            },
        })
    }
}

/// A time as the services write it; without a zone it is UTC.
pub fn time(text: &str) -> Option<Millis> {
    let stamp = text.parse::<Timestamp>().ok().or_else(|| {
        let civil: DateTime = text.parse().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    });
    stamp
        .map(|stamp| stamp.as_millisecond())
        .filter(|at| *at >= 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &[u8]) -> Result<Option<Notice>, Malformed> {
        Message::read(body)?.notice()
    }

    fn enveloped(event_type: &str, payload: &Value) -> Vec<u8> {
        let message = json!({
            "message_id": "6ad1",
            "publisher_id": "compute.east-1",
            "event_type": event_type,
            "priority": "INFO",
            "payload": payload,
            "timestamp": "2026-11-28 08:00:10.250000",
            "_context_project_id": "somebody else's",
        });
        let envelope = json!({"oslo.version": "2.0", "oslo.message": message.to_string()});
        envelope.to_string().into_bytes()
    }

    fn server() -> Value {
        json!({
            "tenant_id": "p", "user_id": "u", "instance_id": "s",
            "instance_type": "m1", "memory_mb": 64, "disk_gb": 1, "vcpus": 2, "root_gb": 1,
            "created_at": "2026-11-28 08:00:00+00:00",
            "launched_at": "2026-11-28T08:00:04.500000", "terminated_at": "", "deleted_at": "",
        })
    }

    const EIGHT: Millis = 1_795_852_800_000;

    #[test]
    fn a_server_is_read() -> Result<(), Malformed> {
        let mut fact = Fact {
            at: EIGHT + 10_250,
            began: Some(EIGHT + 4_500),
            ended: None,
            size: Some(Size::of_server("m1", 2, 64, 1)),
            user_id: Some("u".into()),
        };
        let found = read(&enveloped("compute.instance.create.end", &server()))?;
        assert_eq!(found.map(|notice| notice.fact), Some(fact.clone()));
        let mut payload = server();
        payload["terminated_at"] = json!("2026-11-28T08:00:09.900000");
        let found = read(&enveloped("compute.instance.delete.end", &payload))?;
        fact.ended = Some(EIGHT + 9_900);
        assert_eq!(found.map(|notice| notice.fact), Some(fact));
        Ok(())
    }

    #[test]
    fn a_server_that_was_never_launched_bills_nothing() -> Result<(), Malformed> {
        let mut payload = server();
        payload["launched_at"] = json!("");
        let found = read(&enveloped("compute.instance.delete.end", &payload))?;
        let fact = found.map(|notice| notice.fact).unwrap_or_default();
        assert_eq!((fact.began, fact.size), (None, None));
        Ok(())
    }

    #[test]
    fn what_is_not_metered_is_left() {
        for other in [
            "compute.instance.create.start",
            "port.create.end",
            "",
            "volume.create.endx",
        ] {
            assert_eq!(read(&enveloped(other, &server())), Ok(None), "{other}");
        }
    }

    #[test]
    fn the_other_services_are_read() -> Result<(), Malformed> {
        let created = "2026-11-28T08:00:00+00:00";
        let volume = json!({"tenant_id": "p", "volume_id": "v", "size": 3, "created_at": created});
        let image = json!({"owner": "p", "id": "i", "size": 65536, "created_at": created});
        let address = json!({"floatingip": {"id": "f", "project_id": "p", "created_at": "2026-11-28T08:00:00Z"}});
        let gone = json!({"floatingip": {}, "floatingip_id": "f"});
        for (event, payload, id, size, ended) in [
            (
                "volume.create.end",
                &volume,
                "v",
                Some(Size::of_volume(3)),
                None,
            ),
            (
                "volume.delete.end",
                &volume,
                "v",
                Some(Size::of_volume(3)),
                Some(EIGHT + 10_250),
            ),
            (
                "image.activate",
                &image,
                "i",
                Some(Size::of_image(65_536)),
                None,
            ),
            (
                "floatingip.create.end",
                &address,
                "f",
                Some(Size::default()),
                None,
            ),
        ] {
            let notice = read(&enveloped(event, payload))?;
            let notice = notice.ok_or_else(|| Malformed::new(event))?;
            assert_eq!(notice.resource.id, id, "{event}");
            assert_eq!(notice.project_id.as_deref(), Some("p"), "{event}");
            assert_eq!(notice.fact.began, Some(EIGHT), "{event}");
            assert_eq!(
                (notice.fact.size, notice.fact.ended),
                (size, ended),
                "{event}"
            );
        }
        let notice = read(&enveloped("floatingip.delete.end", &gone))?;
        let notice = notice.ok_or_else(|| Malformed::new("gone"))?;
        assert_eq!(
            (notice.resource.id.as_str(), notice.project_id),
            ("f", None)
        );
        assert_eq!(notice.fact.ended, Some(EIGHT + 10_250));
        Ok(())
    }

    #[test]
    fn what_is_malformed_is_said_to_be() {
        let mut no_id = server();
        no_id["instance_id"] = json!("a b");
        let mut no_time = enveloped("volume.create.end", &json!({"volume_id": "v"}));
        let wrong = String::from_utf8_lossy(&no_time).replace("2026-11-28", "2026-13-28");
        no_time = wrong.into_bytes();
        for body in [
            b"".to_vec(),
            b"\xff\xfe".to_vec(),
            b"{}".to_vec(),
            br#"{"oslo.version": "2.0", "oslo.message": "{"}"#.to_vec(),
            br#"{"oslo.version": "2.0", "oslo.message": {"event_type": "volume.create.end"}}"#
                .to_vec(),
            enveloped("compute.instance.create.end", &no_id),
            no_time,
        ] {
            assert!(read(&body).is_err(), "{}", String::from_utf8_lossy(&body));
        }
    }

    #[test]
    fn times_are_read_as_the_services_write_them() {
        for text in [
            "2026-11-28 08:00:00",
            "2026-11-28T08:00:00.000000",
            "2026-11-28T08:00:00Z",
            "2026-11-28 08:00:00+00:00",
            "2026-11-28T09:00:00+01:00",
        ] {
            assert_eq!(time(text), Some(EIGHT), "{text}");
        }
        for text in ["", "None", "yesterday", "1969-01-01T00:00:00Z"] {
            assert_eq!(time(text), None, "{text}");
        }
    }
}
