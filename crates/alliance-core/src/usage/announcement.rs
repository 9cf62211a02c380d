//! What is said of usage on home's message bus, for tools that meter: flat, with numbers that a meter can
//! take.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Kind, Millis, Record};
use crate::cloud::CloudId;
use crate::digest;

/// Of what time of a record something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// That it began.
    Began,
    /// That it ended: all is known of it.
    Ended,
    /// That there was some of it then.
    Existed(Millis),
}

/// Something that is said.
#[derive(Debug, Clone, PartialEq)]
pub struct Announcement {
    /// The same record at the same moment has the same id, and no other has it.
    pub id: String,
    /// `alliance.usage.`, the kind, and the moment.
    pub event_type: String,
    /// The moment.
    pub at: Millis,
    /// What is said.
    pub payload: Value,
}

impl Moment {
    /// What a record says by itself.
    pub fn of(record: &Record) -> Self {
        record.to.map_or(Self::Began, |_| Self::Ended)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Began => "began",
            Self::Ended => "ended",
            Self::Existed(_) => "exists",
        }
    }

    fn at(self, record: &Record) -> Millis {
        match self {
            Self::Began => record.from,
            Self::Ended => record.to.unwrap_or(record.from),
            Self::Existed(at) => at,
        }
    }
}

impl Announcement {
    /// What is said of a host's record. `partner` is what the host is called here.
    ///
    /// # Errors
    /// Only if the record cannot be written as JSON.
    pub fn about(
        record: &Record,
        host: &CloudId,
        partner: &str,
        moment: Moment,
    ) -> Result<Self, serde_json::Error> {
        let at = moment.at(record);
        let content = serde_json::to_string(record)?;
        let parts = [host.as_str(), moment.as_str(), &at.to_string(), &content];
        Ok(Self {
            id: digest::id(&parts),
            event_type: format!("alliance.usage.{}.{}", record.kind(), moment.as_str()),
            at,
            payload: payload(record, host, partner, at),
        })
    }
}

fn payload(record: &Record, host: &CloudId, partner: &str, at: Millis) -> Value {
    let resource = &record.part.resource;
    let mut payload = json!({
        // A host names its resources as it likes, also as ours are named.
        "meter_resource_id": format!("{host}:{}", resource.id),
        "resource_id": resource.id,
        "resource_type": record.kind(),
        "part": record.part.part,
        "project_id": record.owner.project_id,
        "user_id": record.owner.user_id,
        "region": record.region,
        "partner": partner,
        "partner_id": host,
        "from": time(record.from),
        "to": record.to.map(time),
        "seconds": seconds(record.within(record.from, at)),
    });
    if let Some(members) = payload.as_object_mut() {
        members.append(&mut amounts(record));
    }
    payload
}

/// How big it is, in what its kind has.
fn amounts(record: &Record) -> Map<String, Value> {
    let size = &record.size;
    let amounts = match record.kind() {
        Kind::Server => json!({
            "flavor": size.flavor,
            "vcpus": size.vcpus,
            "ram_mib": size.ram_mib,
            "gib": size.gib(),
        }),
        Kind::Volume | Kind::Snapshot => json!({"gib": size.gib()}),
        Kind::Image => json!({"gib": size.gib(), "bytes": size.bytes}),
        Kind::FloatingIp => json!({}),
    };
    amounts.as_object().cloned().unwrap_or_default()
}

/// In RFC 3339; as a number if there is no such time.
fn time(at: Millis) -> Value {
    Timestamp::from_millisecond(at).map_or_else(
        |_| Value::from(at),
        |time| Value::from(format!("{time:.3}")),
    )
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact for 285,000 years of milliseconds"
)]
fn seconds(millis: Millis) -> f64 {
    millis as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{Owner, Part, Resource, Size};

    fn record(kind: Kind, size: Size, to: Option<Millis>) -> Record {
        Record {
            part: Part {
                resource: Resource {
                    kind,
                    id: "r".into(),
                },
                part: 0,
            },
            owner: Owner {
                project_id: "science".into(),
                user_id: Some("ann".into()),
            },
            region: "RegionOne".into(),
            size,
            from: 1_795_852_800_400,
            to,
        }
    }

    fn said(record: &Record, moment: Moment) -> Result<Announcement, serde_json::Error> {
        Announcement::about(record, &CloudId::from_spki(b"east"), "east", moment)
    }

    #[test]
    fn a_server_that_ended_is_said_with_its_size_and_its_times() -> Result<(), serde_json::Error> {
        let size = Size::of_server("m1", 2, 512, 10);
        let ended = record(Kind::Server, size, Some(1_795_852_802_150));
        let said = said(&ended, Moment::of(&ended))?;
        assert_eq!(said.event_type, "alliance.usage.server.ended");
        assert_eq!(said.at, 1_795_852_802_150);
        let east = CloudId::from_spki(b"east");
        let expected = json!({
            "meter_resource_id": format!("{east}:r"), "resource_id": "r",
            "resource_type": "server", "part": 0,
            "project_id": "science", "user_id": "ann",
            "region": "RegionOne", "partner": "east", "partner_id": east,
            "from": "2026-11-28T08:00:00.400Z", "to": "2026-11-28T08:00:02.150Z",
            "seconds": 1.75,
            "flavor": "m1", "vcpus": 2, "ram_mib": 512, "gib": 10,
        });
        assert_eq!(said.payload, expected);
        Ok(())
    }

    #[test]
    fn what_lasts_is_said_to_have_begun_and_to_exist() -> Result<(), serde_json::Error> {
        let volume = record(Kind::Volume, Size::of_volume(3), None);
        let began = said(&volume, Moment::of(&volume))?;
        assert_eq!(began.event_type, "alliance.usage.volume.began");
        assert_eq!(began.at, volume.from);
        assert_eq!(began.payload["to"], Value::Null);
        assert_eq!(began.payload["seconds"], 0.0);
        assert_eq!(began.payload["gib"], 3);

        let exists = said(&volume, Moment::Existed(volume.from + 60_000))?;
        assert_eq!(exists.event_type, "alliance.usage.volume.exists");
        assert_eq!(exists.at, volume.from + 60_000);
        assert_eq!(exists.payload["seconds"], 60.0);
        Ok(())
    }

    #[test]
    fn each_kind_has_the_amounts_that_it_is_measured_by() -> Result<(), serde_json::Error> {
        let image = record(Kind::Image, Size::of_image(1500), None);
        let said_of_image = said(&image, Moment::Began)?;
        assert_eq!(said_of_image.payload["bytes"], 1500);
        let address = record(Kind::FloatingIp, Size::default(), None);
        let said_of_address = said(&address, Moment::Began)?;
        assert_eq!(
            said_of_address.event_type,
            "alliance.usage.floating_ip.began"
        );
        assert_eq!(said_of_address.payload.get("gib"), None);
        Ok(())
    }

    #[test]
    fn one_record_at_one_moment_has_one_id_and_another_one_another() -> Result<(), serde_json::Error>
    {
        let volume = record(Kind::Volume, Size::of_volume(3), None);
        let id = said(&volume, Moment::Began)?.id;
        assert_eq!(id, said(&volume, Moment::Began)?.id);
        assert_eq!(id.len(), 32);
        let larger = record(Kind::Volume, Size::of_volume(4), None);
        let others = [
            said(&larger, Moment::Began)?,
            said(&volume, Moment::Existed(volume.from))?,
            said(&volume, Moment::Existed(volume.from + 1))?,
            Announcement::about(
                &volume,
                &CloudId::from_spki(b"north"),
                "east",
                Moment::Began,
            )?,
        ];
        for other in others {
            assert_ne!(id, other.id, "{other:?}");
        }
        Ok(())
    }
}
