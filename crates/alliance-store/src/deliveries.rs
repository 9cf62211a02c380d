//! At home: who is told further what hosts have told, and how far.
//!
//! What comes is numbered in the order in which it came. Who is told remembers the last number.

use std::fmt;

use alliance_core::Seconds;
use sqlx::AnyConnection;

use crate::database::row::Columns;
use crate::database::{Database, retrying};
use crate::error::Result;

/// See [`Store::deliveries`](crate::Store::deliveries).
#[derive(Debug, Clone, Copy)]
pub struct Deliveries<'a>(pub(crate) &'a Database);

/// Who is told, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Receiver {
    /// The webhook: notices.
    Webhook,
    /// The message bus: notices.
    Bus,
    /// The message bus: usage records.
    BusUsage,
    /// The message bus: what usage there was at each hour, numbered since 1970.
    BusHours,
    /// The message bus: audit events, numbered as they were said.
    BusAudit,
}

/// What comes from hosts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Log {
    Notices,
    Usage,
}

/// How far somebody has been told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The number of the last one that was delivered.
    pub number: u64,
    /// How many wait, of what comes.
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

impl Receiver {
    /// Its name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Bus => "bus",
            Self::BusUsage => "bus_usage",
            Self::BusHours => "bus_hours",
            Self::BusAudit => "bus_audit",
        }
    }

    /// Of what it is told as it comes.
    fn log(self) -> Option<Log> {
        match self {
            Self::Webhook | Self::Bus => Some(Log::Notices),
            Self::BusUsage => Some(Log::Usage),
            Self::BusHours | Self::BusAudit => None,
        }
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Log {
    /// The row with the last number of all.
    fn last(self) -> &'static str {
        match self {
            Self::Notices => "received",
            Self::Usage => "received_usage",
        }
    }

    /// Counts those after a number.
    fn waiting(self) -> &'static str {
        match self {
            Self::Notices => {
                "SELECT COUNT(*) AS waiting, MIN(received_at) AS since FROM notices
                    WHERE number > ?"
            }
            Self::Usage => {
                "SELECT COUNT(*) AS waiting, MIN(arrived_at) AS since FROM usage_records
                    WHERE arrival > ?"
            }
        }
    }
}

impl Deliveries<'_> {
    /// It is told what comes from now on, unless it was told something before. What has been given up is
    /// tried again. `least` is a number that it is at least told after. Returns the last number that it has
    /// been told.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(self, receiver: Receiver, least: u64) -> Result<u64> {
        let least = i64::try_from(least).unwrap_or(i64::MAX);
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            let last = match receiver.log() {
                Some(log) => last(&mut transaction, log).await?,
                None => 0,
            };
            let known = sqlx::query("UPDATE notice_deliveries SET is_over = 0 WHERE name = ?")
                .bind(receiver.as_str())
                .execute(&mut *transaction)
                .await?;
            if known.rows_affected() == 0 {
                sqlx::query("INSERT INTO notice_deliveries (name, number) VALUES (?, ?)")
                    .bind(receiver.as_str())
                    .bind(last.max(least))
                    .execute(&mut *transaction)
                    .await?;
            }
            let reached = number(&mut transaction, receiver.as_str()).await?;
            transaction.commit().await?;
            Ok(reached.unwrap_or_default().unsigned_abs())
        })
        .await
    }

    /// The last number that it has been told. `None`: it never was told anything.
    ///
    /// # Errors
    /// The database's.
    pub async fn reached(self, receiver: Receiver) -> Result<Option<u64>> {
        let mut connection = self.0.pool().acquire().await?;
        let reached = number(&mut connection, receiver.as_str()).await?;
        Ok(reached.map(i64::unsigned_abs))
    }

    /// How far it has been told. `None`: it never was.
    ///
    /// # Errors
    /// The database's.
    pub async fn state(self, receiver: Receiver) -> Result<Option<Delivery>> {
        let row = sqlx::query("SELECT * FROM notice_deliveries WHERE name = ?")
            .bind(receiver.as_str())
            .fetch_optional(self.0.pool())
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let number = row.int("number")?;
        let (waiting, waits_since) = match receiver.log() {
            Some(log) => {
                let row = sqlx::query(log.waiting())
                    .bind(number)
                    .fetch_one(self.0.pool())
                    .await?;
                (row.int("waiting")?, row.maybe_int("since")?)
            }
            None => (0, None),
        };
        Ok(Some(Delivery {
            number: number.unsigned_abs(),
            waiting: waiting.unsigned_abs(),
            waits_since,
            failing_since: row.maybe_int("failing_since")?,
            problem: row.maybe_text("problem")?,
            is_over: row.int("is_over")? != 0,
        }))
    }

    /// It has been told all up to this number. A smaller one than before changes nothing but that it is told:
    /// whoever says so was halted, and another has gone on meanwhile.
    ///
    /// # Errors
    /// The database's.
    pub async fn delivered(self, receiver: Receiver, number: u64) -> Result<()> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        retrying(|| async {
            sqlx::query(
                "UPDATE notice_deliveries
                    SET number = CASE WHEN number < ? THEN ? ELSE number END,
                        failing_since = NULL, problem = NULL
                    WHERE name = ?",
            )
            .bind(number)
            .bind(number)
            .bind(receiver.as_str())
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
        receiver: Receiver,
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
            .bind(receiver.as_str())
            .execute(self.0.pool())
            .await?;
            Ok(())
        })
        .await
    }
}

/// The last number that was given in this log, kept from others until the transaction ends.
pub(crate) async fn last(transaction: &mut AnyConnection, log: Log) -> Result<i64> {
    let held = sqlx::query("UPDATE notice_deliveries SET is_over = 0 WHERE name = ?")
        .bind(log.last())
        .execute(&mut *transaction)
        .await?;
    if held.rows_affected() == 0 {
        sqlx::query("INSERT INTO notice_deliveries (name, number) VALUES (?, 0)")
            .bind(log.last())
            .execute(&mut *transaction)
            .await?;
        return Ok(0);
    }
    Ok(number(transaction, log.last()).await?.unwrap_or_default())
}

pub(crate) async fn set_last(transaction: &mut AnyConnection, log: Log, number: i64) -> Result<()> {
    sqlx::query("UPDATE notice_deliveries SET number = ? WHERE name = ?")
        .bind(number)
        .bind(log.last())
        .execute(transaction)
        .await?;
    Ok(())
}

async fn number(connection: &mut AnyConnection, name: &str) -> Result<Option<i64>> {
    sqlx::query("SELECT number FROM notice_deliveries WHERE name = ?")
        .bind(name)
        .fetch_optional(connection)
        .await?
        .map(|row| row.int("number"))
        .transpose()
}
