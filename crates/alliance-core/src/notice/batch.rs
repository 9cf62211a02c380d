//! How notices travel: as CloudEvents 1.0, numbered for each partner, some at a time in a statement of
//! the host's.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Notice;
use crate::Seconds;
use crate::cloud::CloudId;
use crate::numbering;
use crate::statement::said_to_one;
use crate::usage::CloudEvent;

/// How many notices one statement carries at most.
pub const BATCH: usize = 200;

/// What all types of notices begin with.
const PREFIX: &str = "urn:alliance:event:";

/// A host's word about what has happened there to a partner's projects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoticeBatch {
    /// The host.
    pub iss: CloudId,
    /// The home of those projects.
    pub aud: CloudId,
    /// When it was said, seconds.
    pub iat: Seconds,
    /// The number before the first event's. What came between it and what was asked for is not kept any
    /// more.
    pub after: u64,
    /// The last number that the host has given.
    pub last: u64,
    /// The events, in order.
    pub events: Vec<CloudEvent>,
}

said_to_one!(NoticeBatch, "alliance-notices+jwt", at most 1 << 20);

/// What became of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrived {
    /// Its number.
    pub seq: u64,
    /// Its id; the same event has the same one.
    pub id: String,
    /// What it says. `None`: a newer version's event, or one that cannot be true.
    pub notice: Option<Notice>,
}

/// Why nothing of a batch is taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotABatch {
    /// An event has another number than its place says.
    #[error("a notice numbered {found:?} stands where number {expected} belongs")]
    Misplaced {
        /// The number of its place.
        expected: u64,
        /// Its own.
        found: String,
    },
    /// More events than the host says that there are.
    #[error("the host has given {last} notices, and sends number {found}")]
    Beyond {
        /// The last number that it says it has given.
        last: u64,
        /// One that it sends.
        found: u64,
    },
}

/// The event that carries a notice, `seq` of those for its home.
pub fn event(notice: &Notice, seq: u64, host: &CloudId, home: &CloudId) -> CloudEvent {
    CloudEvent {
        specversion: "1.0".to_owned(),
        id: notice.id(host, home),
        source: format!("urn:alliance:cloud:{host}"),
        kind: format!("{PREFIX}{}", notice.kind),
        subject: Some(format!("{}/{}", notice.kind.thing(), notice.subject)),
        time: Timestamp::from_millisecond(notice.at).ok(),
        datacontenttype: Some("application/json".to_owned()),
        data: notice.details(),
        // CloudEvents' extension of that name.
        extensions: BTreeMap::from([("sequence".to_owned(), Value::from(seq.to_string()))]),
    }
}

impl NoticeBatch {
    /// What has arrived after number `known`. What is known is left out. A host whose numbers end before
    /// `known` has lost its database: all that it sends is new, but for what is known by its id.
    ///
    /// # Errors
    /// See [`NotABatch`].
    pub fn arrived(&self, known: u64) -> Result<Vec<Arrived>, NotABatch> {
        let mut arrived = Vec::new();
        for (event, place) in self.events.iter().zip(1..) {
            let seq = self.after.checked_add(place).ok_or(NotABatch::Beyond {
                last: self.last,
                found: u64::MAX,
            })?;
            let found = event.extensions.get("sequence").and_then(Value::as_str);
            let found = found.unwrap_or_default();
            if found != seq.to_string() {
                return Err(NotABatch::Misplaced {
                    expected: seq,
                    found: found.chars().take(20).collect(),
                });
            }
            if seq > self.last {
                return Err(NotABatch::Beyond {
                    last: self.last,
                    found: seq,
                });
            }
            if seq > known || self.is_set_back(known) {
                let notice =
                    read(event).filter(|notice| event.id == notice.id(&self.iss, &self.aud));
                arrived.push(Arrived {
                    seq,
                    id: event.id.clone(),
                    notice,
                });
            }
        }
        Ok(arrived)
    }

    /// Whether the host has given fewer than are known: its database is an older one, or a new one.
    pub fn is_set_back(&self, known: u64) -> bool {
        self.last < known
    }

    /// How many between `known` and the first one are not kept at the host any more. Numbers that a host
    /// passed over when it was restored were none.
    pub fn missed(&self, known: u64) -> u64 {
        if self.is_set_back(known) || numbering::is_restart(known, self.after) {
            0
        } else {
            self.after.saturating_sub(known)
        }
    }
}

/// What an event says, if it is one of this version's and can be true.
fn read(event: &CloudEvent) -> Option<Notice> {
    let kind = event.kind.strip_prefix(PREFIX)?;
    let at = event.time?.as_millisecond();
    let mut members: Map<String, Value> = event.data.as_object()?.clone();
    members.insert("kind".to_owned(), Value::from(kind));
    members.insert("at".to_owned(), Value::from(at));
    let notice: Notice = serde_json::from_value(Value::Object(members)).ok()?;
    notice.require_sound().ok()?;
    Some(notice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::Kind;

    fn batch(after: u64, subjects: &[&str]) -> NoticeBatch {
        let (host, home) = (CloudId::from_spki(b"east"), CloudId::from_spki(b"west"));
        let notices = subjects.iter().zip(after + 1..).map(|(subject, seq)| {
            let mut notice = Notice::new(Kind::ServerCreated, *subject, 1_500);
            notice.project_id = Some("science".into());
            event(&notice, seq, &host, &home)
        });
        let events: Vec<_> = notices.collect();
        NoticeBatch {
            iat: 1,
            after,
            last: after + events.len() as u64,
            events,
            iss: host,
            aud: home,
        }
    }

    fn subjects(batch: &NoticeBatch, known: u64) -> Vec<(u64, Option<String>)> {
        let arrived = batch.arrived(known).into_iter().flatten();
        arrived
            .map(|one| (one.seq, one.notice.map(|notice| notice.subject)))
            .collect()
    }

    #[test]
    fn numbers_that_end_are_no_reason_to_panic() {
        let mut batch = batch(0, &["one", "two"]);
        (batch.after, batch.last) = (u64::MAX - 1, u64::MAX);
        for event in &mut batch.events {
            let last = Value::from(u64::MAX.to_string());
            event.extensions.insert("sequence".to_owned(), last);
        }
        let found = u64::MAX;
        assert_eq!(
            batch.arrived(0),
            Err(NotABatch::Beyond { last: found, found })
        );
        batch.events.pop();
        assert_eq!(batch.arrived(0).map(|arrived| arrived.len()), Ok(1));
    }

    #[test]
    fn what_was_said_is_read_and_what_is_known_left_out() -> Result<(), serde_json::Error> {
        let sent = batch(3, &["a", "b"]);
        let wire = serde_json::to_string(&sent)?;
        let read: NoticeBatch = serde_json::from_str(&wire)?;
        assert_eq!(read, sent);
        assert_eq!(
            subjects(&read, 3),
            [(4, Some("a".into())), (5, Some("b".into()))]
        );
        assert_eq!(subjects(&read, 4), [(5, Some("b".into()))]);
        assert_eq!(read.arrived(5), Ok(Vec::new()));
        Ok(())
    }

    #[test]
    fn what_is_not_kept_any_more_is_counted() {
        let sent = batch(8, &["a"]);
        assert_eq!((sent.missed(3), sent.missed(8), sent.missed(9)), (5, 0, 0));
        assert_eq!(subjects(&sent, 3), [(9, Some("a".into()))]);
    }

    #[test]
    fn a_host_that_has_lost_its_database_begins_again() {
        let sent = batch(0, &["a"]);
        assert!(sent.is_set_back(7));
        assert_eq!(sent.missed(7), 0);
        assert_eq!(subjects(&sent, 7), [(1, Some("a".into()))]);
    }

    #[test]
    fn nothing_is_missed_of_what_a_restored_host_passed_over() {
        let restored = numbering::restart(1_764_400_000, 0);
        let sent = batch(restored, &["a"]);
        assert_eq!((sent.missed(7), sent.is_set_back(7)), (0, false));
        assert_eq!(subjects(&sent, 7), [(restored + 1, Some("a".into()))]);
        assert_eq!(batch(restored + 1, &["a"]).missed(restored), 1);
    }

    #[test]
    fn an_event_out_of_its_place_ends_the_batch() {
        let mut sent = batch(0, &["a", "b", "c"]);
        sent.events.remove(1);
        assert!(matches!(
            sent.arrived(0),
            Err(NotABatch::Misplaced { expected: 2, .. })
        ));
        let mut sent = batch(0, &["a", "b"]);
        sent.last = 1;
        assert_eq!(
            sent.arrived(0),
            Err(NotABatch::Beyond { last: 1, found: 2 })
        );
    }

    #[test]
    fn what_a_newer_version_says_or_cannot_be_true_keeps_its_place() {
        let wrong: [fn(&mut CloudEvent); 5] = [
            |event| event.kind = "urn:alliance:event:server.cloned".into(),
            |event| event.data = Value::from("nothing"),
            |event| event.data["subject"] = Value::from("\u{1b}[2J"),
            |event| event.time = None,
            // Somebody else's, said again.
            |event| event.id = "0".repeat(32),
        ];
        for change in wrong {
            let mut sent = batch(0, &["a", "b"]);
            change(&mut sent.events[0]);
            assert_eq!(subjects(&sent, 0), [(1, None), (2, Some("b".into()))]);
        }
    }
}
