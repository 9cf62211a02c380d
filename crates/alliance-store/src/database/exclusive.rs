//! MariaDB: one at a time changes the tables.
//!
//! By a lease, which counts at each node of a Galera cluster: named locks (`GET_LOCK`) are refused there
//! (<https://jira.mariadb.org/browse/MDEV-30473>), and those of rows and tables are one node's own.

use std::time::{Duration, Instant};

use sqlx::AnyConnection;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::Database;
use super::location::Location;
use crate::error::{Error, OpenError, Result};
use crate::leases::{self, Lease, Leases};

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
    database: Database,
    /// None: it was given back.
    lease: Option<Lease>,
    renewing: JoinHandle<()>,
}

impl Exclusive {
    /// Waits for whoever has it.
    ///
    /// # Errors
    /// [`OpenError::Busy`] if somebody has it for too long; the database's.
    pub(crate) async fn take(
        database: &Database,
        location: &Location,
    ) -> std::result::Result<Self, OpenError> {
        let made = sqlx::query(LEASES).execute(database.pool()).await;
        made.map_err(|error| location.explain(error))?;
        let holder = Uuid::new_v4().to_string();
        let begin = Instant::now();
        let lease = loop {
            match Leases(database).take(NAME, &holder, LIFE).await {
                Ok(Some(lease)) => break lease,
                Ok(None) | Err(Error::Busy(_)) if begin.elapsed() < PATIENCE => {
                    tokio::time::sleep(PAUSE).await;
                }
                Ok(None) => {
                    return Err(OpenError::Busy {
                        database: location.to_string(),
                    });
                }
                Err(error) => return Err(location.explain(error.into_cause())),
            }
        };
        Ok(Self {
            database: database.clone(),
            lease: Some(lease),
            renewing: tokio::spawn(renew(database.clone(), holder)),
        })
    }

    /// Keeps it until the transaction ends in which this is done.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if another process has it by now.
    pub(crate) async fn hold(&self, transaction: &mut AnyConnection) -> Result<()> {
        match &self.lease {
            Some(lease) => leases::hold(transaction, lease).await,
            None => Err(Error::LeaseLost(NAME.to_owned())),
        }
    }

    /// Gives it back. If the database does not hear that, others wait for some seconds.
    pub(crate) async fn give_back(mut self) {
        self.renewing.abort();
        if let Some(lease) = self.lease.take() {
            give_back(self.database.clone(), lease).await;
        }
    }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        self.renewing.abort();
        if let Some((lease, runtime)) = self.lease.take().zip(Handle::try_current().ok()) {
            runtime.spawn(give_back(self.database.clone(), lease));
        }
    }
}

async fn renew(database: Database, holder: String) {
    loop {
        tokio::time::sleep(BEAT).await;
        match Leases(&database).take(NAME, &holder, LIFE).await {
            Ok(Some(_)) => {}
            Ok(None) => tracing::warn!("another process may be changing the tables too"),
            Err(error) => {
                tracing::warn!(%error, "the database is not told that its tables are being changed");
            }
        }
    }
}

async fn give_back(database: Database, lease: Lease) {
    if let Err(error) = Leases(&database).give_back(&lease).await {
        tracing::debug!(%error, "others wait for {LIFE} s before they change tables");
    }
}
