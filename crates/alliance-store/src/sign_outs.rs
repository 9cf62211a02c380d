//! What has ended here, in order, for hosts; and how far each of them has heard.

use std::collections::BTreeSet;

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::sign_out::Change;
use sqlx::any::AnyRow;
use sqlx::{Any, QueryBuilder};

use crate::bulletins::{self, Bulletin};
use crate::database::row::{Columns, to_json};
use crate::database::{Database, ROWS, retrying};
use crate::error::Result;

mod recent;

pub use self::recent::RecentSignOut;

/// A change, and whether it may be noted again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSignOut {
    /// Names an event that Keystone lists again and again: noted once. `None` is noted each time.
    pub digest: Option<String>,
    /// What has changed.
    pub change: Change,
}

/// A change with its number. Later ones have larger numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedSignOut {
    /// Its number.
    pub seq: u64,
    /// What has changed.
    pub change: Change,
}

/// How far a host is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// The host.
    pub host: CloudId,
    /// How many it has not heard.
    pub unheard: u64,
    /// When the oldest of them was noted.
    pub unheard_since: Option<Seconds>,
}

/// See [`Store::sign_outs`](crate::Store::sign_outs).
#[derive(Debug, Clone, Copy)]
pub struct SignOuts<'a>(pub(crate) &'a Database);

impl SignOuts<'_> {
    /// Notes those that are new. Returns how many were.
    ///
    /// # Errors
    /// The database's; none is noted then.
    pub async fn append(self, found: &[NewSignOut], at: Seconds) -> Result<usize> {
        if found.is_empty() {
            return Ok(0);
        }
        retrying(|| self.append_once(found, at)).await
    }

    async fn append_once(self, found: &[NewSignOut], at: Seconds) -> Result<usize> {
        let mut transaction = self.0.write().await?;
        // Hosts acknowledge numbers: none may become visible after a later one.
        bulletins::lock(self.0, &mut transaction).await?;
        let digests: Vec<_> = found.iter().filter_map(|new| new.digest.as_ref()).collect();
        let mut known = BTreeSet::new();
        for some in digests.chunks(ROWS) {
            let mut select =
                QueryBuilder::<Any>::new("SELECT digest FROM sign_outs WHERE digest IN (");
            let mut list = select.separated(", ");
            for digest in some {
                list.push_bind(digest.as_str());
            }
            list.push_unseparated(")");
            for row in select.build().fetch_all(&mut *transaction).await? {
                known.insert(row.text("digest")?);
            }
        }
        let mut rows = Vec::new();
        for new in found {
            let is_new = new
                .digest
                .as_ref()
                .is_none_or(|digest| known.insert(digest.clone()));
            if is_new {
                rows.push((
                    new.digest.as_deref(),
                    to_json("sign_outs.what", &new.change)?,
                ));
            }
        }
        for some in rows.chunks(ROWS) {
            let mut insert = QueryBuilder::<Any>::new("INSERT INTO sign_outs (digest, what, at) ");
            insert.push_values(some, |mut row, (digest, what)| {
                row.push_bind(*digest).push_bind(what).push_bind(at);
            });
            insert.build().execute(&mut *transaction).await?;
        }
        if !rows.is_empty() {
            bulletins::post(self.0, &mut transaction, &Bulletin::SignOuts).await?;
        }
        transaction.commit().await?;
        Ok(rows.len())
    }

    /// The next ones that `host` has not heard, at most `limit`. A host that has heard none yet is
    /// told what was noted `since`.
    ///
    /// # Errors
    /// The database's.
    pub async fn unheard(
        self,
        host: &CloudId,
        since: Seconds,
        limit: usize,
    ) -> Result<Vec<NotedSignOut>> {
        let heard = self.heard(host).await?;
        let since = if heard.is_some() { 0 } else { since };
        self.after(heard.unwrap_or_default().unsigned_abs(), since, limit)
            .await
    }

    /// The next ones after number `seq` that were noted `since`, at most `limit`, whoever has heard them.
    ///
    /// # Errors
    /// The database's.
    pub async fn after(self, seq: u64, since: Seconds, limit: usize) -> Result<Vec<NotedSignOut>> {
        let rows = sqlx::query(
            "SELECT seq, what FROM sign_outs WHERE seq > ? AND at >= ? ORDER BY seq LIMIT ?",
        )
        .bind(i64::try_from(seq).unwrap_or(i64::MAX))
        .bind(since)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(self.0.pool())
        .await?;
        rows.iter().map(noted).collect()
    }

    /// How far each host is behind that has heard any.
    ///
    /// # Errors
    /// The database's.
    pub async fn behind(self) -> Result<Vec<Behind>> {
        let rows = sqlx::query(
            "SELECT h.cloud_id, COUNT(s.seq) AS unheard, MIN(s.at) AS since \
             FROM heard_sign_outs h LEFT JOIN sign_outs s ON s.seq > h.seq GROUP BY h.cloud_id",
        )
        .fetch_all(self.0.pool())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Behind {
                    host: row.word("cloud_id")?,
                    unheard: row.int("unheard")?.unsigned_abs(),
                    unheard_since: row.maybe_int("since")?,
                })
            })
            .collect()
    }

    /// How far a host is behind that has heard none, and is to be told what was noted `since`.
    ///
    /// # Errors
    /// The database's.
    pub async fn untold(self, host: &CloudId, since: Seconds) -> Result<Behind> {
        let query = "SELECT COUNT(*) AS unheard, MIN(at) AS since FROM sign_outs WHERE at >= ?";
        let row = sqlx::query(query).bind(since);
        let row = row.fetch_one(self.0.pool()).await?;
        Ok(Behind {
            host: host.clone(),
            unheard: row.int("unheard")?.unsigned_abs(),
            unheard_since: row.maybe_int("since")?,
        })
    }

    async fn heard(self, host: &CloudId) -> Result<Option<i64>> {
        let row = sqlx::query("SELECT seq FROM heard_sign_outs WHERE cloud_id = ?")
            .bind(host.as_str())
            .fetch_optional(self.0.pool())
            .await?;
        row.map(|row| row.int("seq")).transpose()
    }

    /// `host` has heard all up to this one. What was never noted, or what it has said already, changes
    /// nothing. Returns up to which one it had heard before.
    ///
    /// # Errors
    /// The database's.
    pub async fn hears(self, host: &CloudId, seq: u64) -> Result<u64> {
        retrying(|| self.hears_once(host, seq)).await
    }

    async fn hears_once(self, host: &CloudId, seq: u64) -> Result<u64> {
        let seq = i64::try_from(seq).unwrap_or(i64::MAX);
        let before = self.heard(host).await?.unwrap_or_default();
        if before >= seq {
            // Each poll says it again; nobody has to wait for that.
            return Ok(before.unsigned_abs());
        }
        let mut transaction = self.0.write().await?;
        // Two may acknowledge at once, the one less than the other.
        bulletins::lock(self.0, &mut transaction).await?;
        let row = sqlx::query("SELECT MAX(seq) AS newest FROM sign_outs")
            .fetch_one(&mut *transaction)
            .await?;
        let newest = row.maybe_int("newest")?.unwrap_or_default();
        let row = sqlx::query("SELECT seq FROM heard_sign_outs WHERE cloud_id = ?")
            .bind(host.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
        let heard = row.map(|row| row.int("seq")).transpose()?;
        if seq <= newest && heard.is_none_or(|heard| heard < seq) {
            sqlx::query("REPLACE INTO heard_sign_outs (cloud_id, seq) VALUES (?, ?)")
                .bind(host.as_str())
                .bind(seq)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(before.unsigned_abs())
    }

    /// Forgets those noted before `at`, but for the newest: numbers must go on. Returns how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_before(self, at: Seconds) -> Result<u64> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            let row = sqlx::query("SELECT MAX(seq) AS newest FROM sign_outs")
                .fetch_one(&mut *transaction)
                .await?;
            let newest = row.maybe_int("newest")?.unwrap_or_default();
            let forgotten = sqlx::query("DELETE FROM sign_outs WHERE at < ? AND seq < ?")
                .bind(at)
                .bind(newest)
                .execute(&mut *transaction)
                .await?
                .rows_affected();
            transaction.commit().await?;
            Ok(forgotten)
        })
        .await
    }
}

fn noted(row: &AnyRow) -> Result<NotedSignOut> {
    Ok(NotedSignOut {
        seq: row.int("seq")?.unsigned_abs(),
        change: row.json("what")?,
    })
}
