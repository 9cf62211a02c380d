//! At home: what hosts tell of our projects there, each notice once.

use std::collections::BTreeSet;

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::notice::{Arrived, Kind};
use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection, QueryBuilder};

use super::{KEPT, Notices, ReceivedNotice, position};
use crate::database::ROWS;
use crate::database::retrying;
use crate::database::row::{Columns, to_json};
use crate::deliveries::{self, Log};
use crate::error::Result;

/// What is taken in of one answer of a host.
#[derive(Debug, Clone, PartialEq)]
pub struct TakenIn {
    /// The last number that was here when the host was asked.
    pub known: u64,
    /// The last number that is here then.
    pub reaches: u64,
    /// How many in between the host does not have any more.
    pub missed: u64,
    /// What came. What says nothing is counted, and not kept.
    pub arrived: Vec<Arrived>,
}

impl TakenIn {
    /// What is taken in.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        let notices = self.arrived.iter().filter_map(|one| one.notice.as_ref());
        notices.map(|notice| notice.kind)
    }
}

/// Which notices are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this host.
    pub host: Option<CloudId>,
    /// About this project of ours.
    pub project_id: Option<String>,
    /// That came then or later.
    pub since: Option<Seconds>,
    /// With a larger number.
    pub after: u64,
}

impl Notices<'_> {
    /// The number of the last notice of `host` that is here.
    ///
    /// # Errors
    /// The database's.
    pub async fn received(self, host: &CloudId) -> Result<u64> {
        let row = sqlx::query("SELECT received FROM notice_positions WHERE cloud_id = ?")
            .bind(host.as_str())
            .fetch_optional(self.0.pool())
            .await?;
        let received = row.map(|row| row.int("received")).transpose()?;
        Ok(received.unwrap_or_default().unsigned_abs())
    }

    /// Takes in what `host` has told. What is here already is left. Returns how many are new; `None` if
    /// somebody else has taken something in since the host was asked.
    ///
    /// # Errors
    /// The database's; nothing of it is stored then.
    pub async fn receive(
        self,
        host: &CloudId,
        told: &TakenIn,
        at: Seconds,
    ) -> Result<Option<usize>> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            let known = position(&mut transaction, host, "received").await?;
            if known.unsigned_abs() != told.known {
                return Ok(None);
            }
            let mut here = known_ids(&mut transaction, host, &told.arrived).await?;
            let mut number = deliveries::last(&mut transaction, Log::Notices).await?;
            let mut refused = 0;
            let mut new = 0;
            for one in &told.arrived {
                let Some(notice) = &one.notice else {
                    refused += 1;
                    continue;
                };
                if !here.insert(one.id.clone()) {
                    continue;
                }
                number += 1;
                new += 1;
                sqlx::query(
                    "INSERT INTO notices (number, host, id, seq, project_id, at, received_at, notice)
                        VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                )
                .bind(number)
                .bind(host.as_str())
                .bind(one.id.as_str())
                .bind(i64::try_from(one.seq).unwrap_or(i64::MAX))
                .bind(notice.project_id.as_deref())
                .bind(notice.at)
                .bind(at)
                .bind(to_json("notices.notice", notice)?)
                .execute(&mut *transaction)
                .await?;
            }
            deliveries::set_last(&mut transaction, Log::Notices, number).await?;
            let reaches = i64::try_from(told.reaches).unwrap_or(i64::MAX);
            sqlx::query(
                "UPDATE notice_positions
                    SET received = ?, missed = missed + ?, refused = refused + ? WHERE cloud_id = ?",
            )
            .bind(reaches)
            .bind(i64::try_from(told.missed).unwrap_or(i64::MAX))
            .bind(i64::from(refused))
            .bind(host.as_str())
            .execute(&mut *transaction)
            .await?;
            sqlx::query("DELETE FROM notices WHERE host = ? AND seq <= ?")
                .bind(host.as_str())
                .bind(reaches.saturating_sub(KEPT))
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(Some(new))
        })
        .await
    }

    /// The first ones that are wanted, at most `limit`, in the order in which they came.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(self, filter: &Filter, limit: usize) -> Result<Vec<ReceivedNotice>> {
        let mut select = QueryBuilder::<Any>::new("SELECT * FROM notices WHERE number > ");
        select.push_bind(i64::try_from(filter.after).unwrap_or(i64::MAX));
        if let Some(host) = &filter.host {
            select.push(" AND host = ").push_bind(host.as_str());
        }
        if let Some(project) = &filter.project_id {
            select
                .push(" AND project_id = ")
                .push_bind(project.as_str());
        }
        if let Some(since) = filter.since {
            select.push(" AND received_at >= ").push_bind(since);
        }
        select.push(" ORDER BY number LIMIT ");
        select.push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = select.build().fetch_all(self.0.pool()).await?;
        rows.iter().map(notice).collect()
    }
}

async fn known_ids(
    transaction: &mut AnyConnection,
    host: &CloudId,
    arrived: &[Arrived],
) -> Result<BTreeSet<String>> {
    let mut known = BTreeSet::new();
    for some in arrived.chunks(ROWS) {
        let mut select = QueryBuilder::<Any>::new("SELECT id FROM notices WHERE host = ");
        select.push_bind(host.as_str()).push(" AND id IN (");
        let mut list = select.separated(", ");
        for one in some {
            list.push_bind(one.id.as_str());
        }
        list.push_unseparated(")");
        for row in select.build().fetch_all(&mut *transaction).await? {
            known.insert(row.text("id")?);
        }
    }
    Ok(known)
}

fn notice(row: &AnyRow) -> Result<ReceivedNotice> {
    Ok(ReceivedNotice {
        number: row.int("number")?.unsigned_abs(),
        host: row.word("host")?,
        id: row.text("id")?,
        received_at: row.int("received_at")?,
        notice: row.json("notice")?,
    })
}
