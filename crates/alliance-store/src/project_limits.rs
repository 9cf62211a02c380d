//! What services of this cloud allow partners' projects: written by `alliance work`, shown by the daemon.

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::limits::Limits;

use crate::database::Database;
use crate::database::row::{Columns, to_json};
use crate::error::Result;
use crate::leases::{self, Lease};

/// A partner's project in one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectLimits {
    /// Whose it is.
    pub cloud_id: CloudId,
    /// Its id at home.
    pub project_id: String,
    /// This cloud's region.
    pub region: String,
    /// As last seen.
    pub limits: Limits,
    /// Why they were not seen or not set.
    pub problem: Option<String>,
    /// When.
    pub at: Seconds,
}

/// See [`Store::project_limits`](crate::Store::project_limits).
#[derive(Debug, Clone, Copy)]
pub struct ProjectsLimits<'a>(pub(crate) &'a Database);

impl ProjectsLimits<'_> {
    /// Notes one, in place of what was known of it.
    ///
    /// # Errors
    /// [`Error::LeaseLost`](crate::Error::LeaseLost), or the database's.
    pub async fn note(self, lease: &Lease, seen: &ProjectLimits) -> Result<()> {
        let limits = to_json("project_limits.limits", &seen.limits)?;
        let statement = || {
            sqlx::query(
                "REPLACE INTO project_limits (cloud_id, project_id, region, limits, problem, at)
                    VALUES (?, ?, ?, ?, ?, ?)",
            )
            .bind(seen.cloud_id.as_str())
            .bind(seen.project_id.as_str())
            .bind(seen.region.as_str())
            .bind(limits.as_str())
            .bind(seen.problem.as_deref())
            .bind(seen.at)
        };
        leases::write(self.0, lease, statement).await?;
        Ok(())
    }

    /// All of them.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(self) -> Result<Vec<ProjectLimits>> {
        let rows = sqlx::query(
            "SELECT cloud_id, project_id, region, limits, problem, at FROM project_limits
                ORDER BY cloud_id, project_id, region",
        )
        .fetch_all(self.0.pool())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(ProjectLimits {
                    cloud_id: row.word("cloud_id")?,
                    project_id: row.text("project_id")?,
                    region: row.text("region")?,
                    limits: row.json("limits")?,
                    problem: row.maybe_text("problem")?,
                    at: row.int("at")?,
                })
            })
            .collect()
    }
}
