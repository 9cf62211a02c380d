//! How records travel: as CloudEvents 1.0, numbered for each partner without a gap, some at a time in a
//! statement of the host's.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::{Record, Unsound};
use crate::Seconds;
use crate::cloud::CloudId;
use crate::numbering;
use crate::statement::said_to_one;

/// How many records one statement carries at most.
pub const BATCH: usize = 500;

/// What kind of event a usage record is.
const USAGE: &str = "urn:alliance:event:usage";
const SPECVERSION: &str = "1.0";
const JSON: &str = "application/json";

/// A CloudEvent in JSON (CloudEvents 1.0, JSON event format).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CloudEvent {
    /// `1.0`
    pub specversion: String,
    /// Its number for this partner, in decimal.
    pub id: String,
    /// `urn:alliance:cloud:` and the host's cloud id.
    pub source: String,
    /// What it is about. Other types than ours are a newer version's.
    #[serde(rename = "type")]
    pub kind: String,
    /// The record's resource: kind, id and part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// `application/json`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    /// The record.
    #[serde(default)]
    pub data: Value,
    /// What else the sender put there.
    #[serde(flatten)]
    pub extensions: BTreeMap<String, Value>,
}

/// A host's word about what a partner's projects used there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsageBatch {
    /// The host.
    pub iss: CloudId,
    /// The home of those projects.
    pub aud: CloudId,
    /// When it was said, seconds.
    pub iat: Seconds,
    /// The number before the first event's: what was asked for, or where the host began again.
    pub after: u64,
    /// The events, in order, none left out.
    pub events: Vec<CloudEvent>,
}

said_to_one!(UsageBatch, "alliance-usage+jwt", at most 2 << 20);

/// A record with its number. `None` in place of the record: a newer version's event.
pub type Numbered = (u64, Option<Record>);

/// Why nothing of a batch is counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotABatch {
    /// Something between what is known and what was sent is missing.
    #[error("the host sent usage from number {sent} on, but what is known here ends with {known}")]
    Gap {
        /// The first number that was sent.
        sent: u64,
        /// The last one that is known.
        known: u64,
    },
    /// An event has another number than its place says.
    #[error("event {found:?} stands where number {expected} belongs")]
    Misplaced {
        /// The number of its place.
        expected: u64,
        /// Its own.
        found: String,
    },
    /// An event of a known type says something else than a record.
    #[error("usage record {number} cannot be read: {reason}")]
    Unreadable {
        /// Its number.
        number: u64,
        /// Why.
        reason: String,
    },
    /// A record cannot be true.
    #[error("usage record {number} is not counted: {reason}")]
    Unsound {
        /// Its number.
        number: u64,
        /// Why.
        reason: Unsound,
    },
}

impl CloudEvent {
    /// The event about a record, `number` of those for its home.
    ///
    /// # Errors
    /// Only if it cannot be written as JSON.
    pub fn about(
        record: &Record,
        number: u64,
        host: &CloudId,
        noted: Timestamp,
    ) -> Result<Self, serde_json::Error> {
        let resource = &record.part.resource;
        Ok(Self {
            specversion: SPECVERSION.to_owned(),
            id: number.to_string(),
            source: format!("urn:alliance:cloud:{host}"),
            kind: USAGE.to_owned(),
            subject: Some(format!(
                "{}/{}/{}",
                resource.kind, resource.id, record.part.part
            )),
            time: Some(noted),
            datacontenttype: Some(JSON.to_owned()),
            data: serde_json::to_value(record)?,
            extensions: BTreeMap::new(),
        })
    }

    fn record(&self, number: u64) -> Result<Option<Record>, NotABatch> {
        if self.kind != USAGE {
            return Ok(None);
        }
        let record = Record::deserialize(&self.data).map_err(|error| NotABatch::Unreadable {
            number,
            reason: error.to_string(),
        })?;
        let sound = record.require_sound();
        sound.map_err(|reason| NotABatch::Unsound { number, reason })?;
        Ok(Some(record))
    }
}

impl UsageBatch {
    /// The records after number `known`, each with its number. What is known is left out; nothing is
    /// skipped. A host that was restored from a backup begins again at another number, with all that it
    /// knows.
    ///
    /// # Errors
    /// See [`NotABatch`]: nothing of the batch may be counted then.
    pub fn after(&self, known: u64) -> Result<Vec<Numbered>, NotABatch> {
        if self.after > known && !numbering::is_restart(known, self.after) {
            return Err(NotABatch::Gap {
                sent: self.after.saturating_add(1),
                known,
            });
        }
        let mut new = Vec::new();
        for (event, place) in self.events.iter().zip(1..) {
            let number = self.after.saturating_add(place);
            if event.id != number.to_string() {
                return Err(NotABatch::Misplaced {
                    expected: number,
                    found: event.id.chars().take(20).collect(),
                });
            }
            if number > known {
                new.push((number, event.record(number)?));
            }
        }
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{Kind, Owner, Part, Resource, Size};

    fn record(id: &str) -> Record {
        Record {
            part: Part {
                resource: Resource {
                    kind: Kind::Server,
                    id: id.into(),
                },
                part: 0,
            },
            owner: Owner {
                project_id: "science".into(),
                user_id: Some("ann".into()),
            },
            region: "RegionOne".into(),
            size: Size::of_server("m1", 1, 64, 1),
            from: 1_000,
            to: None,
        }
    }

    fn batch(after: u64, ids: &[&str]) -> Result<UsageBatch, serde_json::Error> {
        let host = CloudId::from_spki(b"east");
        let events = ids.iter().zip(after + 1..).map(|(id, number)| {
            CloudEvent::about(&record(id), number, &host, Timestamp::UNIX_EPOCH)
        });
        Ok(UsageBatch {
            aud: CloudId::from_spki(b"west"),
            iat: 1,
            after,
            events: events.collect::<Result<_, _>>()?,
            iss: host,
        })
    }

    fn ids(new: Result<Vec<Numbered>, NotABatch>) -> Vec<(u64, Option<String>)> {
        let id = |record: Record| record.part.resource.id;
        new.into_iter()
            .flatten()
            .map(|(number, record)| (number, record.map(id)))
            .collect()
    }

    #[test]
    fn what_is_sent_again_is_known() -> Result<(), serde_json::Error> {
        let batch = batch(3, &["a", "b", "c"])?;
        let wire = serde_json::to_string(&batch)?;
        assert_eq!(serde_json::from_str::<UsageBatch>(&wire)?, batch);
        let all = [
            (4, Some("a".into())),
            (5, Some("b".into())),
            (6, Some("c".into())),
        ];
        assert_eq!(ids(batch.after(3)), all);
        assert_eq!(ids(batch.after(5)), all[2..]);
        assert_eq!(batch.after(6), Ok(Vec::new()));
        assert_eq!(batch.after(60), Ok(Vec::new()));
        Ok(())
    }

    #[test]
    fn a_gap_is_seen_and_nothing_behind_it_is_counted() -> Result<(), serde_json::Error> {
        let mut sent = batch(3, &["a", "b", "c"])?;
        assert_eq!(sent.after(2), Err(NotABatch::Gap { sent: 4, known: 2 }));
        sent.events.remove(1);
        assert!(matches!(
            sent.after(3),
            Err(NotABatch::Misplaced { expected: 5, .. })
        ));
        Ok(())
    }

    #[test]
    fn a_host_that_was_restored_begins_again() -> Result<(), serde_json::Error> {
        let restored = numbering::restart(1_764_400_000, 0);
        let sent = batch(restored, &["a", "b"])?;
        let all = [
            (restored + 1, Some("a".into())),
            (restored + 2, Some("b".into())),
        ];
        assert_eq!(ids(sent.after(7)), all);
        assert_eq!(ids(sent.after(restored + 1)), all[1..]);
        // Even then nothing is left out.
        let sent = batch(restored + 1, &["b"])?;
        assert!(matches!(sent.after(7), Err(NotABatch::Gap { .. })));
        Ok(())
    }

    #[test]
    fn what_a_newer_version_says_keeps_its_place() -> Result<(), serde_json::Error> {
        let mut sent = batch(0, &["a", "b"])?;
        sent.events[0].kind = "urn:alliance:event:newer".into();
        assert_eq!(ids(sent.after(0)), [(1, None), (2, Some("b".into()))]);
        Ok(())
    }

    #[test]
    fn what_cannot_be_true_is_not_counted() -> Result<(), serde_json::Error> {
        let wrong: [fn(&mut Record); 5] = [
            |record| record.to = Some(999),
            |record| record.from = -1,
            |record| record.part.resource.id.clear(),
            |record| record.owner.project_id = "a\u{1b}[2J".into(),
            |record| record.size.bytes = u64::MAX,
        ];
        for change in wrong {
            let mut record = record("a");
            change(&mut record);
            let mut sent = batch(0, &["a"])?;
            sent.events[0].data = serde_json::to_value(&record)?;
            assert!(
                matches!(sent.after(0), Err(NotABatch::Unsound { .. })),
                "{record:?}"
            );
        }
        let mut sent = batch(0, &["a"])?;
        sent.events[0].data = serde_json::json!({"kind": "server"});
        assert!(matches!(sent.after(0), Err(NotABatch::Unreadable { .. })));
        Ok(())
    }
}
