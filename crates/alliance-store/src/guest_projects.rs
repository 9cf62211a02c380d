//! Projects of partners whose users were let in here: what operators are shown of them.

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use sqlx::{Any, QueryBuilder};

use crate::database::row::Columns;
use crate::database::{Database, ROWS, retrying};
use crate::error::Result;

/// A partner's project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestProject {
    /// Whose it is.
    pub cloud_id: CloudId,
    /// Its id at home.
    pub project_id: String,
    /// Its name at home, as last heard.
    pub name: Option<String>,
    /// The name of its domain at home, as last heard.
    pub domain_name: Option<String>,
    /// When one of its users was first let in.
    pub first_seen: Seconds,
    /// And when last, about.
    pub last_seen: Seconds,
}

/// See [`Store::guest_projects`](crate::Store::guest_projects).
#[derive(Debug, Clone, Copy)]
pub struct GuestProjects<'a>(pub(crate) &'a Database);

impl GuestProjects<'_> {
    /// Notes some, beside what was known of them: another instance may have seen one before, or later.
    ///
    /// # Errors
    /// The database's.
    pub async fn note(self, projects: &[GuestProject]) -> Result<()> {
        retrying(|| self.write(projects)).await
    }

    async fn write(self, projects: &[GuestProject]) -> Result<()> {
        let mut transaction = self.0.write().await?;
        let mut merged = Vec::with_capacity(projects.len());
        for project in projects {
            let row = sqlx::query(
                "SELECT name, domain_name, first_seen, last_seen FROM guest_projects WHERE cloud_id = ? AND project_id = ?",
            )
            .bind(project.cloud_id.as_str())
            .bind(project.project_id.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
            let mut project = project.clone();
            if let Some(row) = row {
                if project.name.is_none() {
                    project.name = row.maybe_text("name")?;
                    project.domain_name = row.maybe_text("domain_name")?;
                }
                project.first_seen = project.first_seen.min(row.int("first_seen")?);
                project.last_seen = project.last_seen.max(row.int("last_seen")?);
            }
            merged.push(project);
        }
        for rows in merged.chunks(ROWS) {
            let mut insert = QueryBuilder::<Any>::new(
                "REPLACE INTO guest_projects (cloud_id, project_id, name, domain_name, first_seen, last_seen) ",
            );
            insert.push_values(rows, |mut row, project| {
                row.push_bind(project.cloud_id.as_str())
                    .push_bind(project.project_id.as_str())
                    .push_bind(project.name.as_deref())
                    .push_bind(project.domain_name.as_deref())
                    .push_bind(project.first_seen)
                    .push_bind(project.last_seen);
            });
            insert.build().execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// All of them, those of former partners included.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(self) -> Result<Vec<GuestProject>> {
        let rows = sqlx::query(
            "SELECT cloud_id, project_id, name, domain_name, first_seen, last_seen FROM guest_projects",
        )
        .fetch_all(self.0.pool())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(GuestProject {
                    cloud_id: row.word("cloud_id")?,
                    project_id: row.text("project_id")?,
                    name: row.maybe_text("name")?,
                    domain_name: row.maybe_text("domain_name")?,
                    first_seen: row.int("first_seen")?,
                    last_seen: row.int("last_seen")?,
                })
            })
            .collect()
    }
}
