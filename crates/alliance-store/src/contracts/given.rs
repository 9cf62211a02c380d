//! Agreements that this cloud gave.

use alliance_core::Seconds;
use alliance_core::agreement::Agreement;
use alliance_core::cloud::CloudId;
use sqlx::AnyConnection;

use super::{AgreementVersion, Contracts, Row, Side, StoredReply, begin, insert, one, write_reply};
use crate::agreements::{self, write_terms};
use crate::bulletins::{self, Bulletin};
use crate::database::retrying;
use crate::database::row::Columns;
use crate::error::{Error, Result};
use crate::partners;

impl Contracts<'_> {
    /// Adds the next version of an agreement that this cloud gave. If it is in force, or if none
    /// is, the agreement says what it says.
    ///
    /// # Errors
    /// [`Error::AgreementChanged`] if it is not the next, [`Error::NoSuchAgreement`].
    pub async fn propose(self, partner: &CloudId, id: &str, next: &AgreementVersion) -> Result<()> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            let given = require_given(&mut transaction, partner, id).await?;
            if newest(&mut transaction, &given, id).await? + 1 != next.number {
                return Err(Error::AgreementChanged(id.to_owned()));
            }
            let row = Row(&given.partner_id, Side::Given, id);
            insert(&mut transaction, row, next).await?;
            let in_force = next.in_force_since.map(|_| next.number);
            if in_force.is_some() || given.version.is_none() {
                write_terms(&mut transaction, id, in_force, &next.terms).await?;
                bulletins::post(self.0, &mut transaction, &Bulletin::Trust).await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// Stores what home said of a version. From `in_force_since` on, if that is given, the
    /// agreement says what that version says. False if home has said that before.
    ///
    /// # Errors
    /// [`Error::AgreementChanged`] if another version shall be in force than the newest,
    /// [`Error::NoSuchAgreement`].
    pub async fn reply(
        self,
        partner: &CloudId,
        id: &str,
        number: u32,
        reply: &StoredReply,
        in_force_since: Option<Seconds>,
    ) -> Result<bool> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            let given = require_given(&mut transaction, partner, id).await?;
            let row = Row(&given.partner_id, Side::Given, id);
            let found = one(&mut transaction, row, number).await?;
            let found = found.ok_or_else(|| Error::NoSuchAgreement(id.to_owned()))?;
            let last = found.reply.as_ref().map(|last| last.said);
            if last == Some(reply.said) {
                return Ok(false);
            }
            write_reply(&mut transaction, row, number, reply, true).await?;
            if let Some(since) = in_force_since {
                if newest(&mut transaction, &given, id).await? != number {
                    return Err(Error::AgreementChanged(id.to_owned()));
                }
                write_terms(&mut transaction, id, Some(number), &found.terms).await?;
                begin(&mut transaction, row, number, since).await?;
                bulletins::post(self.0, &mut transaction, &Bulletin::Trust).await?;
            }
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Stores who ended an agreement that this cloud gave, and the signed word.
    ///
    /// # Errors
    /// The database's.
    pub async fn note_ending(self, id: &str, by: &str, ending: &str) -> Result<()> {
        sqlx::query("UPDATE agreements SET ended_by = ?, ending = ? WHERE id = ?")
            .bind(by)
            .bind(ending)
            .bind(id)
            .execute(self.0.pool())
            .await?;
        Ok(())
    }

    /// Who ended an agreement that this cloud gave, and the signed word, as far as there is one.
    ///
    /// # Errors
    /// The database's.
    pub async fn ending(self, id: &str) -> Result<(Option<String>, Option<String>)> {
        let row = sqlx::query("SELECT ended_by, ending FROM agreements WHERE id = ?")
            .bind(id)
            .fetch_optional(self.0.pool())
            .await?;
        Ok(match row {
            Some(row) => (row.maybe_text("ended_by")?, row.maybe_text("ending")?),
            None => (None, None),
        })
    }
}

/// An agreement that this cloud gave and that has not ended.
struct Given {
    partner_id: String,
    version: Option<u32>,
}

async fn require_given(
    connection: &mut AnyConnection,
    partner: &CloudId,
    id: &str,
) -> Result<Given> {
    let (partner_id, _) = partners::require(connection, partner).await?;
    let row = sqlx::query(&format!(
        "{} WHERE agreements.id = ? AND agreements.partner_id = ? AND agreements.ended_at IS NULL",
        agreements::SELECT
    ))
    .bind(id)
    .bind(&partner_id)
    .fetch_optional(connection)
    .await?
    .ok_or_else(|| Error::NoSuchAgreement(id.to_owned()))?;
    let Agreement { version, .. } = agreements::agreement(&row)?;
    Ok(Given {
        partner_id,
        version,
    })
}

/// The number of the newest version, 0 if there is none.
async fn newest(connection: &mut AnyConnection, given: &Given, id: &str) -> Result<u32> {
    let row = sqlx::query(
        "SELECT version FROM agreement_versions WHERE partner_id = ? AND received = 0
            AND agreement_id = ? ORDER BY version DESC LIMIT 1",
    )
    .bind(&given.partner_id)
    .bind(id)
    .fetch_optional(connection)
    .await?;
    let number = row.map(|row| row.maybe_count("version")).transpose()?;
    Ok(number.flatten().unwrap_or(0))
}
