//! What a partner last told us, or why it does not.

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::descriptor::Descriptor;
use alliance_core::partner::Status;
use alliance_core::snapshot::Received;
use serde::{Deserialize, Serialize};
use sqlx::Any;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;

use super::Partners;
use crate::database::retrying;
use crate::database::row::{Columns, to_json};
use crate::error::{Error, Result};

/// A descriptor that was verified, as it came and as it reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredDescriptor {
    /// Compact JWS.
    pub jws: String,
    /// Its claims.
    pub claims: Descriptor,
}

/// What a partner last told us.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Its newest descriptor; a plain Keystone has none.
    pub descriptor: Option<StoredDescriptor>,
    /// What it holds of us.
    pub their_status: Option<Status>,
    /// When its daemon, or its Keystone, last answered.
    pub last_seen: Option<Seconds>,
    /// Why it did not answer, if it did not when last asked.
    pub last_error: Option<String>,
    /// When what it says of itself, or grants, was last another than before.
    pub changed_at: Option<Seconds>,
    /// What it grants our projects.
    pub received: Vec<Received>,
    /// The version of that list, for the partner.
    pub received_etag: Option<String>,
}

impl Partners<'_> {
    /// A newer descriptor than `last`, the compact JWS of the one that it was compared with; the partner's
    /// URL follows it. False if there is another one by now, or no such partner.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_descriptor(
        self,
        descriptor: &StoredDescriptor,
        last: Option<&str>,
    ) -> Result<bool> {
        let claims = to_json("partners.claims", &descriptor.claims)?;
        let done = retrying(|| async {
            let update = sqlx::query(
                "UPDATE partners SET descriptor = ?, claims = ?, peer_url = ?
                    WHERE live_cloud_id = ? AND descriptor = ?",
            )
            .bind(descriptor.jws.as_str())
            .bind(claims.as_str())
            .bind(descriptor.claims.peer_url.as_str())
            .bind(descriptor.claims.iss.as_str())
            .bind(last.unwrap_or_default());
            Ok(update.execute(self.0.pool()).await?)
        });
        Ok(done.await?.rows_affected() > 0)
    }

    /// The partner answered: the last error is over. `their_status` is what it holds of us; it
    /// stays as it was if the answer did not say.
    ///
    /// # Errors
    /// [`Error::NoSuchPartner`].
    pub async fn set_seen(
        self,
        cloud: &CloudId,
        their_status: Option<Status>,
        now: Seconds,
    ) -> Result<()> {
        self.set(cloud, || {
            sqlx::query(
                "UPDATE partners SET their_status = COALESCE(?, their_status), last_seen = ?, last_error = NULL
                    WHERE live_cloud_id = ?",
            )
            .bind(their_status.map(Status::as_str))
            .bind(now)
            .bind(cloud.to_string())
        })
        .await
    }

    /// The partner did not answer.
    ///
    /// # Errors
    /// [`Error::NoSuchPartner`].
    pub async fn set_failed(self, cloud: &CloudId, why: &str) -> Result<()> {
        self.set(cloud, || {
            sqlx::query("UPDATE partners SET last_error = ? WHERE live_cloud_id = ?")
                .bind(why.to_owned())
                .bind(cloud.to_string())
        })
        .await
    }

    /// What the partner grants our projects, as a whole, and the version of that list. `last` is the version
    /// that was known when the partner was asked. False if there is another one by now, or no such partner.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_received(
        self,
        cloud: &CloudId,
        received: &[Received],
        etag: Option<&str>,
        last: Option<&str>,
    ) -> Result<bool> {
        let list = to_json("partners.received", received)?;
        let done = retrying(|| async {
            let update = sqlx::query(
                "UPDATE partners SET received = ?, received_etag = ?
                    WHERE live_cloud_id = ? AND COALESCE(received_etag, '') = ?",
            )
            .bind(list.as_str())
            .bind(etag)
            .bind(cloud.as_str())
            .bind(last.unwrap_or_default());
            Ok(update.execute(self.0.pool()).await?)
        });
        Ok(done.await?.rows_affected() > 0)
    }

    /// What the partner says of itself, or grants, is another than before.
    ///
    /// # Errors
    /// [`Error::NoSuchPartner`].
    pub async fn set_changed(self, cloud: &CloudId, now: Seconds) -> Result<()> {
        self.set(cloud, || {
            sqlx::query("UPDATE partners SET changed_at = ? WHERE live_cloud_id = ?")
                .bind(now)
                .bind(cloud.to_string())
        })
        .await
    }

    async fn set<'q>(
        self,
        cloud: &CloudId,
        update: impl Fn() -> Query<'q, Any, AnyArguments<'q>>,
    ) -> Result<()> {
        let done = retrying(|| async { Ok(update().execute(self.0.pool()).await?) }).await?;
        if done.rows_affected() == 0 {
            return Err(Error::NoSuchPartner(cloud.to_string()));
        }
        Ok(())
    }
}

pub(super) fn of(row: &AnyRow) -> Result<Facts> {
    let claims: Option<Descriptor> = row.json("claims")?;
    let descriptor = match claims {
        Some(claims) => Some(StoredDescriptor {
            jws: row.text("descriptor")?,
            claims,
        }),
        None => None,
    };
    Ok(Facts {
        descriptor,
        their_status: row.maybe_word("their_status")?,
        last_seen: row.maybe_int("last_seen")?,
        last_error: row.maybe_text("last_error")?,
        changed_at: row.maybe_int("changed_at")?,
        received: row.json("received")?,
        received_etag: row.maybe_text("received_etag")?,
    })
}
