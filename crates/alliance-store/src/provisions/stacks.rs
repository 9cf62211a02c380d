//! At the host: what was ordered.

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::provision::StackState;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::{Provisions, Stack, Taken, TakenOrder};
use crate::database::retrying;
use crate::database::row::Columns;
use crate::error::Result;

/// The order that gives up another.
const CANCEL: &str = "cancel";
/// The order that makes something.
const APPLY: &str = "apply";

impl Provisions<'_> {
    /// Takes an order in, once.
    ///
    /// # Errors
    /// The database's.
    pub async fn take_in(self, order: &TakenOrder, at: Seconds) -> Result<Taken> {
        retrying(|| self.take_in_once(order, at)).await
    }

    async fn take_in_once(self, order: &TakenOrder, at: Seconds) -> Result<Taken> {
        let mut transaction = self.0.write().await?;
        // MariaDB locks the row; who comes at the same time waits here.
        sqlx::query("UPDATE provision_stacks SET state = state WHERE id = ?")
            .bind(order.stack_id.as_str())
            .execute(&mut *transaction)
            .await?;
        let row = sqlx::query("SELECT * FROM provision_stacks WHERE id = ?")
            .bind(order.stack_id.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
        let taken = match row {
            None if order.action == APPLY => {
                insert(&mut transaction, order, at).await?;
                Taken::New
            }
            None => Taken::Nothing,
            Some(row) => {
                let last = stack(&row)?;
                let cancel_id = row.maybe_text("cancel_id")?;
                if last.order_id == order.id || cancel_id.as_deref() == Some(&order.id) {
                    Taken::Known
                } else if row.int("number")?.unsigned_abs() >= order.number {
                    Taken::Old
                } else if order.action == CANCEL {
                    if last.state.is_open() && last.action == APPLY && last.cancel.is_none() {
                        give_up(&mut transaction, order).await?;
                        Taken::New
                    } else {
                        Taken::Nothing
                    }
                } else if last.state.is_open() {
                    Taken::Busy(Box::new(last))
                } else if order.action != APPLY && last.state == StackState::Destroyed {
                    Taken::Nothing
                } else {
                    replace(&mut transaction, order, at).await?;
                    Taken::New
                }
            }
        };
        transaction.commit().await?;
        Ok(taken)
    }

    /// The stacks of a partner's projects; without `project_id` those of all of them, without `home` those
    /// of all partners.
    ///
    /// # Errors
    /// The database's.
    pub async fn stacks(
        self,
        home: Option<&CloudId>,
        project_id: Option<&str>,
    ) -> Result<Vec<Stack>> {
        let rows = sqlx::query(
            "SELECT * FROM provision_stacks WHERE (? IS NULL OR cloud_id = ?) AND (? IS NULL OR project_id = ?) ORDER BY cloud_id, project_id, name",
        )
        .bind(home.map(CloudId::as_str))
        .bind(home.map(CloudId::as_str))
        .bind(project_id)
        .bind(project_id)
        .fetch_all(self.0.pool())
        .await?;
        rows.iter().map(stack).collect()
    }

    /// Those that have changed since this time.
    ///
    /// # Errors
    /// The database's.
    pub async fn changed_since(self, at: Seconds) -> Result<Vec<Stack>> {
        sqlx::query("SELECT * FROM provision_stacks WHERE changed_at > ?")
            .bind(at)
            .fetch_all(self.0.pool())
            .await?
            .iter()
            .map(stack)
            .collect()
    }

    /// The one with this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn stack(self, id: &str) -> Result<Option<Stack>> {
        let row = sqlx::query("SELECT * FROM provision_stacks WHERE id = ?")
            .bind(id)
            .fetch_optional(self.0.pool())
            .await?;
        row.as_ref().map(stack).transpose()
    }

    /// Those that there is something to do for.
    ///
    /// # Errors
    /// The database's.
    pub async fn open(self) -> Result<Vec<Stack>> {
        let rows = sqlx::query(
            "SELECT * FROM provision_stacks WHERE state IN ('ordered', 'running', 'undoing') ORDER BY ordered_at, id",
        )
        .fetch_all(self.0.pool())
        .await?;
        rows.iter().map(stack).collect()
    }

    /// How many stacks are in which state.
    ///
    /// # Errors
    /// The database's.
    pub async fn counts(self) -> Result<Vec<(StackState, u64)>> {
        let rows =
            sqlx::query("SELECT state, COUNT(*) AS number FROM provision_stacks GROUP BY state")
                .fetch_all(self.0.pool())
                .await?;
        rows.iter()
            .map(|row| Ok((row.word("state")?, row.int("number")?.unsigned_abs())))
            .collect()
    }
}

async fn insert(transaction: &mut AnyConnection, order: &TakenOrder, at: Seconds) -> Result<()> {
    sqlx::query(
        "INSERT INTO provision_stacks (id, cloud_id, project_id, name, number, order_id, action, signed, ordered_at, state, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'ordered', ?)",
    )
    .bind(order.stack_id.as_str())
    .bind(order.home.as_str())
    .bind(order.project_id.as_str())
    .bind(order.name.as_str())
    .bind(number(order))
    .bind(order.id.as_str())
    .bind(order.action.as_str())
    .bind(order.signed.as_str())
    .bind(at)
    .bind(at)
    .execute(transaction)
    .await?;
    Ok(())
}

async fn replace(transaction: &mut AnyConnection, order: &TakenOrder, at: Seconds) -> Result<()> {
    sqlx::query(
        "UPDATE provision_stacks SET number = ?, order_id = ?, action = ?, signed = ?, ordered_at = ?, cancel_id = NULL, cancel = NULL, state = 'ordered', ends_as = NULL, detail = NULL, changed_at = ? WHERE id = ?",
    )
    .bind(number(order))
    .bind(order.id.as_str())
    .bind(order.action.as_str())
    .bind(order.signed.as_str())
    .bind(at)
    .bind(at)
    .bind(order.stack_id.as_str())
    .execute(transaction)
    .await?;
    Ok(())
}

async fn give_up(transaction: &mut AnyConnection, order: &TakenOrder) -> Result<()> {
    sqlx::query("UPDATE provision_stacks SET number = ?, cancel_id = ?, cancel = ? WHERE id = ?")
        .bind(number(order))
        .bind(order.id.as_str())
        .bind(order.signed.as_str())
        .bind(order.stack_id.as_str())
        .execute(transaction)
        .await?;
    Ok(())
}

fn number(order: &TakenOrder) -> i64 {
    i64::try_from(order.number).unwrap_or(i64::MAX)
}

fn stack(row: &AnyRow) -> Result<Stack> {
    Ok(Stack {
        id: row.text("id")?,
        home: row.word("cloud_id")?,
        project_id: row.text("project_id")?,
        name: row.text("name")?,
        order_id: row.text("order_id")?,
        action: row.text("action")?,
        signed: row.text("signed")?,
        ordered_at: row.int("ordered_at")?,
        cancel: row.maybe_text("cancel")?,
        state: row.word("state")?,
        ends_as: row.maybe_word("ends_as")?,
        detail: row.maybe_text("detail")?,
        changed_at: row.int("changed_at")?,
    })
}
