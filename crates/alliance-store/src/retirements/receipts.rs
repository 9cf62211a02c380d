//! Receipts: numbered for each home, and taken in there by their numbers.

use alliance_core::cloud::CloudId;
use alliance_core::numbering;
use alliance_core::retirement::Receipt;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::{Retirement, Retirements, locked};
use crate::database::retrying;
use crate::database::row::{Columns, to_json};
use crate::error::Result;
use crate::restart;

/// One page of a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReceipt {
    /// Who retired.
    pub host: CloudId,
    /// Whose project.
    pub home: CloudId,
    /// Its number for that home.
    pub seq: u64,
    /// What it says.
    pub receipt: Receipt,
    /// At home: as the host signed it.
    pub signed: Option<String>,
}

impl Retirements<'_> {
    /// Numbers the pages of the next receipt of a retirement for home. False if there is nothing to
    /// report, or another than `found` has been reported.
    ///
    /// # Errors
    /// The database's.
    pub async fn report(self, found: &Retirement, pages: &[Receipt]) -> Result<bool> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            let Some(row) = locked(&mut transaction, &found.id).await? else {
                return Ok(false);
            };
            if row != *found || !row.to_report {
                return Ok(false);
            }
            let (host, home) = (self.0.cloud(), &found.cloud_id);
            let mut seq = given(&mut transaction, host, home).await?;
            for page in pages {
                seq += 1;
                insert(&mut transaction, host, home, seq, page, None).await?;
            }
            sqlx::query("UPDATE retirements SET to_report = 0, revision = ? WHERE id = ?")
                .bind(i64::from(found.revision) + 1)
                .bind(&found.id)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    /// The receipt for `home` after number `after`, if there is one, with its number.
    ///
    /// # Errors
    /// The database's.
    pub async fn outgoing(self, home: &CloudId, after: u64) -> Result<Option<(u64, Receipt)>> {
        let row = sqlx::query(
            "SELECT * FROM retirement_receipts WHERE host = ? AND home = ? AND seq > ? ORDER BY seq LIMIT 1",
        )
        .bind(self.0.cloud().as_str())
        .bind(home.as_str())
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .fetch_optional(self.0.pool())
        .await?;
        let found = row.as_ref().map(receipt).transpose()?;
        Ok(found.map(|found| (found.seq, found.receipt)))
    }

    /// `home` has taken in all up to this number, and refuses the next one if it says why.
    ///
    /// # Errors
    /// The database's.
    pub async fn acknowledge(self, home: &CloudId, seq: u64, refusal: Option<&str>) -> Result<()> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            let noted = given(&mut transaction, self.0.cloud(), home).await?;
            let Some(seq) = i64::try_from(seq).ok().filter(|seq| *seq <= noted) else {
                return Ok(());
            };
            if noted == 0 {
                return Ok(());
            }
            sqlx::query(
                "REPLACE INTO receipt_positions (home, acknowledged, refusal) VALUES (?, ?, ?)",
            )
            .bind(home.as_str())
            .bind(seq)
            .bind(refusal)
            .execute(&mut *transaction)
            .await?;
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// How far `home` has taken in what it was given, and why not further.
    ///
    /// # Errors
    /// The database's.
    pub async fn acknowledged(self, home: &CloudId) -> Result<(u64, Option<String>)> {
        let row = sqlx::query("SELECT * FROM receipt_positions WHERE home = ?")
            .bind(home.as_str())
            .fetch_optional(self.0.pool())
            .await?;
        Ok(match row {
            Some(row) => (
                row.int("acknowledged")?.unsigned_abs(),
                row.maybe_text("refusal")?,
            ),
            None => (0, None),
        })
    }

    /// The number of the last receipt of `host` that is here.
    ///
    /// # Errors
    /// The database's.
    pub async fn received(self, host: &CloudId) -> Result<u64> {
        let mut connection = self.0.pool().acquire().await?;
        let last = last(&mut connection, host, self.0.cloud()).await?;
        Ok(last.unsigned_abs())
    }

    /// Takes in a receipt of `host`, if it is the next one.
    ///
    /// # Errors
    /// The database's.
    pub async fn receive(
        self,
        host: &CloudId,
        seq: u64,
        received: &Receipt,
        signed: &str,
    ) -> Result<bool> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            let known = last(&mut transaction, host, self.0.cloud()).await?;
            let number = i64::try_from(seq).ok();
            let Some(number) = number.filter(|_| numbering::is_next(known.unsigned_abs(), seq))
            else {
                return Ok(false);
            };
            let home = self.0.cloud();
            insert(&mut transaction, host, home, number, received, Some(signed)).await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    /// All receipts, of this cloud and of hosts, in order.
    ///
    /// # Errors
    /// The database's.
    pub async fn receipts(self) -> Result<Vec<StoredReceipt>> {
        sqlx::query("SELECT * FROM retirement_receipts ORDER BY host, home, seq")
            .fetch_all(self.0.pool())
            .await?
            .iter()
            .map(receipt)
            .collect()
    }
}

/// The number after which the next receipt for `home` comes.
async fn given(connection: &mut AnyConnection, host: &CloudId, home: &CloudId) -> Result<i64> {
    let last = last(&mut *connection, host, home).await?;
    Ok(last.max(restart::floor(connection).await?))
}

async fn last(connection: &mut AnyConnection, host: &CloudId, home: &CloudId) -> Result<i64> {
    let row =
        sqlx::query("SELECT MAX(seq) AS seq FROM retirement_receipts WHERE host = ? AND home = ?")
            .bind(host.as_str())
            .bind(home.as_str())
            .fetch_one(connection)
            .await?;
    Ok(row.maybe_int("seq")?.unwrap_or_default())
}

async fn insert(
    transaction: &mut AnyConnection,
    host: &CloudId,
    home: &CloudId,
    seq: i64,
    receipt: &Receipt,
    signed: Option<&str>,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO retirement_receipts (host, home, seq, retirement_id, receipt, signed)
            VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(host.as_str())
    .bind(home.as_str())
    .bind(seq)
    .bind(&receipt.retirement)
    .bind(to_json("retirement_receipts.receipt", receipt)?)
    .bind(signed)
    .execute(transaction)
    .await?;
    Ok(())
}

fn receipt(row: &AnyRow) -> Result<StoredReceipt> {
    Ok(StoredReceipt {
        host: row.word("host")?,
        home: row.word("home")?,
        seq: row.int("seq")?.unsigned_abs(),
        receipt: row.json("receipt")?,
        signed: row.maybe_text("signed")?,
    })
}
