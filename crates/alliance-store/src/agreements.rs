//! What this cloud grants its partners' projects.

use alliance_core::Seconds;
use alliance_core::agreement::Agreement;
use alliance_core::cloud::CloudId;
use alliance_core::terms::Terms;
use serde::Serialize;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::bulletins::{self, Bulletin};
use crate::database::fault::Fault;
use crate::database::row::{Columns, to_json};
use crate::database::{Database, retrying};
use crate::error::{Error, Result};

pub(crate) const SELECT: &str = "SELECT agreements.*, partners.cloud_id FROM agreements
    JOIN partners ON partners.id = agreements.partner_id";

/// See [`Store::agreements`](crate::Store::agreements).
#[derive(Debug, Clone, Copy)]
pub struct Agreements<'a>(pub(crate) &'a Database);

impl Agreements<'_> {
    /// Stores a new one. Of those with one partner about one project (`*` counts as one) at most
    /// one is not over at any time.
    ///
    /// # Errors
    /// [`Error::AgreementExists`] with that one, [`Error::NoSuchPartner`].
    pub async fn create(self, agreement: &Agreement, now: Seconds) -> Result<()> {
        retrying(|| self.create_once(agreement, now)).await
    }

    /// All that ever were, the newest last: with one partner, or with all of them.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(self, partner: Option<&CloudId>) -> Result<Vec<Agreement>> {
        sqlx::query(&format!(
            "{SELECT} WHERE (? IS NULL OR partners.cloud_id = ?)
                ORDER BY agreements.since, agreements.id"
        ))
        .bind(partner.map(CloudId::as_str))
        .bind(partner.map(CloudId::as_str))
        .fetch_all(self.0.pool())
        .await?
        .iter()
        .map(agreement)
        .collect()
    }

    /// Those with a partner that hold at `now`.
    ///
    /// # Errors
    /// The database's.
    pub async fn live(self, partner: &CloudId, now: Seconds) -> Result<Vec<Agreement>> {
        let mut agreements = self.not_ended(partner).await?;
        agreements.retain(|agreement| agreement.is_live(now));
        Ok(agreements)
    }

    /// The one with this id, whatever became of it.
    ///
    /// # Errors
    /// The database's.
    pub async fn by_id(self, id: &str) -> Result<Option<Agreement>> {
        sqlx::query(&format!("{SELECT} WHERE agreements.id = ?"))
            .bind(id)
            .fetch_optional(self.0.pool())
            .await?
            .as_ref()
            .map(agreement)
            .transpose()
    }

    /// Ends one.
    ///
    /// # Errors
    /// [`Error::NoSuchAgreement`], also if it has ended already.
    pub async fn end(self, id: &str, now: Seconds) -> Result<Agreement> {
        retrying(|| async {
            let mut transaction = self.0.write().await?;
            let row = sqlx::query(&format!(
                "{SELECT} WHERE agreements.id = ? AND agreements.ended_at IS NULL"
            ))
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await?
            .ok_or_else(|| Error::NoSuchAgreement(id.to_owned()))?;
            let ended = end_one(&mut transaction, agreement(&row)?, now).await?;
            bulletins::post(self.0, &mut transaction, &Bulletin::Trust).await?;
            transaction.commit().await?;
            Ok(ended)
        })
        .await
    }

    async fn not_ended(self, partner: &CloudId) -> Result<Vec<Agreement>> {
        sqlx::query(&format!(
            "{SELECT} WHERE partners.live_cloud_id = ? AND agreements.live_key IS NOT NULL
                ORDER BY agreements.since, agreements.id"
        ))
        .bind(partner.as_str())
        .fetch_all(self.0.pool())
        .await?
        .iter()
        .map(agreement)
        .collect()
    }

    async fn create_once(self, agreement: &Agreement, now: Seconds) -> Result<()> {
        let mut transaction = self.0.write().await?;
        let (partner_id, _) =
            crate::partners::require(&mut transaction, &agreement.partner).await?;
        let key = format!("{partner_id}/{}", agreement.projects);
        sqlx::query("UPDATE agreements SET live_key = NULL WHERE live_key = ? AND till <= ?")
            .bind(&key)
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        let inserted = sqlx::query(
            "INSERT INTO agreements (id, partner_id, live_key, project_id, project_name,
                project_domain, roles, transitive, since)
             VALUES (?, ?, ?, ?, ?, ?, '[]', 0, 0)",
        )
        .bind(&agreement.id)
        .bind(&partner_id)
        .bind(&key)
        .bind(agreement.projects.to_string())
        .bind(&agreement.project_name)
        .bind(&agreement.project_domain)
        .execute(&mut *transaction)
        .await;
        match inserted {
            Ok(_) => {
                let Agreement {
                    id, version, terms, ..
                } = agreement;
                write_terms(&mut transaction, id, *version, terms).await?;
                bulletins::post(self.0, &mut transaction, &Bulletin::Trust).await?;
                Ok(transaction.commit().await?)
            }
            Err(error) if Fault::of(&error) == Fault::Unique => {
                let row = sqlx::query(&format!("{SELECT} WHERE agreements.live_key = ?"))
                    .bind(&key)
                    .fetch_optional(&mut *transaction)
                    .await?;
                Err(match row {
                    Some(row) => Error::AgreementExists(Box::new(self::agreement(&row)?)),
                    None => error.into(),
                })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Ends everything with the partner of this row.
pub(crate) async fn end_all(
    connection: &mut AnyConnection,
    partner_id: &str,
    now: Seconds,
) -> Result<Vec<Agreement>> {
    let rows = sqlx::query(&format!(
        "{SELECT} WHERE agreements.partner_id = ? AND agreements.live_key IS NOT NULL"
    ))
    .bind(partner_id)
    .fetch_all(&mut *connection)
    .await?;
    let mut ended = Vec::with_capacity(rows.len());
    for row in &rows {
        ended.push(end_one(connection, agreement(row)?, now).await?);
    }
    Ok(ended)
}

async fn end_one(
    connection: &mut AnyConnection,
    agreement: Agreement,
    now: Seconds,
) -> Result<Agreement> {
    sqlx::query("UPDATE agreements SET ended_at = ?, live_key = NULL WHERE id = ?")
        .bind(now)
        .bind(&agreement.id)
        .execute(connection)
        .await?;
    Ok(Agreement {
        ended_at: Some(now),
        ..agreement
    })
}

/// What an agreement says from now on, and by which of its versions.
pub(crate) async fn write_terms(
    connection: &mut AnyConnection,
    id: &str,
    version: Option<u32>,
    terms: &Terms,
) -> Result<()> {
    let Terms {
        roles,
        services,
        transitive,
        allow,
        regions,
        flavors,
        quota,
        since,
        till,
        prices,
        retirement,
    } = terms;
    sqlx::query(
        "UPDATE agreements SET version = ?, roles = ?, services = ?, transitive = ?, allowed = ?,
            regions = ?, flavors = ?, quota = ?, since = ?, till = ?, prices = ?, retirement = ?
            WHERE id = ?",
    )
    .bind(i64::from(version.unwrap_or(0)))
    .bind(to_json("agreements.roles", roles)?)
    .bind(maybe_json("agreements.services", services.as_ref())?)
    .bind(i64::from(*transitive))
    .bind(to_json("agreements.allowed", allow)?)
    .bind(maybe_json("agreements.regions", regions.as_ref())?)
    .bind(maybe_json("agreements.flavors", flavors.as_ref())?)
    .bind(to_json("agreements.quota", quota)?)
    .bind(since)
    .bind(till)
    .bind(maybe_json("agreements.prices", prices.as_ref())?)
    .bind(to_json("agreements.retirement", retirement)?)
    .bind(id)
    .execute(connection)
    .await?;
    Ok(())
}

fn maybe_json<T: Serialize>(column: &str, value: Option<&T>) -> Result<Option<String>> {
    value.map(|value| to_json(column, value)).transpose()
}

pub(crate) fn agreement(row: &AnyRow) -> Result<Agreement> {
    Ok(Agreement {
        id: row.text("id")?,
        partner: row.word("cloud_id")?,
        projects: row.text("project_id")?.into(),
        project_name: row.maybe_text("project_name")?,
        project_domain: row.maybe_text("project_domain")?,
        version: row.maybe_count("version")?.filter(|version| *version > 0),
        terms: Terms {
            roles: row.json("roles")?,
            services: row.maybe_json("services")?,
            transitive: row.int("transitive")? != 0,
            allow: row.maybe_json("allowed")?.unwrap_or_default(),
            regions: row.maybe_json("regions")?,
            flavors: row.maybe_json("flavors")?,
            quota: row.maybe_json("quota")?.unwrap_or_default(),
            since: row.int("since")?,
            till: row.maybe_int("till")?,
            prices: row.maybe_json("prices")?,
            retirement: row.maybe_json("retirement")?.unwrap_or_default(),
        },
        ended_at: row.maybe_int("ended_at")?,
    })
}
