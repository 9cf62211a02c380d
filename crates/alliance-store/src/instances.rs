//! The instances of a daemon that have this database, for operators.

use alliance_core::Seconds;

use crate::database::row::Columns;
use crate::database::{Database, retrying};
use crate::error::Result;

/// See [`Store::instances`](crate::Store::instances).
#[derive(Debug, Clone, Copy)]
pub struct Instances<'a>(pub(crate) &'a Database);

/// An instance as it last said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// What it is called.
    pub name: String,
    /// The process that it is.
    pub process: String,
    /// Its version.
    pub version: String,
    /// When it started, by the database's clock.
    pub started_at: Seconds,
    /// How long ago it last said something, in seconds.
    pub silent: Seconds,
    /// How far its clock was ahead of the database's, in seconds.
    pub clock: Seconds,
}

impl Instances<'_> {
    /// An instance lives; its clock shows `now`. The first time that a process says so it has just started.
    ///
    /// # Errors
    /// The database's.
    pub async fn note(self, name: &str, process: &str, version: &str, now: Seconds) -> Result<()> {
        let clock = self.0.clock();
        let update = format!(
            "UPDATE instances SET seen_at = {clock}, clock = ? - {clock} WHERE name = ? AND process = ?"
        );
        let insert = format!(
            "REPLACE INTO instances (name, process, version, started_at, seen_at, clock)
                VALUES (?, ?, ?, {clock}, {clock}, ? - {clock})"
        );
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            let known = sqlx::query("SELECT process FROM instances WHERE name = ?")
                .bind(name)
                .fetch_optional(&mut *transaction)
                .await?;
            let is_known = match known {
                Some(row) => row.text("process")? == process,
                None => false,
            };
            if is_known {
                sqlx::query(&update)
                    .bind(now)
                    .bind(name)
                    .bind(process)
                    .execute(&mut *transaction)
                    .await?;
            } else {
                sqlx::query(&insert)
                    .bind(name)
                    .bind(process)
                    .bind(version)
                    .bind(now)
                    .execute(&mut *transaction)
                    .await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// All of them, by name, also those that are gone.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(self) -> Result<Vec<Instance>> {
        let select = format!(
            "SELECT name, process, version, started_at, {} - seen_at AS silent, clock
                FROM instances ORDER BY name",
            self.0.clock()
        );
        let rows = sqlx::query(&select).fetch_all(self.0.pool()).await?;
        rows.iter()
            .map(|row| {
                Ok(Instance {
                    name: row.text("name")?,
                    process: row.text("process")?,
                    version: row.text("version")?,
                    started_at: row.int("started_at")?,
                    silent: row.int("silent")?,
                    clock: row.int("clock")?,
                })
            })
            .collect()
    }

    /// An instance ends, and is expected back no more than any other.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget(self, name: &str, process: &str) -> Result<()> {
        retrying(|| async {
            sqlx::query("DELETE FROM instances WHERE name = ? AND process = ?")
                .bind(name)
                .bind(process)
                .execute(self.0.pool())
                .await?;
            Ok(())
        })
        .await
    }

    /// Forgets those that have said nothing for so many seconds. Returns how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_silent(self, age: Seconds) -> Result<u64> {
        let delete = format!(
            "DELETE FROM instances WHERE seen_at < {} - ?",
            self.0.clock()
        );
        retrying(|| async {
            let deleted = sqlx::query(&delete)
                .bind(age)
                .execute(self.0.pool())
                .await?;
            Ok(deleted.rows_affected())
        })
        .await
    }
}
