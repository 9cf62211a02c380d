//! Agreements that partners gave.

use alliance_core::Seconds;
use alliance_core::agreement::Projects;
use alliance_core::cloud::CloudId;
use alliance_core::contract::Said;
use alliance_core::terms::Terms;

use super::{AgreementVersion, Contracts, Row, Side, StoredReply, begin, insert, one, write_reply};
use crate::database::retrying;
use crate::database::row::Columns;
use crate::error::{Error, Result};
use crate::partners;

/// An agreement that a partner gave.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedAgreement {
    /// Its id, the host's choice.
    pub id: String,
    /// For which projects of this cloud.
    pub projects: Projects,
    /// The project's name when the agreement was made.
    pub project_name: Option<String>,
    /// The name of its domain then.
    pub project_domain: Option<String>,
    /// The version that is in force at the host, as it says.
    pub version: Option<u32>,
    /// When it ended.
    pub ended_at: Option<Seconds>,
    /// Who ended it: an operator here, or the partner's alias.
    pub ended_by: Option<String>,
    /// The signed word that it has ended.
    pub ending: Option<String>,
    /// Whether the host knows that it has.
    pub heard: bool,
    /// Why what the host last said was not believed.
    pub fault: Option<String>,
    /// All versions, the newest last.
    pub versions: Vec<AgreementVersion>,
}

impl ReceivedAgreement {
    /// The newest version.
    pub fn newest(&self) -> Option<&AgreementVersion> {
        self.versions.last()
    }

    /// The terms that home agreed to last, by itself or by its operator.
    pub fn agreed(&self) -> Option<&Terms> {
        let accepted = |version: &&AgreementVersion| {
            let reply = version.reply.as_ref();
            reply.is_some_and(|reply| reply.said == Said::Accepted)
        };
        let last = self.versions.iter().rev().find(accepted);
        last.map(|version| &version.terms)
    }
}

impl Contracts<'_> {
    /// The agreements that a partner gave, by id.
    ///
    /// # Errors
    /// The database's.
    pub async fn received(self, partner: &CloudId) -> Result<Vec<ReceivedAgreement>> {
        let mut versions = self.versions(Side::Received, partner).await?;
        sqlx::query(
            "SELECT received_agreements.* FROM received_agreements
                JOIN partners ON partners.id = received_agreements.partner_id
                WHERE partners.live_cloud_id = ? ORDER BY agreement_id",
        )
        .bind(partner.as_str())
        .fetch_all(self.0.pool())
        .await?
        .iter()
        .map(|row| {
            let id = row.text("agreement_id")?;
            Ok(ReceivedAgreement {
                projects: row.text("project_id")?.into(),
                project_name: row.maybe_text("project_name")?,
                project_domain: row.maybe_text("project_domain")?,
                version: row.maybe_count("version")?,
                ended_at: row.maybe_int("ended_at")?,
                ended_by: row.maybe_text("ended_by")?,
                ending: row.maybe_text("ending")?,
                heard: row.int("heard")? != 0,
                fault: row.maybe_text("fault")?,
                versions: versions.remove(&id).unwrap_or_default(),
                id,
            })
        })
        .collect()
    }

    /// Stores an agreement that a partner gave, if it is a new one, and further versions of it.
    ///
    /// # Errors
    /// [`Error::NoSuchPartner`], [`Error::AgreementChanged`] if a version is there already.
    pub async fn receive(
        self,
        partner: &CloudId,
        agreement: &ReceivedAgreement,
        further: &[AgreementVersion],
    ) -> Result<()> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            let (partner_id, _) = partners::require(&mut transaction, partner).await?;
            let known = "SELECT agreement_id FROM received_agreements
                WHERE partner_id = ? AND agreement_id = ?";
            let known = sqlx::query(known)
                .bind(&partner_id)
                .bind(&agreement.id)
                .fetch_optional(&mut *transaction)
                .await?;
            if known.is_none() {
                sqlx::query(
                    "INSERT INTO received_agreements (partner_id, agreement_id, project_id,
                        project_name, project_domain) VALUES (?, ?, ?, ?, ?)",
                )
                .bind(&partner_id)
                .bind(&agreement.id)
                .bind(agreement.projects.to_string())
                .bind(&agreement.project_name)
                .bind(&agreement.project_domain)
                .execute(&mut *transaction)
                .await?;
            }
            for version in further {
                let row = Row(&partner_id, Side::Received, &agreement.id);
                insert(&mut transaction, row, version).await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// What the host says of an agreement that it gave: which version is in force there, and why it
    /// is not believed, if it is not.
    ///
    /// # Errors
    /// [`Error::NoSuchPartner`].
    pub async fn set_state(
        self,
        partner: &CloudId,
        id: &str,
        version: Option<u32>,
        fault: Option<&str>,
        now: Seconds,
    ) -> Result<()> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            let (partner_id, _) = partners::require(&mut transaction, partner).await?;
            sqlx::query(
                "UPDATE received_agreements SET version = ?, fault = ?
                    WHERE partner_id = ? AND agreement_id = ?",
            )
            .bind(version.map(i64::from))
            .bind(fault)
            .bind(&partner_id)
            .bind(id)
            .execute(&mut *transaction)
            .await?;
            if let Some(number) = version {
                let row = Row(&partner_id, Side::Received, id);
                begin(&mut transaction, row, number, now).await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// Stores what this cloud says of a version that a partner proposed; the host has not heard it.
    ///
    /// # Errors
    /// [`Error::AgreementChanged`] if it is not the newest, [`Error::NoSuchPartner`].
    pub async fn say(
        self,
        partner: &CloudId,
        id: &str,
        number: u32,
        reply: &StoredReply,
    ) -> Result<()> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            let (partner_id, _) = partners::require(&mut transaction, partner).await?;
            let row = Row(&partner_id, Side::Received, id);
            let ended = "SELECT ended_at FROM received_agreements
                WHERE partner_id = ? AND agreement_id = ? AND ended_at IS NULL";
            let open = sqlx::query(ended)
                .bind(&partner_id)
                .bind(id)
                .fetch_optional(&mut *transaction)
                .await?;
            if open.is_none() || one(&mut transaction, row, number).await?.is_none() {
                return Err(Error::NoSuchAgreement(id.to_owned()));
            }
            write_reply(&mut transaction, row, number, reply, false).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// The host has taken in what was said of a version.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_heard(self, partner: &CloudId, id: &str, number: u32) -> Result<()> {
        sqlx::query(
            "UPDATE agreement_versions SET heard = 1
                WHERE received = 1 AND agreement_id = ? AND version = ?
                AND partner_id = (SELECT id FROM partners WHERE live_cloud_id = ?)",
        )
        .bind(id)
        .bind(i64::from(number))
        .bind(partner.as_str())
        .execute(self.0.pool())
        .await?;
        Ok(())
    }

    /// An agreement that a partner gave has ended. False if it had before.
    ///
    /// # Errors
    /// The database's.
    pub async fn end_received(
        self,
        partner: &CloudId,
        id: &str,
        by: &str,
        ending: Option<&str>,
        now: Seconds,
    ) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE received_agreements SET ended_at = ?, ended_by = ?, ending = ?
                WHERE agreement_id = ? AND ended_at IS NULL
                AND partner_id = (SELECT id FROM partners WHERE live_cloud_id = ?)",
        )
        .bind(now)
        .bind(by)
        .bind(ending)
        .bind(id)
        .bind(partner.as_str())
        .execute(self.0.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The host knows that an agreement that it gave has ended.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_ending_heard(self, partner: &CloudId, id: &str) -> Result<()> {
        sqlx::query(
            "UPDATE received_agreements SET heard = 1 WHERE agreement_id = ?
                AND partner_id = (SELECT id FROM partners WHERE live_cloud_id = ?)",
        )
        .bind(id)
        .bind(partner.as_str())
        .execute(self.0.pool())
        .await?;
        Ok(())
    }
}
