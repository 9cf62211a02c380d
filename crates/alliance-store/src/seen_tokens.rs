//! Hashes of partners' tokens that were let in here, so that a suspended partner's can be dropped
//! from the services' caches. Many at once are written in one go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::session::Origin;
use futures_util::stream::{StreamExt, TryChunksError, TryStreamExt};
use sqlx::any::AnyRow;
use sqlx::{Any, QueryBuilder, Row};

use crate::database::row::{Columns, to_json};
use crate::database::{Database, ROWS, retrying};
use crate::error::Result;

/// How many tokens wait at most for a database that cannot be written; the oldest go first.
const WAITING: usize = 100_000;

/// How many are handed over at a time.
const HANDED_OVER: usize = 1000;

/// A partner's token that was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenToken {
    /// Lowercase hex SHA-256 of the whole token, tag included.
    pub token_sha256: String,
    /// Its issuer.
    pub cloud_id: CloudId,
    /// Its user, at home.
    pub user_id: String,
    /// Its project, at home.
    pub project_id: Option<String>,
    /// When it expires.
    pub expires_at: Seconds,
    /// The session that it belongs to.
    pub session: Option<String>,
    /// What changes at home are compared with; `None` for a token that was made here.
    pub origin: Option<Origin>,
}

/// Tokens that were noted while a write was under way.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    tokens: Mutex<Vec<SeenToken>>,
    writing: tokio::sync::Mutex<()>,
}

/// Tokens that are being written. They go back where they came from if that fails, or if the
/// request that writes them is given up: the others rely on it.
struct Batch<'a> {
    tokens: Vec<SeenToken>,
    from: &'a Unwritten,
}

impl Unwritten {
    fn take(&self) -> Batch<'_> {
        Batch {
            tokens: std::mem::take(&mut *self.lock()),
            from: self,
        }
    }

    fn add(&self, mut tokens: Vec<SeenToken>) {
        let mut waiting = self.lock();
        waiting.append(&mut tokens);
        let surplus = waiting.len().saturating_sub(WAITING);
        waiting.drain(..surplus);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SeenToken>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if !self.tokens.is_empty() {
            self.from.add(std::mem::take(&mut self.tokens));
        }
    }
}

/// What changes are compared with.
const ORIGINS: &str = "SELECT token_sha256, cloud_id, user_id, project_id, expires_at, session, origin FROM seen_tokens";

/// See [`Store::seen_tokens`](crate::Store::seen_tokens).
#[derive(Debug, Clone, Copy)]
pub struct SeenTokens<'a> {
    database: &'a Database,
    unwritten: &'a Unwritten,
}

impl<'a> SeenTokens<'a> {
    pub(crate) fn new(database: &'a Database, unwritten: &'a Unwritten) -> Self {
        Self {
            database,
            unwritten,
        }
    }

    /// Notes one; it is on disk when this returns. Those noted while another write is under way
    /// share the next one.
    ///
    /// # Errors
    /// The database's. The notes are kept and written with the next one.
    pub async fn note(self, token: SeenToken) -> Result<()> {
        self.unwritten.add(vec![token]);
        self.write_waiting().await
    }

    /// Writes what was noted and is not on disk yet: the database refused it, or who noted it did
    /// not wait.
    ///
    /// # Errors
    /// As [`Self::note`].
    pub async fn write_waiting(self) -> Result<()> {
        let _writing = self.unwritten.writing.lock().await;
        let mut batch = self.unwritten.take();
        if !batch.tokens.is_empty() {
            retrying(|| self.write(&batch.tokens)).await?;
            batch.tokens.clear();
        }
        Ok(())
    }

    /// The hashes of a partner's tokens that have not expired at `now`, those included that the
    /// database did not take yet.
    ///
    /// # Errors
    /// The database's.
    pub async fn of_partner(self, cloud: &CloudId, now: Seconds) -> Result<Vec<String>> {
        let mut hashes = self.written(cloud, now).await?;
        let waiting = self.unwritten.lock();
        let meant = |token: &&SeenToken| token.cloud_id == *cloud && token.expires_at > now;
        hashes.extend(
            waiting
                .iter()
                .filter(meant)
                .map(|token| token.token_sha256.clone()),
        );
        Ok(hashes)
    }

    /// The hashes of all tokens that belong to these sessions.
    ///
    /// # Errors
    /// The database's.
    pub async fn of_sessions(self, sessions: &BTreeSet<String>) -> Result<Vec<String>> {
        let mut hashes = BTreeSet::new();
        let all: Vec<_> = sessions.iter().collect();
        for some in all.chunks(ROWS) {
            let mut select =
                QueryBuilder::<Any>::new("SELECT token_sha256 FROM seen_tokens WHERE session IN (");
            let mut list = select.separated(", ");
            for session in some {
                list.push_bind(session.as_str());
            }
            list.push_unseparated(")");
            for row in select.build().fetch_all(self.database.pool()).await? {
                hashes.insert(row.try_get("token_sha256")?);
            }
        }
        let waiting = self.unwritten.lock();
        let is_meant = |token: &&SeenToken| {
            let session = token.session.as_ref();
            session.is_some_and(|session| sessions.contains(session))
        };
        hashes.extend(
            waiting
                .iter()
                .filter(is_meant)
                .map(|token| token.token_sha256.clone()),
        );
        Ok(hashes.into_iter().collect())
    }

    /// How many tokens that have not expired at `now` belong to each session.
    ///
    /// # Errors
    /// The database's.
    pub async fn count_by_session(self, now: Seconds) -> Result<BTreeMap<String, usize>> {
        let rows = sqlx::query(
            "SELECT session, COUNT(*) AS tokens FROM seen_tokens WHERE expires_at > ? AND session IS NOT NULL GROUP BY session",
        )
        .bind(now)
        .fetch_all(self.database.pool())
        .await?;
        rows.iter()
            .map(|row| {
                let tokens = usize::try_from(row.int("tokens")?).unwrap_or_default();
                Ok((row.text("session")?, tokens))
            })
            .collect()
    }

    /// Hands over those of partners that have not expired at `now` and say what changes are compared with:
    /// some at a time, in no order. One connection is asked once, however many there are.
    ///
    /// # Errors
    /// The database's; what was read before it was handed over.
    pub async fn each_origin(
        self,
        now: Seconds,
        mut take: impl FnMut(Vec<SeenToken>),
    ) -> Result<()> {
        let query = format!("{ORIGINS} WHERE expires_at > ? AND origin IS NOT NULL");
        let rows = sqlx::query(&query).bind(now).fetch(self.database.pool());
        let mut some = rows.map(|row| seen(&row?)).try_chunks(HANDED_OVER);
        while let Some(tokens) = some.next().await {
            let (tokens, error) = match tokens {
                Ok(tokens) => (tokens, None),
                Err(TryChunksError(tokens, error)) => (tokens, Some(error)),
            };
            take(tokens);
            if let Some(error) = error {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Of those the ones that were noted in the last so many seconds.
    ///
    /// # Errors
    /// The database's.
    pub async fn origins_of_the_last(self, age: Seconds) -> Result<Vec<SeenToken>> {
        let clock = self.database.clock();
        let rows = sqlx::query(&format!(
            "{ORIGINS} WHERE noted_at >= {clock} - ? AND expires_at > {clock} AND origin IS NOT NULL"
        ))
        .bind(age)
        .fetch_all(self.database.pool())
        .await?;
        rows.iter().map(seen).collect()
    }

    async fn written(self, cloud: &CloudId, now: Seconds) -> Result<Vec<String>> {
        sqlx::query("SELECT token_sha256 FROM seen_tokens WHERE cloud_id = ? AND expires_at > ?")
            .bind(cloud.as_str())
            .bind(now)
            .fetch_all(self.database.pool())
            .await?
            .iter()
            .map(|row| Ok(row.try_get("token_sha256")?))
            .collect()
    }

    /// Forgets those that have expired. Returns how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_expired(self, now: Seconds) -> Result<u64> {
        self.database
            .forget("DELETE FROM seen_tokens WHERE expires_at <= ?", now)
            .await
    }

    async fn write(self, batch: &[SeenToken]) -> Result<()> {
        let mut transaction = self.database.write().await?;
        for rows in batch.chunks(ROWS) {
            let mut insert = QueryBuilder::<Any>::new(
                "REPLACE INTO seen_tokens (token_sha256, cloud_id, user_id, project_id, expires_at, session, origin, noted_at) ",
            );
            let origins = rows.iter().map(|token| {
                let origin = token.origin.as_ref();
                origin
                    .map(|origin| to_json("seen_tokens.origin", origin))
                    .transpose()
            });
            let origins = origins.collect::<Result<Vec<_>>>()?;
            insert.push_values(rows.iter().zip(origins), |mut row, (token, origin)| {
                row.push_bind(&token.token_sha256)
                    .push_bind(token.cloud_id.as_str())
                    .push_bind(&token.user_id)
                    .push_bind(token.project_id.as_deref())
                    .push_bind(token.expires_at)
                    .push_bind(token.session.as_deref())
                    .push_bind(origin)
                    .push(self.database.clock());
            });
            insert.build().execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }
}

fn seen(row: &AnyRow) -> Result<SeenToken> {
    Ok(SeenToken {
        token_sha256: row.text("token_sha256")?,
        cloud_id: row.word("cloud_id")?,
        user_id: row.text("user_id")?,
        project_id: row.maybe_text("project_id")?,
        expires_at: row.int("expires_at")?,
        session: row.maybe_text("session")?,
        origin: row.maybe_json("origin")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_takes_nothing_does_not_fill_the_memory() {
        let unwritten = Unwritten::default();
        let token = |number: usize| SeenToken {
            token_sha256: format!("{number:064x}"),
            cloud_id: CloudId::from_spki(b"west"),
            user_id: "u".into(),
            project_id: None,
            expires_at: 100,
            session: None,
            origin: None,
        };
        for number in 0..=WAITING {
            unwritten.add(vec![token(number)]);
        }
        drop(unwritten.take());
        let waiting = unwritten.lock();
        assert_eq!(waiting.len(), WAITING);
        assert_eq!(waiting.first(), Some(&token(1)));
        assert_eq!(waiting.last(), Some(&token(WAITING)));
    }
}
