//! What people are shown of it.

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::sign_out::Change;

use super::SignOuts;
use crate::database::row::Columns;
use crate::error::Result;

/// A change, and when it was noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentSignOut {
    /// Its number.
    pub seq: u64,
    /// What has changed.
    pub change: Change,
    /// When it was noted.
    pub at: Seconds,
}

impl SignOuts<'_> {
    /// The last `limit` ones, the newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn recent(self, limit: u32) -> Result<Vec<RecentSignOut>> {
        sqlx::query("SELECT seq, what, at FROM sign_outs ORDER BY seq DESC LIMIT ?")
            .bind(i64::from(limit))
            .fetch_all(self.0.pool())
            .await?
            .iter()
            .map(|row| {
                Ok(RecentSignOut {
                    seq: row.int("seq")?.unsigned_abs(),
                    change: row.json("what")?,
                    at: row.int("at")?,
                })
            })
            .collect()
    }

    /// Up to which number each host has heard.
    ///
    /// # Errors
    /// The database's.
    pub async fn heard_by(self) -> Result<Vec<(CloudId, u64)>> {
        sqlx::query("SELECT cloud_id, seq FROM heard_sign_outs")
            .fetch_all(self.0.pool())
            .await?
            .iter()
            .map(|row| Ok((row.word("cloud_id")?, row.int("seq")?.unsigned_abs())))
            .collect()
    }
}
