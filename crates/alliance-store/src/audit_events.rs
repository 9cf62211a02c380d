//! Audit events on their way to the message bus. Whoever says them takes the oldest and deletes it when
//! it is said: no numbers, in which another instance could come in late.

use sqlx::{Any, QueryBuilder};

use crate::database::row::Columns;
use crate::database::{Database, retrying};
use crate::error::Result;

/// How many are written by one statement.
const ROWS: usize = 100;

/// See [`Store::audit_events`](crate::Store::audit_events).
#[derive(Debug, Clone, Copy)]
pub struct AuditEvents<'a>(pub(crate) &'a Database);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Its id.
    pub id: String,
    /// When it happened, in milliseconds since the epoch.
    pub at: i64,
    /// The event, as JSON.
    pub event: String,
}

impl AuditEvents<'_> {
    /// Adds some, all or none. One that is there already is there once.
    ///
    /// # Errors
    /// The database's.
    pub async fn append(self, events: &[AuditEvent]) -> Result<()> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            for rows in events.chunks(ROWS) {
                let mut insert =
                    QueryBuilder::<Any>::new("REPLACE INTO audit_events (id, at, event) ");
                insert.push_values(rows, |mut row, event| {
                    row.push_bind(&event.id)
                        .push_bind(event.at)
                        .push_bind(&event.event);
                });
                insert.build().execute(&mut *transaction).await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// The oldest of them.
    ///
    /// # Errors
    /// The database's.
    pub async fn oldest(self, limit: usize) -> Result<Vec<AuditEvent>> {
        let rows = sqlx::query("SELECT id, at, event FROM audit_events ORDER BY at, id LIMIT ?")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(self.0.pool())
            .await?;
        let events = rows.iter().map(|row| {
            Ok(AuditEvent {
                id: row.text("id")?,
                at: row.int("at")?,
                event: row.text("event")?,
            })
        });
        events.collect()
    }

    /// Deletes some.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget(self, ids: &[String]) -> Result<()> {
        retrying(|| async {
            for some in ids.chunks(ROWS) {
                let mut delete = QueryBuilder::<Any>::new("DELETE FROM audit_events WHERE id IN (");
                let mut list = delete.separated(", ");
                for id in some {
                    list.push_bind(id);
                }
                list.push_unseparated(")");
                delete.build().execute(self.0.pool()).await?;
            }
            Ok(())
        })
        .await
    }

    /// Deletes the oldest, so that about `most` remain. Returns how many that were.
    ///
    /// # Errors
    /// The database's.
    pub async fn keep(self, most: u32) -> Result<u64> {
        let first = sqlx::query("SELECT at FROM audit_events ORDER BY at DESC LIMIT 1 OFFSET ?")
            .bind(i64::from(most))
            .fetch_optional(self.0.pool())
            .await?;
        match first {
            Some(row) => {
                let at = row.int("at")?;
                self.0
                    .forget("DELETE FROM audit_events WHERE at <= ?", at)
                    .await
            }
            None => Ok(0),
        }
    }
}
