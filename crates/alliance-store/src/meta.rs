//! The daemon's own number: the snapshot's generation.

use crate::database::row::Columns;
use crate::database::{Database, retrying};
use crate::error::Result;

const GENERATION: &str = "generation";

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
