//! At home: who is told further, and how far.

use alliance_core::Seconds;
use sqlx::AnyConnection;

use super::Notices;
use crate::database::retrying;
use crate::database::row::Columns;
use crate::error::Result;

/// The row with the last number of all.
const LAST: &str = "received";

/// How far somebody has been told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The number of the last notice that was delivered.
    pub number: u64,
    /// How many wait.
    pub waiting: u64,
    /// When the oldest of them came.
    pub waits_since: Option<Seconds>,
    /// Since when every attempt fails.
    pub failing_since: Option<Seconds>,
    /// Why the last one did.
    pub problem: Option<String>,
    /// Whether nothing is tried any more.
    pub is_over: bool,
}

impl Notices<'_> {
    /// Who is called `name` is told what comes from now on, unless it was told something before. What has
    /// been given up is tried again.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin_delivery(self, name: &str) -> Result<()> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            let last = last(&mut transaction).await?;
            let known = sqlx::query("UPDATE notice_deliveries SET is_over = 0 WHERE name = ?")
                .bind(name)
                .execute(&mut *transaction)
                .await?;
            if known.rows_affected() == 0 {
                sqlx::query("INSERT INTO notice_deliveries (name, number) VALUES (?, ?)")
                    .bind(name)
                    .bind(last)
                    .execute(&mut *transaction)
                    .await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// How far it has been told. `None`: it never was.
    ///
    /// # Errors
    /// The database's.
    pub async fn delivery(self, name: &str) -> Result<Option<Delivery>> {
        let row = sqlx::query("SELECT * FROM notice_deliveries WHERE name = ?")
            .bind(name)
            .fetch_optional(self.0.pool())
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let number = row.int("number")?;
        let waiting = sqlx::query(
            "SELECT COUNT(*) AS waiting, MIN(received_at) AS since FROM notices WHERE number > ?",
        )
        .bind(number)
        .fetch_one(self.0.pool())
        .await?;
        Ok(Some(Delivery {
            number: number.unsigned_abs(),
            waiting: waiting.int("waiting")?.unsigned_abs(),
            waits_since: waiting.maybe_int("since")?,
            failing_since: row.maybe_int("failing_since")?,
            problem: row.maybe_text("problem")?,
            is_over: row.int("is_over")? != 0,
        }))
    }

    /// It has been told all up to this number.
    ///
    /// # Errors
    /// The database's.
    pub async fn delivered(self, name: &str, number: u64) -> Result<()> {
        retrying(|| async {
            sqlx::query(
                "UPDATE notice_deliveries
                    SET number = ?, failing_since = NULL, problem = NULL WHERE name = ?",
            )
            .bind(i64::try_from(number).unwrap_or(i64::MAX))
            .bind(name)
            .execute(self.0.pool())
            .await?;
            Ok(())
        })
        .await
    }

    /// It could not be told the next one, and perhaps will not be.
    ///
    /// # Errors
    /// The database's.
    pub async fn not_delivered(
        self,
        name: &str,
        problem: &str,
        is_over: bool,
        at: Seconds,
    ) -> Result<()> {
        retrying(|| async {
            sqlx::query(
                "UPDATE notice_deliveries
                    SET failing_since = COALESCE(failing_since, ?), problem = ?, is_over = ?
                    WHERE name = ?",
            )
            .bind(at)
            .bind(problem)
            .bind(i64::from(is_over))
            .bind(name)
            .execute(self.0.pool())
            .await?;
            Ok(())
        })
        .await
    }
}

/// The last number that a notice was given here, kept from others until the transaction ends.
pub(super) async fn last(transaction: &mut AnyConnection) -> Result<i64> {
    let held = sqlx::query("UPDATE notice_deliveries SET is_over = 0 WHERE name = ?")
        .bind(LAST)
        .execute(&mut *transaction)
        .await?;
    if held.rows_affected() == 0 {
        sqlx::query("INSERT INTO notice_deliveries (name, number) VALUES (?, 0)")
            .bind(LAST)
            .execute(&mut *transaction)
            .await?;
        return Ok(0);
    }
    sqlx::query("SELECT number FROM notice_deliveries WHERE name = ?")
        .bind(LAST)
        .fetch_one(transaction)
        .await?
        .int("number")
}

pub(super) async fn set_last(transaction: &mut AnyConnection, number: i64) -> Result<()> {
    sqlx::query("UPDATE notice_deliveries SET number = ? WHERE name = ?")
        .bind(number)
        .bind(LAST)
        .execute(transaction)
        .await?;
    Ok(())
}
