//! The end of a partnership: the row stays, everything that it allowed ends with it.

use alliance_core::Seconds;
use alliance_core::agreement::Agreement;
use alliance_core::cloud::CloudId;
use alliance_core::partner::{Partner, Status};

use sqlx::AnyConnection;

use super::{Partners, alias, require};
use crate::agreements;
use crate::bulletins::{self, Bulletin};
use crate::database::retrying;
use crate::error::Result;

/// What a removal ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Removal {
    /// The partner, removed.
    pub partner: Partner,
    /// Its agreements that were live or to come, ended.
    pub ended: Vec<Agreement>,
}

impl Partners<'_> {
    /// Removes a partner and ends its agreements, in one transaction. Its name, its cloud id and the
    /// formats whose untagged tokens were its own are free at once.
    ///
    /// # Errors
    /// [`Error::NoSuchPartner`](crate::Error::NoSuchPartner).
    pub async fn remove(self, cloud: &CloudId, now: Seconds) -> Result<Removal> {
        retrying(|| self.remove_once(cloud, now)).await
    }

    async fn remove_once(self, cloud: &CloudId, now: Seconds) -> Result<Removal> {
        let mut transaction = self.0.write().await?;
        let (id, record) = require(&mut transaction, cloud).await?;
        let mut partner = record.partner;
        partner.status.may_become(Status::Removed)?;
        let ended = end(&mut transaction, &id, now).await?;
        bulletins::post(self.0, &mut transaction, &Bulletin::Trust).await?;
        transaction.commit().await?;
        partner.status = Status::Removed;
        Ok(Removal { partner, ended })
    }
}

/// Ends what the partner of this row had; the row stays.
pub(super) async fn end(
    connection: &mut AnyConnection,
    id: &str,
    now: Seconds,
) -> Result<Vec<Agreement>> {
    let ended = agreements::end_all(connection, id, now).await?;
    sqlx::query(
        "UPDATE partners SET status = ?, removed_at = ?, live_cloud_id = NULL, live_tag = NULL,
            received = '[]' WHERE id = ?",
    )
    .bind(Status::Removed.as_str())
    .bind(now)
    .bind(id)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM untagged_formats WHERE partner_id = ?")
        .bind(id)
        .execute(&mut *connection)
        .await?;
    alias::free(connection, &alias::partner(id)).await?;
    Ok(ended)
}
