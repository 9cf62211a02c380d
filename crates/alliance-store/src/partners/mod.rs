//! Partners: one row each, from the moment that a pairing is active. A removed one keeps its row
//! for the record, while its name and its cloud id become free.

pub(crate) mod alias;
pub(crate) mod change;
pub(crate) mod facts;
pub(crate) mod insertion;
pub(crate) mod removal;

use alliance_core::cloud::{CloudId, Tag};
use alliance_core::partner::{KeystoneAccess, Partner};
use alliance_core::token::TokenPolicy;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::Error;
use crate::database::Database;
use crate::database::row::Columns;
use crate::error::Result;
use crate::partners::facts::Facts;

/// See [`Store::partners`](crate::Store::partners).
#[derive(Debug, Clone, Copy)]
pub struct Partners<'a>(pub(crate) &'a Database);

/// A partner, and what it last told us.
#[derive(Debug, Clone, PartialEq)]
pub struct PartnerRecord {
    /// The partner as stored; its effective status is
    /// [`Partner::status_at`].
    pub partner: Partner,
    /// What it told us.
    pub facts: Facts,
    /// How its tokens are validated.
    pub policy: TokenPolicy,
    /// How it is asked, if it is a plain Keystone.
    pub access: Option<KeystoneAccess>,
}

impl Partners<'_> {
    /// All that are not removed, by name.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(self) -> Result<Vec<PartnerRecord>> {
        sqlx::query("SELECT * FROM partners WHERE live_cloud_id IS NOT NULL ORDER BY name")
            .fetch_all(self.0.pool())
            .await?
            .iter()
            .map(record)
            .collect()
    }

    /// The record of those that are gone, the latest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn removed(self) -> Result<Vec<Partner>> {
        sqlx::query("SELECT * FROM partners WHERE live_cloud_id IS NULL ORDER BY removed_at DESC")
            .fetch_all(self.0.pool())
            .await?
            .iter()
            .map(partner)
            .collect()
    }

    /// The one with this alias, unless removed.
    ///
    /// # Errors
    /// The database's.
    pub async fn by_name(self, name: &str) -> Result<Option<PartnerRecord>> {
        self.one(
            "SELECT * FROM partners WHERE name = ? AND live_cloud_id IS NOT NULL",
            name,
        )
        .await
    }

    /// The one with this cloud id, unless removed.
    ///
    /// # Errors
    /// The database's.
    pub async fn by_cloud_id(self, cloud: &CloudId) -> Result<Option<PartnerRecord>> {
        self.one(
            "SELECT * FROM partners WHERE live_cloud_id = ?",
            cloud.as_str(),
        )
        .await
    }

    /// The one whose tokens begin with `tag`, unless removed.
    ///
    /// # Errors
    /// The database's.
    pub async fn by_tag(self, tag: &Tag) -> Result<Option<PartnerRecord>> {
        self.one("SELECT * FROM partners WHERE live_tag = ?", tag.as_str())
            .await
    }

    async fn one(self, sql: &'static str, key: &str) -> Result<Option<PartnerRecord>> {
        sqlx::query(sql)
            .bind(key)
            .fetch_optional(self.0.pool())
            .await?
            .as_ref()
            .map(record)
            .transpose()
    }
}

/// The row's id and the partner, for a transaction that goes on to change it or something of it:
/// until that ends, others wait here.
pub(crate) async fn require(
    connection: &mut AnyConnection,
    cloud: &CloudId,
) -> Result<(String, PartnerRecord)> {
    // SQLite's writers are alone anyway; MariaDB locks the row, and the next line reads what was
    // committed meanwhile.
    sqlx::query("UPDATE partners SET status = status WHERE live_cloud_id = ?")
        .bind(cloud.as_str())
        .execute(&mut *connection)
        .await?;
    let row = sqlx::query("SELECT * FROM partners WHERE live_cloud_id = ?")
        .bind(cloud.as_str())
        .fetch_optional(connection)
        .await?
        .ok_or_else(|| Error::NoSuchPartner(cloud.to_string()))?;
    Ok((row.text("id")?, record(&row)?))
}

fn record(row: &AnyRow) -> Result<PartnerRecord> {
    Ok(PartnerRecord {
        partner: partner(row)?,
        facts: facts::of(row)?,
        policy: row.maybe_json("policy")?.unwrap_or_default(),
        access: row.maybe_json("keystone")?,
    })
}

fn partner(row: &AnyRow) -> Result<Partner> {
    Ok(Partner {
        cloud_id: row.word("cloud_id")?,
        name: row.text("name")?,
        kind: row.word("kind")?,
        role: row.word("role")?,
        status: row.word("status")?,
        peer_url: row.text("peer_url")?,
        trust_since: row.maybe_int("trust_since")?,
        trust_till: row.maybe_int("trust_till")?,
        max_users: row.maybe_count("max_users")?,
        max_projects: row.maybe_count("max_projects")?,
        created_at: row.int("created_at")?,
    })
}
