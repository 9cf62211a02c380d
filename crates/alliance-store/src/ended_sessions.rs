//! Partners' sessions that have ended here before their time: they stay ended after a restart, and
//! until our Keystone has been told.

use std::collections::BTreeSet;

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use serde::{Deserialize, Serialize};
use sqlx::{Any, QueryBuilder};

use crate::bulletins::{self, Bulletin};
use crate::database::row::Columns;
use crate::database::{Database, ROWS, retrying};
use crate::error::Result;

/// A session that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedSession {
    /// Its id here.
    pub session: String,
    /// Whose it was.
    pub cloud_id: CloudId,
    /// Its user, at home.
    pub user_id: String,
    /// When its token would have expired.
    pub expires_at: Seconds,
}

/// See [`Store::ended_sessions`](crate::Store::ended_sessions).
#[derive(Debug, Clone, Copy)]
pub struct EndedSessions<'a>(pub(crate) &'a Database);

impl EndedSessions<'_> {
    /// Notes some, all or none, and tells all instances. Returns those that were not known: of these our
    /// Keystone must be told.
    ///
    /// # Errors
    /// The database's.
    pub async fn add(self, ended: &[EndedSession]) -> Result<Vec<EndedSession>> {
        retrying(|| self.add_once(ended)).await
    }

    async fn add_once(self, ended: &[EndedSession]) -> Result<Vec<EndedSession>> {
        let mut transaction = self.0.write().await?;
        bulletins::lock(self.0, &mut transaction).await?;
        let mut known = BTreeSet::new();
        for some in ended.chunks(ROWS) {
            let mut select =
                QueryBuilder::<Any>::new("SELECT session FROM ended_sessions WHERE session IN (");
            let mut list = select.separated(", ");
            for one in some {
                list.push_bind(one.session.as_str());
            }
            list.push_unseparated(")");
            for row in select.build().fetch_all(&mut *transaction).await? {
                known.insert(row.text("session")?);
            }
        }
        let new: Vec<EndedSession> = ended
            .iter()
            .filter(|one| known.insert(one.session.clone()))
            .cloned()
            .collect();
        for rows in new.chunks(ROWS) {
            let mut insert = QueryBuilder::<Any>::new(
                "REPLACE INTO ended_sessions (session, cloud_id, user_id, expires_at, told) ",
            );
            insert.push_values(rows, |mut row, ended| {
                row.push_bind(ended.session.as_str())
                    .push_bind(ended.cloud_id.as_str())
                    .push_bind(ended.user_id.as_str())
                    .push_bind(ended.expires_at)
                    .push_bind(0_i64);
            });
            insert.build().execute(&mut *transaction).await?;
            let sessions = rows.to_vec();
            let told = Bulletin::Ended { sessions };
            bulletins::post(self.0, &mut transaction, &told).await?;
        }
        transaction.commit().await?;
        Ok(new)
    }

    /// Our Keystone knows of these.
    ///
    /// # Errors
    /// The database's.
    pub async fn told(self, sessions: &[String]) -> Result<()> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            for some in sessions.chunks(ROWS) {
                let mut update = QueryBuilder::<Any>::new(
                    "UPDATE ended_sessions SET told = 1 WHERE session IN (",
                );
                let mut list = update.separated(", ");
                for session in some {
                    list.push_bind(session.as_str());
                }
                list.push_unseparated(")");
                update.build().execute(&mut *transaction).await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// Those whose tokens have not expired at `now`, and whether our Keystone knows of each.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(self, now: Seconds) -> Result<Vec<(EndedSession, bool)>> {
        let rows = sqlx::query(
            "SELECT session, cloud_id, user_id, expires_at, told FROM ended_sessions WHERE expires_at > ?",
        )
        .bind(now)
        .fetch_all(self.0.pool())
        .await?;
        rows.iter()
            .map(|row| {
                let ended = EndedSession {
                    session: row.text("session")?,
                    cloud_id: row.word("cloud_id")?,
                    user_id: row.text("user_id")?,
                    expires_at: row.int("expires_at")?,
                };
                Ok((ended, row.int("told")? != 0))
            })
            .collect()
    }

    /// Forgets those whose tokens have expired. Returns how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_expired(self, now: Seconds) -> Result<u64> {
        self.0
            .forget("DELETE FROM ended_sessions WHERE expires_at <= ?", now)
            .await
    }
}
