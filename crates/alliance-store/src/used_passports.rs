//! Login passports that were used here: each lets somebody in once, also after a restart.

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;

use crate::database::Database;
use crate::database::fault::Fault;
use crate::error::{Error, Result};

/// See [`Store::used_passports`](crate::Store::used_passports).
#[derive(Debug, Clone, Copy)]
pub struct UsedPassports<'a>(pub(crate) &'a Database);

impl UsedPassports<'_> {
    /// Uses the one that `home` calls `jti`, at most 64 characters. Returns whether nobody has before,
    /// of any number who try at once. `expires_at`: when it need not be remembered any more.
    ///
    /// # Errors
    /// The database's: it may count as used then.
    pub async fn use_up(self, home: &CloudId, jti: &str, expires_at: Seconds) -> Result<bool> {
        let inserted =
            sqlx::query("INSERT INTO used_passports (cloud_id, jti, expires_at) VALUES (?, ?, ?)")
                .bind(home.as_str())
                .bind(jti)
                .bind(expires_at)
                .execute(self.0.pool())
                .await;
        match inserted {
            Ok(_) => Ok(true),
            Err(error) if Fault::of(&error) == Fault::Unique => Ok(false),
            Err(error) => Err(Error::from(error)),
        }
    }

    /// Whether somebody has used it.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_used(self, home: &CloudId, jti: &str) -> Result<bool> {
        let row = sqlx::query("SELECT 1 FROM used_passports WHERE cloud_id = ? AND jti = ?")
            .bind(home.as_str())
            .bind(jti)
            .fetch_optional(self.0.pool())
            .await?;
        Ok(row.is_some())
    }

    /// Forgets those that have expired. Returns how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_expired(self, now: Seconds) -> Result<u64> {
        self.0
            .forget("DELETE FROM used_passports WHERE expires_at <= ?", now)
            .await
    }
}
