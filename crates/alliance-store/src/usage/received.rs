//! At home: what hosts say that our projects use there, each record once.

use std::collections::{BTreeMap, BTreeSet};

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::numbering;
use alliance_core::usage::{Millis, Numbered, Record, Resource};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::sums::{self, RECORDS};
use super::{Usage, outbox, write_records};
use crate::database::retrying;
use crate::database::row::Columns;
use crate::deliveries::{self, Log};
use crate::error::Result;

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// How many records were new.
    pub new: usize,
    /// The last number that is here now.
    pub last: u64,
}

/// A record of a host's, as it is here now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedRecord {
    /// The number of its arrival. One that is changed later has a larger one.
    pub number: u64,
    /// Whose word it is.
    pub host: CloudId,
    /// What it says.
    pub record: Record,
}

impl Usage<'_> {
    /// The number of the last record of `host` that is here.
    ///
    /// # Errors
    /// The database's.
    pub async fn received(self, host: &CloudId) -> Result<u64> {
        let row = sqlx::query("SELECT received FROM usage_positions WHERE cloud_id = ?")
            .bind(host.as_str())
            .fetch_optional(self.0.pool())
            .await?;
        let received = row.map(|row| row.int("received")).transpose()?;
        Ok(received.unwrap_or_default().unsigned_abs())
    }

    /// Takes in records of `host`, in order of their numbers. What is here already, or would leave a
    /// gap, is left: it is sent again. A host that was restored from a backup goes on with other numbers,
    /// and may have forgotten parts of what it goes on with: those count nothing any more.
    ///
    /// # Errors
    /// The database's; nothing of it is stored then.
    pub async fn receive(self, host: &CloudId, sent: &[Numbered], at: Seconds) -> Result<Received> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            let known = outbox::position(&mut transaction, host, "received").await?;
            let mut last = known.unsigned_abs();
            let mut records: Vec<Record> = Vec::new();
            for (number, record) in sent {
                if numbering::is_next(last, *number) {
                    last = *number;
                    records.extend(record.clone());
                }
            }
            let mut latest = latest(&records);
            if numbering::was_restored(last) {
                let home = self.0.cloud();
                let forgotten = forgotten(&mut transaction, host, home, &latest).await?;
                latest.extend(forgotten);
            }
            if !latest.is_empty() {
                let here = deliveries::last(&mut transaction, Log::Usage).await?;
                let arrival = Some((here + 1, at));
                let home = self.0.cloud();
                write_records(&mut transaction, host, home, &latest, arrival).await?;
                let here = here.saturating_add_unsigned(latest.len() as u64);
                deliveries::set_last(&mut transaction, Log::Usage, here).await?;
            }
            sqlx::query("UPDATE usage_positions SET received = ? WHERE cloud_id = ?")
                .bind(i64::try_from(last).unwrap_or(i64::MAX))
                .bind(host.as_str())
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(Received {
                new: records.len(),
                last,
            })
        })
        .await
    }

    /// The records that came, or were changed, after the one with this number, in that order, at most
    /// `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn arrivals(self, after: u64, limit: usize) -> Result<Vec<ReceivedRecord>> {
        let text = format!("{RECORDS} WHERE arrival > ? ORDER BY arrival LIMIT ?");
        let rows = sqlx::query(&text)
            .bind(i64::try_from(after).unwrap_or(i64::MAX))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(self.0.pool())
            .await?;
        rows.iter().map(received).collect()
    }

    /// Of what hosts have told, what there was at this time, in the order in which it came, after the one
    /// with this number, at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn there_at(
        self,
        at: Millis,
        after: u64,
        limit: usize,
    ) -> Result<Vec<ReceivedRecord>> {
        let text = format!(
            "{RECORDS} WHERE arrival > ? AND began <= ? AND (ended IS NULL OR ended > ?) \
             ORDER BY arrival LIMIT ?"
        );
        let rows = sqlx::query(&text)
            .bind(i64::try_from(after).unwrap_or(i64::MAX))
            .bind(at)
            .bind(at)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(self.0.pool())
            .await?;
        rows.iter().map(received).collect()
    }
}

fn received(row: &AnyRow) -> Result<ReceivedRecord> {
    Ok(ReceivedRecord {
        number: row.int("arrival")?.unsigned_abs(),
        host: row.word("host")?,
        record: sums::record(row)?,
    })
}

/// Parts that are here and contradict what the host says now: later ones that begin before these end. They
/// come back as parts of no time.
async fn forgotten(
    transaction: &mut AnyConnection,
    host: &CloudId,
    home: &CloudId,
    said: &[Record],
) -> Result<Vec<Record>> {
    let mut last: BTreeMap<&Resource, &Record> = BTreeMap::new();
    for record in said {
        let last = last.entry(&record.part.resource).or_insert(record);
        if last.part.part < record.part.part {
            *last = record;
        }
    }
    let text = format!(
        "{RECORDS} WHERE usage_records.host = ? AND usage_records.home = ? \
         AND usage_records.kind = ? AND resource_id = ? AND part > ?"
    );
    let mut forgotten = Vec::new();
    for (resource, last) in last {
        let later = sqlx::query(&text)
            .bind(host.as_str())
            .bind(home.as_str())
            .bind(resource.kind.as_str())
            .bind(resource.id.as_str())
            .bind(i64::from(last.part.part))
            .fetch_all(&mut *transaction)
            .await?;
        for row in &later {
            let found = sums::record(row)?;
            let contradicts = last.to.is_none_or(|to| found.from < to);
            if contradicts && found.to != Some(found.from) {
                let end = last.to.unwrap_or(last.from);
                forgotten.push(Record {
                    from: end,
                    to: Some(end),
                    ..found
                });
            }
        }
    }
    Ok(forgotten)
}

/// The last record of each part, in their order: one statement replaces each row once.
fn latest(records: &[Record]) -> Vec<Record> {
    let mut parts = BTreeSet::new();
    let mut latest: Vec<_> = records
        .iter()
        .rev()
        .filter(|record| parts.insert(&record.part))
        .cloned()
        .collect();
    latest.reverse();
    latest
}
