//! At the host: how far each order is. Written by who holds the lease only.

use alliance_core::Seconds;
use alliance_core::provision::StackState;
use sqlx::any::AnyRow;

use super::{Provisions, Step};
use crate::database::row::{Columns, to_json};
use crate::error::Result;
use crate::leases::{self, Lease};

impl Provisions<'_> {
    /// Notes how a stack is, and why.
    ///
    /// # Errors
    /// The database's, or that the lease is lost.
    pub async fn set_state(
        self,
        lease: &Lease,
        (stack_id, state): (&str, StackState),
        detail: Option<&str>,
        at: Seconds,
    ) -> Result<()> {
        let statement = || {
            sqlx::query(
                "UPDATE provision_stacks SET state = ?, detail = ?, changed_at = ? WHERE id = ?",
            )
            .bind(state.as_str())
            .bind(detail)
            .bind(at)
            .bind(stack_id)
        };
        leases::write(self.0, lease, statement).await?;
        Ok(())
    }

    /// Notes that what the last order made is to be undone, how the stack is to end then, and why.
    ///
    /// # Errors
    /// As [`Provisions::set_state`].
    pub async fn undo(
        self,
        lease: &Lease,
        (stack_id, ends_as): (&str, StackState),
        detail: &str,
        at: Seconds,
    ) -> Result<()> {
        let statement = || {
            sqlx::query(
                "UPDATE provision_stacks SET state = 'undoing', ends_as = ?, detail = ?, changed_at = ? WHERE id = ?",
            )
            .bind(ends_as.as_str())
            .bind(detail)
            .bind(at)
            .bind(stack_id)
        };
        leases::write(self.0, lease, statement).await?;
        Ok(())
    }

    /// What of a stack is there, or may be, by name.
    ///
    /// # Errors
    /// The database's.
    pub async fn steps(self, stack_id: &str) -> Result<Vec<Step>> {
        let rows =
            sqlx::query("SELECT * FROM provision_steps WHERE stack_id = ? ORDER BY resource")
                .bind(stack_id)
                .fetch_all(self.0.pool())
                .await?;
        rows.iter().map(step).collect()
    }

    /// Notes how far a resource is, in place of what was noted before.
    ///
    /// # Errors
    /// As [`Provisions::set_state`].
    pub async fn note_step(self, lease: &Lease, stack_id: &str, step: &Step) -> Result<()> {
        let node = to_json("provision_steps.node", &step.node)?;
        let statement = || {
            sqlx::query(
                "REPLACE INTO provision_steps (stack_id, resource, order_id, node, state, resource_id, detail, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(stack_id)
            .bind(step.resource.as_str())
            .bind(step.order_id.as_str())
            .bind(node.as_str())
            .bind(step.state.as_str())
            .bind(step.resource_id.as_deref())
            .bind(step.detail.as_deref())
            .bind(step.changed_at)
        };
        leases::write(self.0, lease, statement).await?;
        Ok(())
    }

    /// Notes that nothing is left of a resource.
    ///
    /// # Errors
    /// As [`Provisions::set_state`].
    pub async fn forget_step(self, lease: &Lease, stack_id: &str, resource: &str) -> Result<()> {
        let statement = || {
            sqlx::query("DELETE FROM provision_steps WHERE stack_id = ? AND resource = ?")
                .bind(stack_id)
                .bind(resource)
        };
        leases::write(self.0, lease, statement).await?;
        Ok(())
    }
}

fn step(row: &AnyRow) -> Result<Step> {
    Ok(Step {
        resource: row.text("resource")?,
        order_id: row.text("order_id")?,
        node: row.json("node")?,
        state: row.word("state")?,
        resource_id: row.maybe_text("resource_id")?,
        detail: row.maybe_text("detail")?,
        changed_at: row.int("changed_at")?,
    })
}
