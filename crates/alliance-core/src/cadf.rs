//! Audit events in the form of CADF 1.0.0 (DMTF DSP0262), as Keystone writes its own: what was decided
//! about a partner, or about one of its users or ours, at the border.
//!
//! Ids are UUIDs, as pycadf asks for: of a user of this cloud, the one that Keystone's own events have.
//! What an id stands for is beside it, under a name of our own where a partner says it: a partner calls
//! its users as it likes, also as one of ours is called.

mod decision;
mod record;
mod sieve;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

pub use self::decision::{Cloud, Decision, Ground, Matter, Person};
pub use self::record::Record;
pub use self::sieve::{Class, Sieve, Sum};
use crate::cloud::CloudId;

/// DSP0262 §6.2: the type of an event.
const EVENT: &str = "http://schemas.dmtf.org/cloud/audit/1.0/event";
/// Where reason codes are described: `docs/protocol.md`.
const REASONS: &str = "urn:alliance:reason";
/// Why, where there is nothing against it.
const NOTHING_AGAINST: &str = "valid";

const SERVICE: &str = "service/security";
const USER: &str = "service/security/account/user";
const CREDENTIAL: &str = "data/security/credential";
const POLICY: &str = "data/security/policy";
const PROJECT: &str = "data/security/project";
const TEMPLATE: &str = "data/template";
const UNKNOWN: &str = "unknown";

/// Keystone's namespace for ids that are no UUIDs (`keystone.common.utils.resource_uuid`).
const KEYSTONES: Uuid = Uuid::from_u128(0x4332_ecab_770b_4288_a680_b9ac_a3b1_b153);

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    #[serde(rename = "typeURI")]
    type_uri: &'static str,
    id: String,
    name: String,
    event_type: EventType,
    event_time: String,
    action: &'static str,
    outcome: Outcome,
    initiator: Resource,
    target: Resource,
    observer: Resource,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Why>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    measurements: Vec<Measurement>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<Attachment>,
}

/// DSP0262 §6.2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum EventType {
    /// Something was done.
    Activity,
    /// A rule decided; there is a reason.
    Control,
    /// Something was measured.
    Monitor,
}

/// DSP0262 §A.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Success,
    Failure,
    /// It is under way.
    Pending,
    /// Nobody could tell, and nobody was let in.
    Unknown,
}

/// Who, or what; what is not CADF's is as Keystone adds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Resource {
    #[serde(rename = "typeURI")]
    type_uri: &'static str,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<Credential>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_id: Option<CloudId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    home_user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    home_project_id: Option<String>,
}

/// A token, as logs name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Credential {
    #[serde(rename = "type")]
    kind: &'static str,
    token: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Why {
    reason_type: &'static str,
    reason_code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Measurement {
    result: String,
    metric: Metric,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metric {
    metric_id: String,
    unit: &'static str,
    name: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Attachment {
    #[serde(rename = "typeURI")]
    type_uri: &'static str,
    name: &'static str,
    content: String,
}

/// What each event has of its own.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// Its id, a UUID.
    pub id: Uuid,
    /// When it happened.
    pub at: Timestamp,
}

/// The cloud that sees what it writes down.
#[derive(Debug, Clone)]
pub struct Observer {
    /// Its id.
    pub cloud_id: CloudId,
    /// What it calls itself.
    pub name: String,
}

impl Event {
    /// Its id: whoever gets it twice knows it by that.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn new(stamp: &Stamp, observer: &Observer, name: String) -> Self {
        let here = observer.resource();
        Self {
            type_uri: EVENT,
            id: stamp.id.to_string(),
            name,
            event_type: EventType::Activity,
            event_time: stamp.at.strftime("%Y-%m-%dT%H:%M:%S.%3f+0000").to_string(),
            action: UNKNOWN,
            outcome: Outcome::Success,
            initiator: here.clone(),
            target: here.clone(),
            observer: here,
            reason: None,
            tags: Vec::new(),
            measurements: Vec::new(),
            attachments: Vec::new(),
        }
    }

    /// So many events are not there, since they came faster than they could be written.
    pub fn lost(stamp: &Stamp, observer: &Observer, count: u64) -> Self {
        Self {
            event_type: EventType::Monitor,
            action: "monitor",
            outcome: Outcome::Failure,
            measurements: vec![Measurement::of(count, "events that were not written")],
            ..Self::new(stamp, observer, "alliance.audit.lost".to_owned())
        }
    }
}

impl Observer {
    fn resource(&self) -> Resource {
        Resource::cloud(&self.cloud_id, &self.name)
    }
}

impl Why {
    fn of(reason: Option<Ground>) -> Self {
        Self {
            reason_type: REASONS,
            reason_code: reason.map_or(NOTHING_AGAINST, |reason| reason.code),
        }
    }
}

impl Measurement {
    fn of(count: u64, name: &'static str) -> Self {
        Self {
            result: count.to_string(),
            metric: Metric {
                metric_id: own_id(&format!("metric:{name}")),
                unit: "events",
                name,
            },
        }
    }
}

impl Resource {
    fn new(type_uri: &'static str, id: String) -> Self {
        Self {
            type_uri,
            id,
            name: None,
            domain: None,
            credential: None,
            cloud_id: None,
            user_id: None,
            project_id: None,
            home_user_id: None,
            home_project_id: None,
        }
    }

    fn cloud(cloud_id: &CloudId, name: &str) -> Self {
        Self {
            name: Some(name.to_owned()),
            cloud_id: Some(cloud_id.clone()),
            ..Self::new(SERVICE, own_id(&format!("cloud:{cloud_id}")))
        }
    }

    fn nobody() -> Self {
        Self::new(UNKNOWN, Uuid::nil().to_string())
    }
}

/// The id of something that has none which is a UUID.
fn own_id(name: &str) -> String {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"audit.alliance.openstack");
    Uuid::new_v5(&namespace, name.as_bytes()).to_string()
}

/// The id that Keystone's own events have for one of its ids.
fn keystones_id(id: &str) -> String {
    if Uuid::parse_str(id).is_ok() {
        return id.to_owned();
    }
    Uuid::new_v5(&KEYSTONES, id.as_bytes()).simple().to_string()
}

/// DSP0262 §6.2.8, in pycadf's spelling of a tag with a value.
fn tag(name: &str, value: &str) -> String {
    format!("{name}?value={value}")
}
