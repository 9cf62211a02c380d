//! The connection pool, and the few places where the two databases differ.

pub(crate) mod fault;
pub(crate) mod location;
pub(crate) mod migration;
pub(crate) mod row;

use std::time::Duration;

use alliance_core::cloud::CloudId;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyConnection, AnyPool, ConnectOptions, Executor, Transaction};

use self::fault::Fault;
use self::location::Location;
use crate::error::{OpenError, Result};

/// How long a request waits for a connection, or for somebody else's write.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pauses between attempts of a write that met somebody else's.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(5),
    Duration::from_millis(25),
    Duration::from_millis(100),
    Duration::from_millis(400),
];
/// Each connection to SQLite is a thread.
const SQLITE_CONNECTIONS: u32 = 3;
const MARIADB_CONNECTIONS: u32 = 8;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    MariaDb,
}

#[derive(Debug, Clone)]
pub(crate) struct Database {
    pool: AnyPool,
    dialect: Dialect,
}

impl Database {
    pub(crate) async fn open(url: &str, cloud: &CloudId) -> std::result::Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let location = Location::parse(url)?;
        location.prepare()?;
        let dialect = location.dialect();
        let database = connect(&location)
            .await
            .map_err(|error| location.explain(error))?;
        if let Err(error) = migration::bring_up_to_date(&database, &location, cloud).await {
            database.close().await;
            return Err(error);
        }
        if dialect == Dialect::MariaDb {
            database.warn_if_commits_are_not_durable().await;
        }
        Ok(database)
    }

    /// For single statements that read.
    pub(crate) fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// A transaction that may write. In SQLite it holds the one right to write from the start:
    /// one that reads first and then wants to write would fail if another wrote in between.
    pub(crate) async fn write(&self) -> Result<Transaction<'static, Any>> {
        Ok(match self.dialect {
            Dialect::Sqlite => self.pool.begin_with("BEGIN IMMEDIATE").await?,
            Dialect::MariaDb => self.pool.begin().await?,
        })
    }

    pub(crate) async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT name FROM counters LIMIT 1")
            .fetch_optional(&self.pool)
            .await?;
        Ok(())
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    async fn warn_if_commits_are_not_durable(&self) {
        let setting: std::result::Result<i64, _> =
            sqlx::query_scalar("SELECT @@innodb_flush_log_at_trx_commit")
                .fetch_one(&self.pool)
                .await;
        if let Ok(setting) = setting
            && setting != 1
        {
            tracing::warn!(
                innodb_flush_log_at_trx_commit = setting,
                "MariaDB may forget what it acknowledged when its machine fails; set it to 1"
            );
        }
    }
}

/// Runs a write again that met somebody else's. Each attempt is a whole transaction.
pub(crate) async fn retrying<T, F, Fut>(mut attempt: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    for pause in PAUSES {
        match attempt().await {
            Err(crate::Error::Busy(_)) => tokio::time::sleep(pause).await,
            done => return done,
        }
    }
    attempt().await
}

async fn connect(location: &Location) -> std::result::Result<Database, sqlx::Error> {
    let dialect = location.dialect();
    let options: AnyConnectOptions = location.connect_url().parse()?;
    let pool = AnyPoolOptions::new()
        .max_connections(match dialect {
            Dialect::Sqlite => SQLITE_CONNECTIONS,
            Dialect::MariaDb => MARIADB_CONNECTIONS,
        })
        .acquire_timeout(PATIENCE)
        .after_connect(move |connection, _| Box::pin(prepare(connection, dialect)))
        // Statements carry hashes of tokens and, once, an invitation's secret.
        .connect_with(options.disable_statement_logging())
        .await?;
    Ok(Database { pool, dialect })
}

async fn prepare(
    connection: &mut AnyConnection,
    dialect: Dialect,
) -> std::result::Result<(), sqlx::Error> {
    let statements: &[&str] = match dialect {
        Dialect::Sqlite => &[
            "PRAGMA busy_timeout = 5000",
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "PRAGMA foreign_keys = ON",
        ],
        Dialect::MariaDb => &[
            // A reader in a transaction sees what was committed while it waited for a lock.
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES')",
            "SET SESSION innodb_lock_wait_timeout = 5",
        ],
    };
    for statement in statements {
        let mut again = PAUSES.into_iter();
        while let Err(error) = connection.execute(*statement).await {
            // Two daemons that start at once both want the lock that turns the log on.
            match (Fault::of(&error), again.next()) {
                (Fault::Busy, Some(pause)) => tokio::time::sleep(pause).await,
                _ => return Err(error),
            }
        }
    }
    Ok(())
}
