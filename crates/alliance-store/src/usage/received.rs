//! At home: what hosts say that our projects use there, each record once.

use alliance_core::cloud::CloudId;
use alliance_core::usage::{Numbered, Record};

use super::{Usage, outbox, write_records};
use crate::database::retrying;
use crate::database::row::Columns;
use crate::error::Result;

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// How many records were new.
    pub new: usize,
    /// The last number that is here now.
    pub last: u64,
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
    /// gap, is left: it is sent again.
    ///
    /// # Errors
    /// The database's; nothing of it is stored then.
    pub async fn receive(self, host: &CloudId, sent: &[Numbered]) -> Result<Received> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            let known = outbox::position(&mut transaction, host, "received").await?;
            let mut last = known.unsigned_abs();
            let mut records: Vec<Record> = Vec::new();
            for (number, record) in sent {
                if *number == last + 1 {
                    last = *number;
                    records.extend(record.clone());
                }
            }
            write_records(&mut transaction, host, self.0.cloud(), &latest(&records)).await?;
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
}

/// The last record of each part, since one statement replaces each row once.
fn latest(records: &[Record]) -> Vec<Record> {
    let by_part: std::collections::BTreeMap<_, _> = records
        .iter()
        .map(|record| (&record.part, record))
        .collect();
    by_part.into_values().cloned().collect()
}
