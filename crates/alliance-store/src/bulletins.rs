//! The board: what one instance of a daemon tells the others that have the same database.
//!
//! Whoever writes locks the row of the last number first. So numbers become visible in their order: who has
//! read one never misses an earlier one.

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::sign_out::Change;
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;

use crate::database::row::{Columns, to_json};
use crate::database::{Database, retrying};
use crate::ended_sessions::EndedSession;
use crate::error::Result;

/// How many are read at once.
const AT_ONCE: i64 = 500;
/// What a [`Bulletin::Heard`] looks like in the database.
const HEARD: &str = r#"what LIKE '{"kind":"heard",%'"#;

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Bulletin {
    /// What a partner may has changed, or who is one.
    Trust,
    /// A partner says something else of itself, or of what it grants.
    Facts,
    /// A partner has said what has changed there.
    Heard {
        /// The partner.
        partner: CloudId,
        /// What it said.
        changes: Vec<Change>,
    },
    /// From when on all is known here that ends at a partner, by its clock; `None`: it is not asked.
    Listening {
        /// The partner.
        partner: CloudId,
        /// Since when.
        since: Option<Seconds>,
    },
    /// Sessions have ended here.
    Ended {
        /// Which.
        sessions: Vec<EndedSession>,
    },
    /// Something that has ended here was noted for hosts.
    SignOuts,
    /// An invitation or an acceptance is another than before.
    Pairings,
    /// What has ended here is to be read in our Keystone.
    Look,
    /// Our Keystone's catalog is another one.
    Catalog,
    /// A partner has news.
    Pull {
        /// The partner.
        partner: CloudId,
    },
    /// A retirement was begun or changed by an operator.
    Retirements,
    /// A partner's project was retired: whoever comes next comes to a new one.
    Retired {
        /// Whose project.
        partner: CloudId,
        /// Its id at home.
        project_id: String,
    },
    /// An instance has come that wants to know who is listened to.
    Joined,
    /// What a later version says.
    #[serde(other)]
    Unknown,
}

/// A bulletin as it stands on the board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// Its number: one more than that of the one before.
    pub number: u64,
    /// The process that wrote it.
    pub author: String,
    /// What it says.
    pub what: Bulletin,
}

/// See [`Store::bulletins`](crate::Store::bulletins).
#[derive(Debug, Clone, Copy)]
pub struct Bulletins<'a>(pub(crate) &'a Database);

impl Bulletins<'_> {
    /// Tells all other instances, all of it or nothing. Does nothing where there can be no others.
    ///
    /// # Errors
    /// The database's.
    pub async fn post(self, what: &[Bulletin]) -> Result<()> {
        if self.0.author().is_none() || what.is_empty() {
            return Ok(());
        }
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            for one in what {
                post(self.0, &mut transaction, one).await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// The number before the first one that is not older than so many seconds: whoever begins heeds what comes
    /// after it. If there is none, that of the last one that there was; 0 if there was none.
    ///
    /// # Errors
    /// The database's.
    pub async fn beginning(self, age: Seconds) -> Result<u64> {
        let clock = self.0.clock();
        let row = sqlx::query(&format!(
            "SELECT value, (SELECT MIN(seq) FROM bulletins WHERE at >= {clock} - ?) AS oldest
                FROM counters WHERE name = 'bulletins'"
        ))
        .bind(age)
        .fetch_one(self.0.pool())
        .await?;
        let last = row.int("value")?;
        let before = row.maybe_int("oldest")?.map_or(last, |oldest| oldest - 1);
        Ok(before.unsigned_abs())
    }

    /// The number of the last one that there was; 0 if there was none.
    ///
    /// # Errors
    /// The database's.
    pub async fn last(self) -> Result<u64> {
        let row = sqlx::query("SELECT value FROM counters WHERE name = 'bulletins'")
            .fetch_one(self.0.pool())
            .await?;
        Ok(row.int("value")?.unsigned_abs())
    }

    /// Some of those after this number, the earliest first. Their numbers have no gap, unless some were
    /// forgotten.
    ///
    /// # Errors
    /// The database's.
    pub async fn after(self, number: u64) -> Result<Vec<Posted>> {
        self.some_after(number, "TRUE").await
    }

    /// The same of those that say what a partner has said.
    ///
    /// # Errors
    /// The database's.
    pub async fn heard_after(self, number: u64) -> Result<Vec<Posted>> {
        self.some_after(number, HEARD).await
    }

    async fn some_after(self, number: u64, wanted: &str) -> Result<Vec<Posted>> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let rows = sqlx::query(&format!(
            "SELECT seq, author, what FROM bulletins WHERE seq > ? AND {wanted} ORDER BY seq LIMIT ?"
        ))
        .bind(number)
        .bind(AT_ONCE)
        .fetch_all(self.0.pool())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Posted {
                    number: row.int("seq")?.unsigned_abs(),
                    author: row.text("author")?,
                    // Part of one may be of a later version too.
                    what: row.json("what").unwrap_or(Bulletin::Unknown),
                })
            })
            .collect()
    }

    /// Forgets those that are older than `age`, and those that say what a partner has said when they are older
    /// than `heard`; seconds. Returns how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_older(self, age: Seconds, heard: Seconds) -> Result<u64> {
        let clock = self.0.clock();
        let delete = format!(
            "DELETE FROM bulletins WHERE at < {clock} - ? AND (at < {clock} - ? OR NOT ({HEARD}))"
        );
        retrying(|| async {
            let deleted = sqlx::query(&delete)
                .bind(age)
                .bind(heard)
                .execute(self.0.pool())
                .await?;
            Ok(deleted.rows_affected())
        })
        .await
    }
}

/// Until the transaction ends, nobody else writes on the board, nor whatever else is locked by it.
pub(crate) async fn lock(database: &Database, transaction: &mut AnyConnection) -> Result<()> {
    if database.author().is_some() {
        sqlx::query("UPDATE counters SET value = value WHERE name = 'bulletins'")
            .execute(transaction)
            .await?;
    }
    Ok(())
}

/// Tells all other instances when the transaction is committed. Does nothing where there can be no others.
pub(crate) async fn post(
    database: &Database,
    transaction: &mut AnyConnection,
    what: &Bulletin,
) -> Result<()> {
    let Some(author) = database.author() else {
        return Ok(());
    };
    sqlx::query("UPDATE counters SET value = value + 1 WHERE name = 'bulletins'")
        .execute(&mut *transaction)
        .await?;
    let insert = format!(
        "INSERT INTO bulletins (seq, at, author, what)
            SELECT value, {}, ?, ? FROM counters WHERE name = 'bulletins'",
        database.clock()
    );
    sqlx::query(&insert)
        .bind(author)
        .bind(to_json("bulletins.what", what)?)
        .execute(transaction)
        .await?;
    Ok(())
}
