//! The keys with which this cloud's Keystone signs tokens: since when, and until when.

use std::collections::BTreeMap;

use alliance_core::Seconds;
use alliance_core::descriptor::SignatureFamily;

use crate::database::row::Columns;
use crate::database::{Database, retrying};
use crate::error::Result;

/// See [`Store::token_keys`](crate::Store::token_keys).
#[derive(Debug, Clone, Copy)]
pub struct TokenKeys<'a>(pub(crate) &'a Database);

/// A key of this cloud's Keystone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnTokenKey {
    /// Hash of what it is.
    pub id: String,
    /// What it signs.
    pub family: SignatureFamily,
    /// Base64 of DER.
    pub der: String,
    /// Since when Keystone has it not any more.
    pub gone_at: Option<Seconds>,
}

impl TokenKeys<'_> {
    /// Keystone has the keys `found` (by id: what they are) at `now`, and no others. Returns them and
    /// those that were there during the `told_for` seconds before, by id; older ones are forgotten.
    /// A key that comes back is as if it had never gone.
    ///
    /// # Errors
    /// The database's.
    pub async fn see(
        self,
        found: &BTreeMap<String, (SignatureFamily, String)>,
        now: Seconds,
        told_for: Seconds,
    ) -> Result<Vec<OwnTokenKey>> {
        retrying(|| self.see_once(found, now, told_for)).await
    }

    async fn see_once(
        self,
        found: &BTreeMap<String, (SignatureFamily, String)>,
        now: Seconds,
        told_for: Seconds,
    ) -> Result<Vec<OwnTokenKey>> {
        let mut known = self.list().await?;
        let as_before = known.iter().all(|key| {
            key.gone_at.is_none() == found.contains_key(&key.id)
                && key.gone_at.is_none_or(|gone| gone > now - told_for)
        }) && found.keys().all(|id| known.iter().any(|key| key.id == *id));
        if as_before {
            // As nearly always: nothing is written.
            return Ok(known);
        }
        let mut transaction = self.0.write().await?;
        for key in &known {
            let gone_at = match (found.contains_key(&key.id), key.gone_at) {
                (true, _) => None,
                (false, Some(gone)) => Some(gone),
                (false, None) => Some(now),
            };
            sqlx::query("UPDATE token_keys SET gone_at = ? WHERE id = ?")
                .bind(gone_at)
                .bind(&key.id)
                .execute(&mut *transaction)
                .await?;
        }
        for (id, (family, der)) in found {
            if !known.iter().any(|key| key.id == *id) {
                sqlx::query(
                    "REPLACE INTO token_keys (id, family, der, seen_at) VALUES (?, ?, ?, ?)",
                )
                .bind(id)
                .bind(family.as_str())
                .bind(der)
                .bind(now)
                .execute(&mut *transaction)
                .await?;
            }
        }
        sqlx::query("DELETE FROM token_keys WHERE gone_at <= ?")
            .bind(now - told_for)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        known = self.list().await?;
        Ok(known)
    }

    async fn list(self) -> Result<Vec<OwnTokenKey>> {
        sqlx::query("SELECT id, family, der, gone_at FROM token_keys ORDER BY id")
            .fetch_all(self.0.pool())
            .await?
            .iter()
            .map(|row| {
                Ok(OwnTokenKey {
                    id: row.text("id")?,
                    family: row.word("family")?,
                    der: row.text("der")?,
                    gone_at: row.maybe_int("gone_at")?,
                })
            })
            .collect()
    }
}
