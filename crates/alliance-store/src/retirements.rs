//! Partners' projects that are being retired here: what the daemon wants done, how far `alliance work`
//! is, and the receipts.

mod items;
mod receipts;
mod work;

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::retirement::Plan;
use alliance_core::terms;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::database::fault::Fault;
use crate::database::row::Columns;
use crate::database::{Database, retrying};
use crate::error::Result;

pub use self::items::{ItemState, RetirementItem};
pub use self::receipts::StoredReceipt;

/// One retirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retirement {
    /// Its own id (UUID).
    pub id: String,
    /// Whose project.
    pub cloud_id: CloudId,
    /// The project's id at home.
    pub project_id: String,
    /// When access ended.
    pub began: Seconds,
    /// What is to be done.
    pub plan: Plan,
    /// Since when home's word is waited for.
    pub waits_since: Option<Seconds>,
    /// How many things could not be stopped, deleted or restored so far.
    pub remainder: u32,
    /// How often the services were asked in this phase.
    pub attempts: u32,
    /// When they are asked again.
    pub try_at: Seconds,
    /// Whether there is something that home has not been given a receipt for.
    pub to_report: bool,
    /// How many receipts there are.
    pub revision: u32,
    /// When it was over.
    pub ended_at: Option<Seconds>,
}

/// See [`Store::retirements`](crate::Store::retirements).
#[derive(Debug, Clone, Copy)]
pub struct Retirements<'a>(pub(crate) &'a Database);

impl Retirements<'_> {
    /// Begins one. False if the project is being retired already.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(
        self,
        id: &str,
        cloud_id: &CloudId,
        project_id: &str,
        plan: &Plan,
        now: Seconds,
    ) -> Result<bool> {
        retrying(|| async {
            let inserted = sqlx::query(
                "INSERT INTO retirements (id, cloud_id, project_id, live_key, cause, phase, began,
                    quarantine_after, delete_after, quarantine_at, delete_at)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(id)
            .bind(cloud_id.as_str())
            .bind(project_id)
            .bind(format!("{cloud_id}/{project_id}"))
            .bind(plan.cause.as_str())
            .bind(plan.phase.as_str())
            .bind(now)
            .bind(plan.policy.quarantine_after)
            .bind(plan.policy.delete_after)
            .bind(plan.quarantine_at)
            .bind(plan.delete_at)
            .execute(self.0.pool())
            .await;
            match inserted {
                Ok(_) => Ok(true),
                Err(error) if Fault::of(&error) == Fault::Unique => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// All that ever were, the newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(self) -> Result<Vec<Retirement>> {
        sqlx::query("SELECT * FROM retirements ORDER BY began DESC, id")
            .fetch_all(self.0.pool())
            .await?
            .iter()
            .map(retirement)
            .collect()
    }

    /// Those that are not over, or were not at this time.
    ///
    /// # Errors
    /// The database's.
    pub async fn not_over_since(self, at: Seconds) -> Result<Vec<Retirement>> {
        sqlx::query("SELECT * FROM retirements WHERE ended_at IS NULL OR ended_at > ?")
            .bind(at)
            .fetch_all(self.0.pool())
            .await?
            .iter()
            .map(retirement)
            .collect()
    }

    /// The one with this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn by_id(self, id: &str) -> Result<Option<Retirement>> {
        sqlx::query("SELECT * FROM retirements WHERE id = ?")
            .bind(id)
            .fetch_optional(self.0.pool())
            .await?
            .as_ref()
            .map(retirement)
            .transpose()
    }

    /// Whether a project of a partner's is being retired, or restored.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_under_way(self, cloud_id: &CloudId, project_id: &str) -> Result<bool> {
        let row = sqlx::query(
            "SELECT id FROM retirements
                WHERE cloud_id = ? AND project_id = ? AND live_key IS NOT NULL LIMIT 1",
        )
        .bind(cloud_id.as_str())
        .bind(project_id)
        .fetch_optional(self.0.pool())
        .await?;
        Ok(row.is_some())
    }

    /// What is to be done from now on, in place of `before`. False if somebody has changed that
    /// meanwhile.
    ///
    /// # Errors
    /// The database's.
    pub async fn replan(self, before: &Retirement, plan: &Plan, now: Seconds) -> Result<bool> {
        let is_new_phase = plan.phase != before.plan.phase;
        let is_over = plan.phase.is_over();
        let live_key = format!("{}/{}", before.cloud_id, before.project_id);
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            let Some(found) = locked(&mut transaction, &before.id).await? else {
                return Ok(false);
            };
            if found.plan != before.plan || found.ended_at.is_some() {
                return Ok(false);
            }
            sqlx::query(
                "UPDATE retirements SET cause = ?, phase = ?, quarantine_after = ?, delete_after = ?,
                    quarantine_at = ?, delete_at = ?, quarantined_at = ?, is_held = ?,
                    waits_since = NULL, live_key = ?, ended_at = ?, remainder = ?, attempts = ?,
                    try_at = ? WHERE id = ?",
            )
            .bind(plan.cause.as_str())
            .bind(plan.phase.as_str())
            .bind(plan.policy.quarantine_after)
            .bind(plan.policy.delete_after)
            .bind(plan.quarantine_at)
            .bind(plan.delete_at)
            .bind(plan.quarantined_at)
            .bind(i64::from(plan.is_held))
            .bind((!is_over).then_some(&live_key))
            .bind(is_over.then_some(now))
            .bind(if is_new_phase { 0 } else { i64::from(found.remainder) })
            .bind(if is_new_phase { 0 } else { i64::from(found.attempts) })
            .bind(if is_new_phase { now } else { found.try_at })
            .bind(&before.id)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Home's word is waited for since then, or no more.
    ///
    /// # Errors
    /// The database's.
    pub async fn wait(self, id: &str, since: Option<Seconds>) -> Result<()> {
        sqlx::query("UPDATE retirements SET waits_since = ? WHERE id = ?")
            .bind(since)
            .bind(id)
            .execute(self.0.pool())
            .await?;
        Ok(())
    }
}

/// The row, which stays so until the transaction ends.
async fn locked(transaction: &mut AnyConnection, id: &str) -> Result<Option<Retirement>> {
    // Written first: both databases keep others out then.
    sqlx::query("UPDATE retirements SET id = id WHERE id = ?")
        .bind(id)
        .execute(&mut *transaction)
        .await?;
    sqlx::query("SELECT * FROM retirements WHERE id = ?")
        .bind(id)
        .fetch_optional(transaction)
        .await?
        .as_ref()
        .map(retirement)
        .transpose()
}

fn retirement(row: &AnyRow) -> Result<Retirement> {
    Ok(Retirement {
        id: row.text("id")?,
        cloud_id: row.word("cloud_id")?,
        project_id: row.text("project_id")?,
        began: row.int("began")?,
        plan: Plan {
            cause: row.word("cause")?,
            phase: row.word("phase")?,
            policy: terms::Retirement {
                quarantine_after: row.int("quarantine_after")?,
                delete_after: row.int("delete_after")?,
            },
            quarantine_at: row.int("quarantine_at")?,
            delete_at: row.maybe_int("delete_at")?,
            quarantined_at: row.maybe_int("quarantined_at")?,
            is_held: row.int("is_held")? != 0,
        },
        waits_since: row.maybe_int("waits_since")?,
        remainder: row.maybe_count("remainder")?.unwrap_or_default(),
        attempts: row.maybe_count("attempts")?.unwrap_or_default(),
        try_at: row.int("try_at")?,
        to_report: row.int("to_report")? != 0,
        revision: row.maybe_count("revision")?.unwrap_or_default(),
        ended_at: row.maybe_int("ended_at")?,
    })
}
