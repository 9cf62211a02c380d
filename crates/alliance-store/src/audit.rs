//! Who did what, for people.

use alliance_core::Seconds;
use sqlx::any::AnyRow;

use crate::database::row::Columns;
use crate::database::{Database, retrying};
use crate::error::Result;

/// See [`Store::audit`](crate::Store::audit).
#[derive(Debug, Clone, Copy)]
pub struct Audit<'a>(pub(crate) &'a Database);

/// One line of the trail. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Seconds,
    /// Who: `operator`, `daemon`, or a partner's cloud id.
    pub actor: String,
    /// Did what, e.g. `partner.suspended`; at most 64 characters.
    pub action: String,
    /// To whom or what.
    pub subject: String,
    /// What else there is to know.
    pub detail: String,
}

impl Audit<'_> {
    /// Adds a line.
    ///
    /// # Errors
    /// The database's.
    pub async fn append(self, entry: &AuditEntry) -> Result<()> {
        retrying(|| async {
            sqlx::query(
                "INSERT INTO audit (at, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?)",
            )
            .bind(entry.at)
            .bind(&entry.actor)
            .bind(&entry.action)
            .bind(&entry.subject)
            .bind(&entry.detail)
            .execute(self.0.pool())
            .await?;
            Ok(())
        })
        .await
    }

    /// The last `limit` lines, the newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(self, limit: u32) -> Result<Vec<AuditEntry>> {
        sqlx::query("SELECT * FROM audit ORDER BY seq DESC LIMIT ?")
            .bind(i64::from(limit))
            .fetch_all(self.0.pool())
            .await?
            .iter()
            .map(entry)
            .collect()
    }
}

fn entry(row: &AnyRow) -> Result<AuditEntry> {
    Ok(AuditEntry {
        at: row.int("at")?,
        actor: row.text("actor")?,
        action: row.text("action")?,
        subject: row.text("subject")?,
        detail: row.text("detail")?,
    })
}
