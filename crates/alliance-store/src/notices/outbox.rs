//! At the host: what homes are told, in order, and how far each of them has heard.

use std::collections::{BTreeMap, BTreeSet};

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::notice::{Condition, Mark, Notice};
use sqlx::{Any, AnyConnection, QueryBuilder};

use super::{KEPT, Notices, OutgoingNotices, position};
use crate::database::ROWS;
use crate::database::retrying;
use crate::database::row::{Columns, to_json};
use crate::error::Result;
use crate::leases::{Lease, hold};
use crate::restart;

impl Notices<'_> {
    /// Takes in how conditions are, in any order and however often. Those that have begun to hold are
    /// numbered for their homes. Returns how many are. With a lease, only for who holds it.
    ///
    /// # Errors
    /// The database's, or that the lease is lost; nothing is stored then.
    pub async fn watch(
        self,
        lease: Option<&Lease>,
        conditions: &[Condition],
        at: Seconds,
    ) -> Result<usize> {
        if conditions.is_empty() {
            return Ok(0);
        }
        // Most are as they were: who only looks keeps nobody from writing.
        let marks = remembered(&mut *self.0.pool().acquire().await?, conditions).await?;
        if changes(conditions, marks).is_empty() {
            return Ok(0);
        }
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            if let Some(lease) = lease {
                hold(&mut transaction, lease).await?;
            }
            let homes: BTreeSet<_> = conditions.iter().map(|one| &one.home).collect();
            for home in homes {
                // Who else looks at conditions of this home waits.
                position(&mut transaction, home, "noted").await?;
            }
            let marks = remembered(&mut transaction, conditions).await?;
            let mut new: BTreeMap<&CloudId, Vec<Notice>> = BTreeMap::new();
            for (condition, mark) in changes(conditions, marks) {
                sqlx::query(
                    "REPLACE INTO notice_marks (cloud_id, mark, holds, at) VALUES (?, ?, ?, ?)",
                )
                .bind(condition.home.as_str())
                .bind(condition.key.as_str())
                .bind(i64::from(mark.holds))
                .bind(mark.at)
                .execute(&mut *transaction)
                .await?;
                if mark.holds {
                    let notices = new.entry(&condition.home).or_default();
                    notices.push(condition.notice.clone());
                }
            }
            let mut count = 0;
            for (home, notices) in new {
                append(&mut transaction, home, &notices, at).await?;
                count += notices.len();
            }
            transaction.commit().await?;
            Ok(count)
        })
        .await
    }

    /// The next notices for `home` after number `after`, at most `limit`. A home that has heard more than
    /// was ever said is told everything.
    ///
    /// # Errors
    /// The database's.
    pub async fn outgoing(
        self,
        home: &CloudId,
        after: u64,
        limit: usize,
    ) -> Result<OutgoingNotices> {
        let row = sqlx::query("SELECT noted FROM notice_positions WHERE cloud_id = ?")
            .bind(home.as_str())
            .fetch_optional(self.0.pool())
            .await?;
        let last = row.map(|row| row.int("noted")).transpose()?;
        let last = last.unwrap_or_default().unsigned_abs();
        let after = if after > last { 0 } else { after };
        let rows = sqlx::query(
            "SELECT seq, notice FROM notice_outbox
                WHERE cloud_id = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
        )
        .bind(home.as_str())
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(i64::try_from(last).unwrap_or(i64::MAX))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(self.0.pool())
        .await?;
        let mut notices: Vec<(u64, Notice)> = Vec::new();
        for row in &rows {
            let seq = row.int("seq")?.unsigned_abs();
            // What is behind a gap is the beginning of the next answer.
            if notices.last().is_some_and(|(last, _)| last + 1 != seq) {
                break;
            }
            notices.push((seq, row.json("notice")?));
        }
        Ok(OutgoingNotices {
            // What is old is not there any more.
            after: notices.first().map_or(last, |(seq, _)| seq - 1),
            last,
            notices,
        })
    }

    /// `home` has heard all up to this number. One that it was never given changes nothing; one that this
    /// cloud gave before it was restored is none of those that it gives now.
    ///
    /// # Errors
    /// The database's.
    pub async fn acknowledge(self, home: &CloudId, seq: u64) -> Result<()> {
        let floor = restart::floor(&mut *self.0.pool().acquire().await?).await?;
        let seq = i64::try_from(seq).unwrap_or(i64::MAX).max(floor);
        let known = sqlx::query(
            "SELECT noted FROM notice_positions
                WHERE cloud_id = ? AND noted >= ? AND acknowledged <> ?",
        )
        .bind(home.as_str())
        .bind(seq)
        .bind(seq)
        .fetch_optional(self.0.pool())
        .await?;
        if known.is_none() {
            return Ok(());
        }
        retrying(|| async {
            sqlx::query(
                "UPDATE notice_positions SET acknowledged = ? WHERE cloud_id = ? AND noted >= ?",
            )
            .bind(seq)
            .bind(home.as_str())
            .bind(seq)
            .execute(self.0.pool())
            .await?;
            Ok(())
        })
        .await
    }
}

/// Numbers notices for `home`. Of too many the oldest are not kept.
pub(crate) async fn append(
    transaction: &mut AnyConnection,
    home: &CloudId,
    notices: &[Notice],
    at: Seconds,
) -> Result<()> {
    if notices.is_empty() {
        return Ok(());
    }
    let last = position(transaction, home, "noted").await?;
    let mut rows = Vec::with_capacity(notices.len());
    for (notice, seq) in notices.iter().zip(last + 1..) {
        rows.push((seq, to_json("notice_outbox.notice", notice)?));
    }
    let newest = rows.last().map_or(last, |(seq, _)| *seq);
    for some in rows.chunks(ROWS) {
        let mut insert =
            QueryBuilder::<Any>::new("INSERT INTO notice_outbox (cloud_id, seq, at, notice) ");
        insert.push_values(some, |mut row, (seq, notice)| {
            row.push_bind(home.as_str())
                .push_bind(*seq)
                .push_bind(at)
                .push_bind(notice);
        });
        insert.build().execute(&mut *transaction).await?;
    }
    sqlx::query("UPDATE notice_positions SET noted = ? WHERE cloud_id = ?")
        .bind(newest)
        .bind(home.as_str())
        .execute(&mut *transaction)
        .await?;
    sqlx::query("DELETE FROM notice_outbox WHERE cloud_id = ? AND seq <= ?")
        .bind(home.as_str())
        .bind(newest - KEPT)
        .execute(transaction)
        .await?;
    Ok(())
}

type Marks = BTreeMap<(CloudId, String), Mark>;

/// What is remembered of these conditions.
async fn remembered(connection: &mut AnyConnection, conditions: &[Condition]) -> Result<Marks> {
    let mut known = Marks::new();
    for some in conditions.chunks(ROWS) {
        let mut select = QueryBuilder::<Any>::new(
            "SELECT cloud_id, mark, holds, at FROM notice_marks WHERE mark IN (",
        );
        let mut list = select.separated(", ");
        for condition in some {
            list.push_bind(condition.key.as_str());
        }
        list.push_unseparated(")");
        for row in select.build().fetch_all(&mut *connection).await? {
            let mark = Mark {
                holds: row.int("holds")? != 0,
                at: row.int("at")?,
            };
            known.insert((row.word("cloud_id")?, row.text("mark")?), mark);
        }
    }
    Ok(known)
}

/// Those that are otherwise than remembered. Several of one condition count in their order.
fn changes(conditions: &[Condition], mut marks: Marks) -> Vec<(&Condition, Mark)> {
    let mut changed = Vec::new();
    for condition in conditions {
        let key = (condition.home.clone(), condition.key.clone());
        if let Some(mark) = condition.heard(marks.get(&key).copied()) {
            marks.insert(key, mark);
            changed.push((condition, mark));
        }
    }
    changed
}
