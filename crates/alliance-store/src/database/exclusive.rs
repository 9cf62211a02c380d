//! MariaDB: one at a time changes the tables.
//!
//! By a lease, which counts at each node of a Galera cluster: named locks (`GET_LOCK`) are refused there
//! (<https://jira.mariadb.org/browse/MDEV-30473>), and those of rows and tables are one node's own.

use std::time::{Duration, Instant};

use sqlx::{AnyConnection, AnyPool};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::fault::Fault;
use super::location::Location;
use crate::error::OpenError;

/// What it is called among the leases.
const NAME: &str = "schema";
/// How long it counts when its holder has died, in seconds, and how often a living one renews it.
const LIFE: i64 = 10;
const BEAT: Duration = Duration::from_secs(2);
/// How long another one is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// The leases as the first schema that had them made them: they are needed before there is any.
const LEASES: &str = "CREATE TABLE IF NOT EXISTS leases (
    name   VARCHAR(32) NOT NULL PRIMARY KEY,
    holder VARCHAR(64) NOT NULL,
    till   BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin";

/// The right to change the tables, until it is given back or dropped, or this process ends.
#[derive(Debug)]
pub(crate) struct Exclusive {
    turn: Option<Turn>,
    renewing: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Turn {
    pool: AnyPool,
    holder: String,
}

impl Exclusive {
    /// Waits for whoever has it.
    ///
    /// # Errors
    /// [`OpenError::Busy`] if somebody has it for too long; the database's.
    pub(crate) async fn take(pool: AnyPool, location: &Location) -> Result<Self, OpenError> {
        let explain = |error| location.explain(error);
        let made = sqlx::query(LEASES).execute(&pool).await;
        made.map_err(explain)?;
        let holder = Uuid::new_v4().to_string();
        let turn = Turn { pool, holder };
        let begin = Instant::now();
        while !turn.take().await.map_err(explain)? {
            if begin.elapsed() >= PATIENCE {
                return Err(OpenError::Busy {
                    database: location.to_string(),
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
        let renewing = tokio::spawn(turn.clone().renew());
        let turn = Some(turn);
        Ok(Self { turn, renewing })
    }

    /// Keeps it until the transaction ends in which this is done. False if another process has it by now.
    pub(crate) async fn hold(&self, transaction: &mut AnyConnection) -> sqlx::Result<bool> {
        let Some(turn) = &self.turn else {
            return Ok(false);
        };
        let held = sqlx::query("UPDATE leases SET held = held + 1 WHERE name = ? AND holder = ?")
            .bind(NAME)
            .bind(turn.holder.as_str())
            .execute(transaction)
            .await?;
        Ok(held.rows_affected() > 0)
    }

    /// Gives it back. If the database does not hear that, others wait for some seconds.
    pub(crate) async fn give_back(mut self) {
        if let Some(turn) = self.turn.take() {
            self.renewing.abort();
            turn.give_back().await;
        }
    }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        self.renewing.abort();
        if let Some((turn, runtime)) = self.turn.take().zip(Handle::try_current().ok()) {
            runtime.spawn(turn.give_back());
        }
    }
}

impl Turn {
    /// Takes it, or goes on holding it. False if another one holds it, or wants it at the same time.
    async fn take(&self) -> sqlx::Result<bool> {
        match self.take_once().await {
            Err(error) if Fault::of(&error) == Fault::Busy => Ok(false),
            taken => taken,
        }
    }

    async fn take_once(&self) -> sqlx::Result<bool> {
        let insert = "INSERT IGNORE INTO leases (name, holder, till) VALUES (?, '', 0)";
        sqlx::query(insert).bind(NAME).execute(&self.pool).await?;
        let taken = sqlx::query(
            "UPDATE leases SET holder = ?, till = UNIX_TIMESTAMP() + ?
                WHERE name = ? AND (holder = ? OR till <= UNIX_TIMESTAMP())",
        )
        .bind(self.holder.as_str())
        .bind(LIFE)
        .bind(NAME)
        .bind(self.holder.as_str())
        .execute(&self.pool)
        .await?;
        Ok(taken.rows_affected() > 0)
    }

    async fn renew(self) {
        loop {
            tokio::time::sleep(BEAT).await;
            match self.take().await {
                Ok(true) => {}
                Ok(false) => tracing::warn!("another process may be changing the tables too"),
                Err(error) => {
                    tracing::warn!(%error, "the database is not told that its tables are being changed");
                }
            }
        }
    }

    async fn give_back(self) {
        let delete = sqlx::query("DELETE FROM leases WHERE name = ? AND holder = ?")
            .bind(NAME)
            .bind(&self.holder)
            .execute(&self.pool);
        if let Err(error) = delete.await {
            tracing::debug!(%error, "others wait for {LIFE} s before they change tables");
        }
    }
}
