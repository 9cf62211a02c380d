//! The versions of agreements as their hosts signed them, and what was said of each.

mod given;
mod received;

use std::collections::BTreeMap;

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::contract::Said;
use alliance_core::terms::Terms;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::database::Database;
use crate::database::fault::Fault;
use crate::database::row::{Columns, to_json};
use crate::error::{Error, Result};

const VERSIONS: &str = "SELECT agreement_versions.* FROM agreement_versions
    JOIN partners ON partners.id = agreement_versions.partner_id
    WHERE partners.live_cloud_id = ? AND agreement_versions.received = ?";

pub use self::received::ReceivedAgreement;

/// See [`Store::contracts`](crate::Store::contracts).
#[derive(Debug, Clone, Copy)]
pub struct Contracts<'a>(pub(crate) &'a Database);

/// From which side an agreement is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This cloud is the host.
    Given,
    /// This cloud is home.
    Received,
}

impl Side {
    fn as_int(self) -> i64 {
        i64::from(self == Self::Received)
    }
}

/// One version of an agreement.
#[derive(Debug, Clone, PartialEq)]
pub struct AgreementVersion {
    /// 1, 2, …
    pub number: u32,
    /// What it says.
    pub terms: Terms,
    /// The host's signed proposal (JWS).
    pub signed: String,
    /// Lowercase hex SHA-256 of its payload.
    pub sha256: String,
    /// When the host made it; at home, as the host says.
    pub made_at: Seconds,
    /// Who: at the host the operator, at home the partner's alias.
    pub made_by: String,
    /// Since when it is, or was, in force.
    pub in_force_since: Option<Seconds>,
    /// What home said of it.
    pub reply: Option<StoredReply>,
    /// At home: whether the host has taken the reply in.
    pub heard: bool,
}

/// What home said of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReply {
    /// What.
    pub said: Said,
    /// When.
    pub at: Seconds,
    /// Who: at home the operator or the daemon, at the host the partner's alias.
    pub by: String,
    /// Signed (JWS).
    pub jws: String,
}

impl Contracts<'_> {
    /// The versions of every agreement with a partner, seen from one side, by the agreement's id; the
    /// newest last.
    ///
    /// # Errors
    /// The database's.
    pub async fn versions(
        self,
        side: Side,
        partner: &CloudId,
    ) -> Result<BTreeMap<String, Vec<AgreementVersion>>> {
        let rows = sqlx::query(&format!("{VERSIONS} ORDER BY agreement_id, version"))
            .bind(partner.as_str())
            .bind(side.as_int())
            .fetch_all(self.0.pool())
            .await?;
        let mut found: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for row in &rows {
            let versions = found.entry(row.text("agreement_id")?).or_default();
            versions.push(version(row)?);
        }
        Ok(found)
    }

    /// The versions of one agreement, the newest last.
    ///
    /// # Errors
    /// The database's.
    pub async fn versions_of(
        self,
        side: Side,
        partner: &CloudId,
        id: &str,
    ) -> Result<Vec<AgreementVersion>> {
        sqlx::query(&format!("{VERSIONS} AND agreement_id = ? ORDER BY version"))
            .bind(partner.as_str())
            .bind(side.as_int())
            .bind(id)
            .fetch_all(self.0.pool())
            .await?
            .iter()
            .map(version)
            .collect()
    }
}

/// Whose versions: the partner's row, the side, the agreement's id.
#[derive(Clone, Copy)]
struct Row<'a>(&'a str, Side, &'a str);

async fn one(
    connection: &mut AnyConnection,
    Row(partner_id, side, id): Row<'_>,
    number: u32,
) -> Result<Option<AgreementVersion>> {
    sqlx::query(
        "SELECT * FROM agreement_versions WHERE partner_id = ? AND received = ?
            AND agreement_id = ? AND version = ?",
    )
    .bind(partner_id)
    .bind(side.as_int())
    .bind(id)
    .bind(i64::from(number))
    .fetch_optional(connection)
    .await?
    .as_ref()
    .map(version)
    .transpose()
}

async fn insert(
    connection: &mut AnyConnection,
    Row(partner_id, side, id): Row<'_>,
    version: &AgreementVersion,
) -> Result<()> {
    let inserted = sqlx::query(
        "INSERT INTO agreement_versions (partner_id, received, agreement_id, version, terms, signed,
            sha256, made_at, made_by, in_force_since, heard)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
    )
    .bind(partner_id)
    .bind(side.as_int())
    .bind(id)
    .bind(i64::from(version.number))
    .bind(to_json("agreement_versions.terms", &version.terms)?)
    .bind(&version.signed)
    .bind(&version.sha256)
    .bind(version.made_at)
    .bind(&version.made_by)
    .bind(version.in_force_since)
    .execute(connection)
    .await;
    match inserted {
        Ok(_) => Ok(()),
        Err(error) if Fault::of(&error) == Fault::Unique => {
            Err(Error::AgreementChanged(id.to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

async fn write_reply(
    connection: &mut AnyConnection,
    Row(partner_id, side, id): Row<'_>,
    number: u32,
    reply: &StoredReply,
    heard: bool,
) -> Result<()> {
    sqlx::query(
        "UPDATE agreement_versions SET said = ?, said_at = ?, said_by = ?, reply = ?, heard = ?
            WHERE partner_id = ? AND received = ? AND agreement_id = ? AND version = ?",
    )
    .bind(reply.said.as_str())
    .bind(reply.at)
    .bind(&reply.by)
    .bind(&reply.jws)
    .bind(i64::from(heard))
    .bind(partner_id)
    .bind(side.as_int())
    .bind(id)
    .bind(i64::from(number))
    .execute(connection)
    .await?;
    Ok(())
}

/// A version is in force from now on, if it was not before.
async fn begin(
    connection: &mut AnyConnection,
    Row(partner_id, side, id): Row<'_>,
    number: u32,
    since: Seconds,
) -> Result<()> {
    sqlx::query(
        "UPDATE agreement_versions SET in_force_since = COALESCE(in_force_since, ?)
            WHERE partner_id = ? AND received = ? AND agreement_id = ? AND version = ?",
    )
    .bind(since)
    .bind(partner_id)
    .bind(side.as_int())
    .bind(id)
    .bind(i64::from(number))
    .execute(connection)
    .await?;
    Ok(())
}

fn version(row: &AnyRow) -> Result<AgreementVersion> {
    let reply = match row.maybe_word("said")? {
        Some(said) => Some(StoredReply {
            said,
            at: row.int("said_at")?,
            by: row.text("said_by")?,
            jws: row.text("reply")?,
        }),
        None => None,
    };
    Ok(AgreementVersion {
        number: row.maybe_count("version")?.unwrap_or_default(),
        terms: row.json("terms")?,
        signed: row.text("signed")?,
        sha256: row.text("sha256")?,
        made_at: row.int("made_at")?,
        made_by: row.text("made_by")?,
        in_force_since: row.maybe_int("in_force_since")?,
        reply,
        heard: row.int("heard")? != 0,
    })
}
