//! The daemon's own numbers: the snapshot's generation and the doorbell that waits for its answer.

use crate::database::row::Columns;
use crate::database::{Database, retrying};
use crate::error::Result;

const GENERATION: &str = "generation";
const RING: &str = "ring_sha256";

/// See [`Store::meta`](crate::Store::meta).
#[derive(Debug, Clone, Copy)]
pub struct Meta<'a>(pub(crate) &'a Database);

impl Meta<'_> {
    /// A number that no one got before, larger than all before.
    ///
    /// # Errors
    /// The database's.
    pub async fn next_generation(self) -> Result<u64> {
        retrying(|| self.next_generation_once()).await
    }

    /// The hex SHA-256 of the doorbell secret that was not acknowledged yet.
    ///
    /// # Errors
    /// The database's.
    pub async fn pending_ring(self) -> Result<Option<String>> {
        sqlx::query("SELECT value FROM meta WHERE name = ?")
            .bind(RING)
            .fetch_optional(self.0.pool())
            .await?
            .map(|row| row.text("value"))
            .transpose()
    }

    /// See [`Meta::pending_ring`].
    ///
    /// # Errors
    /// The database's.
    pub async fn set_pending_ring(self, ring: Option<&str>) -> Result<()> {
        retrying(|| async {
            match ring {
                Some(ring) => sqlx::query("REPLACE INTO meta (name, value) VALUES (?, ?)")
                    .bind(RING)
                    .bind(ring),
                None => sqlx::query("DELETE FROM meta WHERE name = ?").bind(RING),
            }
            .execute(self.0.pool())
            .await?;
            Ok(())
        })
        .await
    }

    async fn next_generation_once(self) -> Result<u64> {
        let mut transaction = self.0.write().await?;
        sqlx::query("UPDATE counters SET value = value + 1 WHERE name = ?")
            .bind(GENERATION)
            .execute(&mut *transaction)
            .await?;
        let row = sqlx::query("SELECT value FROM counters WHERE name = ?")
            .bind(GENERATION)
            .fetch_one(&mut *transaction)
            .await?;
        let generation = row.int("value")?;
        transaction.commit().await?;
        Ok(generation.unsigned_abs())
    }
}
