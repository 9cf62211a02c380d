//! At the host: what homes are told, in order, and how far each of them has heard.

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::usage::Record;
use sqlx::{Any, AnyConnection, QueryBuilder};

use super::{Outgoing, Usage};
use crate::database::ROWS;
use crate::database::retrying;
use crate::database::row::{Columns, to_json};
use crate::error::Result;
use crate::restart;

impl Usage<'_> {
    /// The next records for `home` after number `after`, at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn outgoing(self, home: &CloudId, after: u64, limit: usize) -> Result<Vec<Outgoing>> {
        let rows = sqlx::query(
            "SELECT seq, at, record FROM usage_outbox WHERE cloud_id = ? AND seq > ? ORDER BY seq LIMIT ?",
        )
        .bind(home.as_str())
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(self.0.pool())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Outgoing {
                    seq: row.int("seq")?.unsigned_abs(),
                    at: row.int("at")?,
                    record: row.json("record")?,
                })
            })
            .collect()
    }

    /// `home` has counted all up to this number. One that it was never given changes nothing. A smaller
    /// one than before is believed: its database may be an older one. Of numbers that this cloud gave
    /// before it was restored none counts: those records have other numbers now.
    ///
    /// # Errors
    /// The database's.
    pub async fn acknowledge(self, home: &CloudId, seq: u64) -> Result<()> {
        let floor = restart::floor(&mut *self.0.pool().acquire().await?).await?;
        let seq = i64::try_from(seq).unwrap_or(i64::MAX).max(floor);
        retrying(|| async {
            sqlx::query(
                "UPDATE usage_positions SET acknowledged = ? WHERE cloud_id = ? AND noted >= ? AND acknowledged <> ?",
            )
            .bind(seq)
            .bind(home.as_str())
            .bind(seq)
            .bind(seq)
            .execute(self.0.pool())
            .await?;
            Ok(())
        })
        .await
    }
}

/// Numbers records for `home`.
pub(super) async fn append(
    transaction: &mut AnyConnection,
    home: &CloudId,
    records: &[Record],
    at: Seconds,
) -> Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let last = position(transaction, home, "noted").await?;
    let mut rows = Vec::with_capacity(records.len());
    for (record, seq) in records.iter().zip(last + 1..) {
        rows.push((seq, to_json("usage_outbox.record", record)?));
    }
    let newest = rows.last().map_or(last, |(seq, _)| *seq);
    for some in rows.chunks(ROWS) {
        let mut insert =
            QueryBuilder::<Any>::new("INSERT INTO usage_outbox (cloud_id, seq, at, record) ");
        insert.push_values(some, |mut row, (seq, record)| {
            row.push_bind(home.as_str())
                .push_bind(*seq)
                .push_bind(at)
                .push_bind(record);
        });
        insert.build().execute(&mut *transaction).await?;
    }
    sqlx::query("UPDATE usage_positions SET noted = ? WHERE cloud_id = ?")
        .bind(newest)
        .bind(home.as_str())
        .execute(&mut *transaction)
        .await?;
    Ok(())
}

/// A partner's row, made if need be, and one number of it.
pub(super) async fn position(
    transaction: &mut AnyConnection,
    partner: &CloudId,
    which: &str,
) -> Result<i64> {
    // Nobody else goes on from it before this ends.
    let held = sqlx::query("UPDATE usage_positions SET noted = noted WHERE cloud_id = ?")
        .bind(partner.as_str())
        .execute(&mut *transaction)
        .await?;
    if held.rows_affected() == 0 {
        let floor = restart::floor(&mut *transaction).await?;
        sqlx::query("INSERT INTO usage_positions (cloud_id, noted, acknowledged) VALUES (?, ?, ?)")
            .bind(partner.as_str())
            .bind(floor)
            .bind(floor)
            .execute(transaction)
            .await?;
        return Ok(if which == "noted" { floor } else { 0 });
    }
    sqlx::query("SELECT noted, received FROM usage_positions WHERE cloud_id = ?")
        .bind(partner.as_str())
        .fetch_one(transaction)
        .await?
        .int(which)
}
