//! The versions of agreements as their hosts signed them, and what was said of each.

use std::collections::BTreeMap;

use alliance_core::Seconds;
use alliance_core::agreement::{Agreement, Projects};
use alliance_core::cloud::CloudId;
use alliance_core::contract::Said;
use alliance_core::terms::Terms;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::agreements::{self, write_terms};
use crate::database::fault::Fault;
use crate::database::row::{Columns, to_json};
use crate::database::{Database, retrying};
use crate::error::{Error, Result};
use crate::partners;

const VERSIONS: &str = "SELECT agreement_versions.* FROM agreement_versions
    JOIN partners ON partners.id = agreement_versions.partner_id
    WHERE partners.live_cloud_id = ? AND agreement_versions.received = ?";

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

/// Whose versions: the partner's row, the side, the agreement's id.
#[derive(Clone, Copy)]
struct Row<'a>(&'a str, Side, &'a str);

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
