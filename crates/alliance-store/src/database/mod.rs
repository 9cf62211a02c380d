//! The connection pool, and the few places where the two databases differ.

pub(crate) mod exclusive;
pub(crate) mod fault;
pub(crate) mod location;
pub(crate) mod migration;
pub(crate) mod row;

use std::sync::Arc;
use std::time::{Duration, Instant};

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyConnection, AnyPool, ConnectOptions, Connection, Executor, Transaction};

use self::fault::Fault;
use self::location::Location;
use crate::error::{OpenError, Result};

/// How long a request waits for a connection, or for somebody else's write.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a write that met somebody else's is tried again: nodes of a Galera cluster do not wait for each
/// other, one of two has to do it again.
const AGAIN: u32 = 10;
/// The first pause before that; each is twice as long as the one before, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// How many rows one statement carries at most.
pub(crate) const ROWS: usize = 100;
/// Each connection to SQLite is a thread.
const SQLITE_CONNECTIONS: u32 = 3;
const MARIADB_CONNECTIONS: u32 = 8;
/// What was committed at any node of a Galera cluster is seen at this one, by what reads and by what writes
/// (<https://mariadb.com/kb/en/galera-cluster-system-variables/#wsrep_sync_wait>). A server of its own does not heed it; one that was
/// built without Galera does not know it.
const SEE_ALL: &str = "SET SESSION wsrep_sync_wait = 7";

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    MariaDb,
}

/// How a database is before anybody starts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// There is none, or nothing in it: a daemon makes what it needs at its first start.
    Absent,
    /// It is this cloud's.
    Schema {
        /// Its schema.
        found: i64,
        /// The newest that this version knows, to which a start brings it.
        known: i64,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct Database {
    pool: AnyPool,
    dialect: Dialect,
    cloud: CloudId,
    /// Who tells other instances what it changes.
    author: Option<Arc<str>>,
}

impl Database {
    pub(crate) async fn open(url: &str, cloud: &CloudId) -> std::result::Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let location = Location::parse(url)?;
        location.prepare()?;
        // Not by the pool, which would try again and again and tell nothing of why.
        let mut first = connect(&location)
            .await
            .map_err(|error| location.explain(error))?;
        let database = Self::at(&location, cloud)?;
        migration::bring_up_to_date(&mut first, &database, &location).await?;
        if location.dialect() == Dialect::MariaDb {
            warn_if_commits_are_not_durable(&mut first).await;
        }
        // A connection that ends badly now has done all that it had to.
        let _ = first.close().await;
        Ok(database)
    }

    /// As it is, with whatever schema. Nobody is connected yet.
    pub(crate) fn at(location: &Location, cloud: &CloudId) -> std::result::Result<Self, OpenError> {
        Ok(Self {
            pool: pool(location).map_err(|error| location.explain(error))?,
            dialect: location.dialect(),
            cloud: cloud.clone(),
            author: None,
        })
    }

    /// Changes nothing.
    pub(crate) async fn look(url: &str, cloud: &CloudId) -> std::result::Result<Look, OpenError> {
        sqlx::any::install_default_drivers();
        let location = Location::parse(url)?;
        if location.is_absent() {
            return Ok(Look::Absent);
        }
        location.require_writable()?;
        let looked = tokio::time::timeout(PATIENCE, async {
            let mut connection = connect(&location)
                .await
                .map_err(|error| location.explain(error))?;
            let look = migration::look(&mut connection, &location, cloud).await?;
            if let Look::Schema { found, .. } = look {
                let missing = migration::missing(&mut connection, found).await;
                let missing = missing.map_err(|error| location.explain(error))?;
                if !missing.is_empty() {
                    return Err(OpenError::Incomplete {
                        database: location.to_string(),
                        missing,
                    });
                }
            }
            if look != Look::Absent {
                migration::try_write(&mut connection, location.dialect())
                    .await
                    .map_err(|error| location.explain(error))?;
            }
            let _ = connection.close().await;
            Ok(look)
        });
        let looked = looked.await;
        looked.unwrap_or_else(|_| Err(location.explain(sqlx::Error::PoolTimedOut)))
    }

    /// The database that a daemon has made, whoever's it is.
    pub(crate) async fn attach(url: &str) -> std::result::Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let location = Location::parse(url)?;
        let mut first = connect(&location)
            .await
            .map_err(|error| location.explain(error))?;
        let owner = migration::owner(&mut first).await;
        let _ = first.close().await;
        let owner = owner.ok_or_else(|| OpenError::NobodysYet {
            database: location.to_string(),
        })?;
        Self::open(url, &owner).await
    }

    /// Whose database it is.
    pub(crate) fn cloud(&self) -> &CloudId {
        &self.cloud
    }

    pub(crate) fn tell_as(&mut self, author: &str) {
        self.author = (self.dialect == Dialect::MariaDb).then(|| author.into());
    }

    pub(crate) fn author(&self) -> Option<&str> {
        self.author.as_deref()
    }

    /// The database's own clock, in seconds, as an expression: processes on several machines have no other
    /// in common.
    pub(crate) fn clock(&self) -> &'static str {
        match self.dialect {
            Dialect::Sqlite => "CAST(strftime('%s', 'now') AS INTEGER)",
            Dialect::MariaDb => "CAST(UNIX_TIMESTAMP() AS SIGNED)",
        }
    }

    /// For single statements that read.
    pub(crate) fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Deletes what is due at a time, the one value of `delete`. Returns how much.
    pub(crate) async fn forget(&self, delete: &'static str, at: Seconds) -> Result<u64> {
        retrying(|| async {
            let deleted = sqlx::query(delete).bind(at).execute(self.pool()).await?;
            Ok(deleted.rows_affected())
        })
        .await
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

    /// Whether it can be written, without a change.
    pub(crate) async fn try_write(&self) -> Result<()> {
        let tried = async {
            // One that is given up is rolled back.
            let mut transaction = self.write().await?;
            sqlx::query(migration::SAME)
                .execute(&mut *transaction)
                .await?;
            transaction.rollback().await?;
            Ok(())
        };
        let tried = tokio::time::timeout(PATIENCE, tried).await;
        tried.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into()))
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Runs a write again that met somebody else's. Each attempt is a whole transaction.
pub(crate) async fn retrying<T, F, Fut>(mut attempt: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let begin = Instant::now();
    for pause in pauses() {
        match attempt().await {
            Err(crate::Error::Busy(_)) if begin.elapsed() < PATIENCE => {
                tokio::time::sleep(pause).await;
            }
            done => return done,
        }
    }
    attempt().await
}

/// Between attempts. By chance up to half more or less, so that two that met do not meet again and again.
fn pauses() -> impl Iterator<Item = Duration> {
    (0..AGAIN).map(|times| {
        let pause = FIRST_PAUSE.saturating_mul(1 << times).min(LONGEST_PAUSE);
        pause.mul_f64(rand::random_range(0.5..1.5))
    })
}

pub(crate) async fn connect(
    location: &Location,
) -> std::result::Result<AnyConnection, sqlx::Error> {
    let options = options(location)?;
    let mut connection = match tokio::time::timeout(PATIENCE, options.connect()).await {
        Ok(connected) => connected?,
        Err(_) => return Err(sqlx::Error::PoolTimedOut),
    };
    prepare(&mut connection, location.dialect()).await?;
    Ok(connection)
}

fn pool(location: &Location) -> std::result::Result<AnyPool, sqlx::Error> {
    let dialect = location.dialect();
    let builder = AnyPoolOptions::new()
        .acquire_timeout(PATIENCE)
        .after_connect(move |connection, _| Box::pin(prepare(connection, dialect)));
    let builder = match dialect {
        // An open file never goes stale.
        Dialect::Sqlite => builder
            .max_connections(SQLITE_CONNECTIONS)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_release(|connection, _| Box::pin(has_no_transaction(connection))),
        Dialect::MariaDb => builder.max_connections(MARIADB_CONNECTIONS),
    };
    Ok(builder.connect_lazy_with(options(location)?))
}

/// Whether a connection to SQLite can be used again. The driver takes a transaction for open for ever
/// that SQLite itself has ended, as it does on a full disk; and it leaves one open whose beginning was
/// given up halfway, which would keep everybody else from writing.
async fn has_no_transaction(
    connection: &mut AnyConnection,
) -> std::result::Result<bool, sqlx::Error> {
    // What was begun to be undone is undone by then.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// Statements are not logged: they carry hashes of tokens and, once, an invitation's secret.
fn options(location: &Location) -> std::result::Result<AnyConnectOptions, sqlx::Error> {
    let options: AnyConnectOptions = location.connect_url().parse()?;
    Ok(options.disable_statement_logging())
}

async fn warn_if_commits_are_not_durable(connection: &mut AnyConnection) {
    let setting: std::result::Result<i64, _> =
        sqlx::query_scalar("SELECT @@innodb_flush_log_at_trx_commit")
            .fetch_one(connection)
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
            // Of a process that was stopped in the middle; others wait for its locks.
            "SET SESSION idle_transaction_timeout = 5",
        ],
    };
    for statement in statements {
        let mut again = pauses();
        while let Err(error) = connection.execute(*statement).await {
            // Two daemons that start at once both want the lock that turns the log on.
            match (Fault::of(&error), again.next()) {
                (Fault::Busy, Some(pause)) => tokio::time::sleep(pause).await,
                _ => return Err(error),
            }
        }
    }
    if dialect == Dialect::MariaDb
        && let Err(error) = connection.execute(SEE_ALL).await
        && Fault::of(&error) != Fault::NoVariable
    {
        return Err(error);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;
    use crate::{AuditEntry, Store};

    fn entry(size: usize) -> AuditEntry {
        AuditEntry {
            at: 1,
            actor: "operator".into(),
            action: "test".into(),
            subject: "x".repeat(size),
            detail: String::new(),
        }
    }

    async fn store_in(folder: &tempfile::TempDir) -> std::result::Result<Store, OpenError> {
        let url = format!("sqlite://{}/alliance.db", folder.path().display());
        Store::open(&url, &CloudId::from_spki(b"this cloud")).await
    }

    /// A store of which every connection has run `pragma`.
    async fn store_with(
        folder: &tempfile::TempDir,
        pragma: &str,
    ) -> std::result::Result<Store, Box<dyn Error>> {
        let store = store_in(folder).await?;
        store.audit().append(&entry(1)).await?;
        let mut connections = Vec::new();
        for _ in 0..SQLITE_CONNECTIONS {
            let mut connection = store.database.pool.acquire().await?;
            connection.execute(pragma).await?;
            connections.push(connection);
        }
        Ok(store)
    }

    #[tokio::test]
    async fn a_full_disk_is_said_and_nothing_is_half_stored()
    -> std::result::Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        // A page limit fails like a disk without space.
        let store = store_with(&folder, "PRAGMA max_page_count = 1").await?;
        let full = store.audit().append(&entry(100_000)).await;
        assert!(matches!(full, Err(crate::Error::Full(_))), "{full:?}");
        assert_eq!(store.audit().list(10).await?, [entry(1)]);
        Ok(())
    }

    #[tokio::test]
    async fn a_transaction_that_sqlite_itself_has_ended_is_not_the_last()
    -> std::result::Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let store = store_in(&folder).await?;
        for _ in 0..=SQLITE_CONNECTIONS {
            let mut transaction = store.database.write().await?;
            let connection = &mut *transaction;
            connection
                .execute("CREATE TEMP TABLE one (id INTEGER PRIMARY KEY)")
                .await?;
            connection.execute("INSERT INTO one VALUES (1)").await?;
            // As SQLite does when a disk is full or cannot be read.
            let twice = connection
                .execute("INSERT OR ROLLBACK INTO one VALUES (1)")
                .await;
            assert!(twice.is_err());
            drop(transaction);
            store.audit().append(&entry(1)).await?;
        }
        Ok(())
    }

    /// Gives a future up when it has been woken so often.
    async fn given_up_after<F: Future>(steps: usize, future: F) {
        let mut future = pin!(future);
        let mut left = steps;
        poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            future.as_mut().poll(context).map(drop)
        })
        .await;
    }

    #[tokio::test]
    async fn who_gives_up_halfway_keeps_nobody_from_writing()
    -> std::result::Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let store = store_in(&folder).await?;
        for steps in (0..10).cycle().take(300) {
            given_up_after(steps, store.database.write()).await;
            store.database.write().await?.rollback().await?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_connection_to_mariadb_waits_for_what_other_nodes_have_committed()
    -> std::result::Result<(), Box<dyn Error>> {
        let Ok(server) = std::env::var("ALLIANCE_TEST_MYSQL_URL") else {
            return Ok(());
        };
        sqlx::any::install_default_drivers();
        let mut connection = connect(&Location::parse(&server)?).await?;
        let waits = "SELECT CAST(@@wsrep_sync_wait AS SIGNED)";
        let waits: i64 = sqlx::query_scalar(waits).fetch_one(&mut connection).await?;
        assert_eq!(waits, 7);
        Ok(())
    }

    #[tokio::test]
    async fn a_database_that_became_read_only_is_said() -> std::result::Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let store = store_with(&folder, "PRAGMA query_only = 1").await?;
        let refused = store.meta().next_generation().await;
        assert!(
            matches!(refused, Err(crate::Error::ReadOnly(_))),
            "{refused:?}"
        );
        store.ping().await?;
        Ok(())
    }
}
