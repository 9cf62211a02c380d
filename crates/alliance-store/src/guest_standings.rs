//! How partners' projects stood when they were last looked at: who ends what they had begins a
//! retirement, and a restart forgets no end.

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::retirement::{Standing, Word};
use alliance_core::terms::Retirement;

use crate::database::row::Columns;
use crate::database::{Database, retrying};
use crate::error::Result;

/// A partner's project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestStanding {
    /// Whose it is.
    pub cloud_id: CloudId,
    /// Its id at home.
    pub project_id: String,
    /// Whether an agreement kept it.
    pub is_kept: bool,
    /// The graces that the last agreement gave.
    pub policy: Retirement,
    /// What home last said of it.
    pub word: Option<Word>,
}

/// See [`Store::guest_standings`](crate::Store::guest_standings).
#[derive(Debug, Clone, Copy)]
pub struct GuestStandings<'a>(pub(crate) &'a Database);

impl GuestStandings<'_> {
    /// All.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(self) -> Result<Vec<GuestStanding>> {
        let rows = sqlx::query("SELECT * FROM guest_standings")
            .fetch_all(self.0.pool())
            .await?;
        rows.iter()
            .map(|row| {
                let standing: Option<Standing> = row.maybe_word("standing")?;
                let asked_at = row.maybe_int("asked_at")?;
                Ok(GuestStanding {
                    cloud_id: row.word("cloud_id")?,
                    project_id: row.text("project_id")?,
                    is_kept: row.int("is_kept")? != 0,
                    policy: Retirement {
                        quarantine_after: row.int("quarantine_after")?,
                        delete_after: row.int("delete_after")?,
                    },
                    word: standing
                        .zip(asked_at)
                        .map(|(standing, asked_at)| Word { standing, asked_at }),
                })
            })
            .collect()
    }

    /// Notes how some stand, in place of what was known of them.
    ///
    /// # Errors
    /// The database's.
    pub async fn note(self, standings: &[GuestStanding]) -> Result<()> {
        if standings.is_empty() {
            return Ok(());
        }
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            for one in standings {
                sqlx::query(
                    "REPLACE INTO guest_standings (cloud_id, project_id, is_kept, quarantine_after,
                        delete_after, standing, asked_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                )
                .bind(one.cloud_id.as_str())
                .bind(&one.project_id)
                .bind(i64::from(one.is_kept))
                .bind(one.policy.quarantine_after)
                .bind(one.policy.delete_after)
                .bind(one.word.map(|word| word.standing.as_str()))
                .bind(one.word.map(|word| -> Seconds { word.asked_at }))
                .execute(&mut *transaction)
                .await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }
}
