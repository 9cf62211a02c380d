//! What `alliance work` reads and writes of a retirement.

use alliance_core::Seconds;
use alliance_core::retirement::{Phase, keeping};

use sqlx::AnyConnection;

use super::{ItemState, Retirement, Retirements, locked};
use crate::agreements::Agreements;
use crate::database::retrying;
use crate::database::row::Columns;
use crate::error::Result;
use crate::leases::{self, Lease};

impl Retirements<'_> {
    /// Those for which the services are to be asked for something at `now`.
    ///
    /// # Errors
    /// The database's.
    pub async fn orders(self, now: Seconds) -> Result<Vec<Retirement>> {
        let mut found = self.list().await?;
        found.retain(|one| is_order(one) && one.try_at <= now);
        Ok(found)
    }

    /// Whether what `order` says is still to be done: the daemon has not called it off or stopped the
    /// clock, and what this database knows of its cause still holds.
    ///
    /// # Errors
    /// The database's.
    pub async fn still_holds(self, order: &Retirement, now: Seconds) -> Result<bool> {
        let Some(found) = self.by_id(&order.id).await? else {
            return Ok(false);
        };
        if !is_order(&found)
            || found.plan.phase != order.plan.phase
            || found.plan.cause != order.plan.cause
        {
            return Ok(false);
        }
        if order.plan.phase == Phase::Restoration || order.plan.cause.is_homes_word() {
            return Ok(true);
        }
        let agreements = Agreements(self.0).list(Some(&order.cloud_id)).await?;
        let keeps = keeping(&agreements, &order.project_id, now).next();
        Ok(keeps.is_none())
    }

    /// The services were asked for all of it; `remainder` things did not come to pass, if that is known.
    /// If there are none, or `is_final`, the phase is done as well as it can be.
    ///
    /// # Errors
    /// [`Error::LeaseLost`](crate::Error::LeaseLost) if another process works.
    pub async fn advance(
        self,
        lease: &Lease,
        order: &Retirement,
        remainder: Option<u32>,
        is_final: bool,
        try_at: Seconds,
        now: Seconds,
    ) -> Result<()> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            leases::hold(&mut transaction, lease).await?;
            let Some(found) = locked(&mut transaction, &order.id).await? else {
                return Ok(());
            };
            let phase = order.plan.phase;
            if found.plan.phase != phase || found.ended_at.is_some() {
                return Ok(());
            }
            let is_clear = remainder == Some(0);
            let told = remainder.filter(|_| is_final || is_clear);
            let is_done = told.is_some();
            let quarantined_at = match phase {
                Phase::Quarantine if is_done => found.plan.quarantined_at.or(Some(now)),
                _ => found.plan.quarantined_at,
            };
            let over = match phase {
                Phase::Deletion if is_clear => Some(Phase::Deleted),
                Phase::Restoration if is_done => Some(Phase::Restored),
                _ => None,
            };
            // Home is told of what could not be deleted as soon as that is clear, and when it is gone.
            // … and of what was deleted before it was called off.
            let to_report = found.to_report
                || phase == Phase::Deletion
                    && (is_clear || told.is_some_and(|told| told != found.remainder))
                || over == Some(Phase::Restored)
                    && has_deleted(&mut transaction, &order.id).await?;
            sqlx::query(
                "UPDATE retirements SET phase = ?, quarantined_at = ?, remainder = ?, attempts = ?,
                    try_at = ?, to_report = ?, ended_at = ?,
                    live_key = CASE WHEN ? = 1 THEN NULL ELSE live_key END WHERE id = ?",
            )
            .bind(over.unwrap_or(phase).as_str())
            .bind(quarantined_at)
            .bind(i64::from(told.unwrap_or(found.remainder)))
            .bind(i64::from(found.attempts) + 1)
            .bind(try_at)
            .bind(i64::from(to_report))
            .bind(over.map(|_| now))
            .bind(i64::from(over.is_some()))
            .bind(&order.id)
            .execute(&mut *transaction)
            .await?;
            Ok(transaction.commit().await?)
        })
        .await
    }
}

async fn has_deleted(transaction: &mut AnyConnection, id: &str) -> Result<bool> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS deleted FROM retirement_items WHERE retirement_id = ? AND state = ?",
    )
    .bind(id)
    .bind(ItemState::Deleted.as_str())
    .fetch_one(transaction)
    .await?;
    Ok(row.int("deleted")? > 0)
}

/// Whether the services are to be asked for something.
fn is_order(one: &Retirement) -> bool {
    match one.plan.phase {
        Phase::Quarantine => one.plan.quarantined_at.is_none() && !one.plan.is_held,
        Phase::Deletion => !one.plan.is_held,
        Phase::Restoration => true,
        Phase::AccessEnded | Phase::Deleted | Phase::Restored => false,
    }
}
