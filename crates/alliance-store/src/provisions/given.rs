//! At home: orders, from before they are sent until the host has answered.

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use sqlx::any::AnyRow;

use super::{GivenOrder, Provisions};
use crate::database::fault::Fault;
use crate::database::retrying;
use crate::database::row::Columns;
use crate::error::Result;

impl Provisions<'_> {
    /// The number that the next order for a stack has to have at least.
    ///
    /// # Errors
    /// The database's.
    pub async fn next_number(self, host: &CloudId, project_id: &str, stack: &str) -> Result<u64> {
        let row = sqlx::query(
            "SELECT MAX(number) AS number FROM provision_orders WHERE cloud_id = ? AND project_id = ? AND stack = ?",
        )
        .bind(host.as_str())
        .bind(project_id)
        .bind(stack)
        .fetch_one(self.0.pool())
        .await?;
        let last = row.maybe_int("number")?.unwrap_or_default();
        Ok(last.unsigned_abs() + 1)
    }

    /// Stores an order. `false`: another one for the stack has that number.
    ///
    /// # Errors
    /// The database's.
    pub async fn give(self, order: &GivenOrder) -> Result<bool> {
        retrying(|| async {
            let stored = sqlx::query(
                "INSERT INTO provision_orders (id, cloud_id, project_id, stack, number, action, signed, given_at, given_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(order.id.as_str())
            .bind(order.host.as_str())
            .bind(order.project_id.as_str())
            .bind(order.stack.as_str())
            .bind(i64::try_from(order.number).unwrap_or(i64::MAX))
            .bind(order.action.as_str())
            .bind(order.signed.as_str())
            .bind(order.at)
            .bind(order.by.as_str())
            .execute(self.0.pool())
            .await;
            match stored {
                Ok(_) => Ok(true),
                Err(error) if Fault::of(&error) == Fault::Unique => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// Orders that their hosts have not answered, the oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn unheard(self) -> Result<Vec<GivenOrder>> {
        let rows = sqlx::query(
            "SELECT * FROM provision_orders WHERE heard_at IS NULL ORDER BY number, id",
        )
        .fetch_all(self.0.pool())
        .await?;
        rows.iter().map(order).collect()
    }

    /// The same, and then those that were answered after `since`; of each the newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn lately(self, since: Seconds) -> Result<Vec<GivenOrder>> {
        let rows = sqlx::query(
            "SELECT * FROM provision_orders WHERE heard_at IS NULL OR heard_at > ? ORDER BY heard_at IS NOT NULL, given_at DESC, id",
        )
        .bind(since)
        .fetch_all(self.0.pool())
        .await?;
        rows.iter().map(order).collect()
    }

    /// The host has answered: it carries the order out, or says why not.
    ///
    /// # Errors
    /// The database's.
    pub async fn heard(self, id: &str, refused: Option<&str>, at: Seconds) -> Result<()> {
        retrying(|| async {
            sqlx::query("UPDATE provision_orders SET heard_at = ?, refused = ? WHERE id = ? AND heard_at IS NULL")
                .bind(at)
                .bind(refused)
                .bind(id)
                .execute(self.0.pool())
                .await?;
            Ok(())
        })
        .await
    }

    /// An order that was given.
    ///
    /// # Errors
    /// The database's.
    pub async fn given(self, id: &str) -> Result<Option<GivenOrder>> {
        let row = sqlx::query("SELECT * FROM provision_orders WHERE id = ?")
            .bind(id)
            .fetch_optional(self.0.pool())
            .await?;
        row.as_ref().map(order).transpose()
    }
}

fn order(row: &AnyRow) -> Result<GivenOrder> {
    Ok(GivenOrder {
        id: row.text("id")?,
        host: row.word("cloud_id")?,
        project_id: row.text("project_id")?,
        stack: row.text("stack")?,
        number: row.int("number")?.unsigned_abs(),
        action: row.text("action")?,
        signed: row.text("signed")?,
        at: row.int("given_at")?,
        by: row.text("given_by")?,
        heard_at: row.maybe_int("heard_at")?,
        refused: row.maybe_text("refused")?,
    })
}
