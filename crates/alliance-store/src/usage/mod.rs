//! What partners' projects use here, and what ours use at partners.
//!
//! At the host, what is heard of a resource changes its life; the records that follow from that are
//! stored and numbered for the project's home in the same transaction. At home they are taken in by
//! their numbers. Either side counts the same rows.

mod heard;
mod outbox;
pub(crate) mod received;
pub(crate) mod sums;
pub(crate) mod watched;

use std::collections::BTreeMap;

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::digest;
use alliance_core::usage::{Fact, Owner, Record, Resource};
use sqlx::{Any, AnyConnection, QueryBuilder};

use crate::database::row::to_json;
use crate::database::{Database, ROWS};
use crate::error::Result;

/// See [`Store::usage`](crate::Store::usage).
#[derive(Debug, Clone, Copy)]
pub struct Usage<'a>(pub(crate) &'a Database);

/// Something that was heard of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Which.
    pub resource: Resource,
    /// Whose project's it is, and of which cloud. `None`: not said; counts if it is known already.
    pub owner: Option<(CloudId, Owner)>,
    /// What.
    pub fact: Fact,
}

/// A record on its way home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its number.
    pub seq: u64,
    /// When it was noted.
    pub at: Seconds,
    /// The record.
    pub record: Record,
}

/// Puts records in place of those of the same parts. Those of a host have numbers of their arrival, from
/// the first one's on.
async fn write_records(
    transaction: &mut AnyConnection,
    host: &CloudId,
    home: &CloudId,
    records: &[Record],
    arrival: Option<(i64, Seconds)>,
) -> Result<()> {
    let mut arrival = arrival;
    for some in records.chunks(ROWS) {
        let mut lines: BTreeMap<String, (&Record, String)> = BTreeMap::new();
        let mut rows = Vec::with_capacity(some.len());
        for record in some {
            let size = to_json("usage_lines.size", &record.size)?;
            let line = line(host, home, record, &size);
            lines.entry(line.clone()).or_insert((record, size));
            rows.push((record, line, arrival));
            arrival = arrival.map(|(number, at)| (number + 1, at));
        }
        let mut insert = QueryBuilder::<Any>::new(
            "REPLACE INTO usage_lines (line, host, home, project_id, region, kind, size) ",
        );
        insert.push_values(lines, |mut row, (line, (record, size))| {
            row.push_bind(line)
                .push_bind(host.as_str())
                .push_bind(home.as_str())
                .push_bind(record.owner.project_id.as_str())
                .push_bind(record.region.as_str())
                .push_bind(record.kind().as_str())
                .push_bind(size);
        });
        insert.build().execute(&mut *transaction).await?;
        let mut insert = QueryBuilder::<Any>::new(
            "REPLACE INTO usage_records (host, home, kind, resource_id, part, line, user_id, began, ended, arrival, arrived_at) ",
        );
        insert.push_values(rows, |mut row, (record, line, arrival)| {
            row.push_bind(host.as_str())
                .push_bind(home.as_str())
                .push_bind(record.kind().as_str())
                .push_bind(record.part.resource.id.as_str())
                .push_bind(i64::from(record.part.part))
                .push_bind(line)
                .push_bind(record.owner.user_id.as_deref())
                .push_bind(record.from)
                .push_bind(record.to)
                .push_bind(arrival.map(|(number, _)| number))
                .push_bind(arrival.map(|(_, at)| at));
        });
        insert.build().execute(&mut *transaction).await?;
    }
    Ok(())
}

/// The key of the line of a report in which a record is.
fn line(host: &CloudId, home: &CloudId, record: &Record, size: &str) -> String {
    digest::id(&[
        host.as_str(),
        home.as_str(),
        &record.owner.project_id,
        &record.region,
        record.kind().as_str(),
        size,
    ])
}
