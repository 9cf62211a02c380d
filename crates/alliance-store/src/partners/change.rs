//! What happens to a partner after pairing.

use std::collections::BTreeMap;

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::partner::{Partner, Status};
use alliance_core::token::{Login, Mode, TokenFormat};

use super::{PartnerRecord, Partners, removal, require};
use crate::bulletins::{self, Bulletin};
use crate::database::retrying;
use crate::database::row::to_json;
use crate::error::{Error, Result};

/// A partner whose status was set.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// What it was.
    pub from: Status,
    /// As it is now.
    pub partner: Partner,
}

/// What to change; `None` stays as it is, `Some(None)` takes the bound away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// When the trust ends.
    pub trust_till: Option<Option<Seconds>>,
    /// At most this many users here.
    pub max_users: Option<Option<u32>>,
    /// At most this many projects here.
    pub max_projects: Option<Option<u32>>,
    /// How tokens of these formats are validated; other formats stay as they are.
    pub modes: BTreeMap<TokenFormat, Mode>,
    /// Whether signatures over SHA-1 count.
    pub allow_sha1: Option<bool>,
    /// How users log in.
    pub login: Option<Login>,
}

impl Partners<'_> {
    /// Suspends, resumes or removes. Setting the same status again is no error.
    ///
    /// # Errors
    /// [`Error::IllegalChange`] against the rule of [`Status::may_become`],
    /// [`Error::TrustIsOver`] when a partner whose time is over should become active,
    /// [`Error::NoSuchPartner`].
    pub async fn set_status(self, cloud: &CloudId, to: Status, now: Seconds) -> Result<Transition> {
        retrying(|| self.set_status_once(cloud, to, now)).await
    }

    /// Changes bounds, and how tokens are validated. The status stays: an expired partner with a
    /// later end is resumed by [`Partners::set_status`].
    ///
    /// # Errors
    /// [`Error::NotOffline`], [`Error::NoSuchPartner`].
    pub async fn change(self, cloud: &CloudId, change: &Change) -> Result<PartnerRecord> {
        retrying(|| self.change_once(cloud, change)).await
    }

    /// Makes partners whose `trust_till` has come expired. Returns those that it has just made
    /// so, each once, whoever calls.
    ///
    /// # Errors
    /// The database's.
    pub async fn expire_due(self, now: Seconds) -> Result<Vec<Partner>> {
        let mut due = self.list().await?;
        due.retain(|record| {
            let partner = &record.partner;
            partner.status != Status::Expired && partner.status_at(now) == Status::Expired
        });
        let mut expired = Vec::new();
        for PartnerRecord { mut partner, .. } in due {
            let set = retrying(|| async {
                let mut transaction = self.0.write().await?;
                let set = sqlx::query(
                    "UPDATE partners SET status = 'expired' WHERE live_cloud_id = ?
                        AND status IN ('active', 'suspended') AND trust_till <= ?",
                )
                .bind(partner.cloud_id.as_str())
                .bind(now)
                .execute(&mut *transaction)
                .await?
                .rows_affected();
                if set > 0 {
                    bulletins::post(self.0, &mut transaction, &Bulletin::Trust).await?;
                }
                transaction.commit().await?;
                Ok(set)
            })
            .await?;
            // None if somebody else expired, removed or prolonged it meanwhile.
            if set == 1 {
                partner.status = Status::Expired;
                expired.push(partner);
            }
        }
        Ok(expired)
    }

    async fn set_status_once(
        self,
        cloud: &CloudId,
        to: Status,
        now: Seconds,
    ) -> Result<Transition> {
        let mut transaction = self.0.write().await?;
        let (id, record) = require(&mut transaction, cloud).await?;
        let mut partner = record.partner;
        let from = partner.status;
        from.may_become(to)?;
        if to == Status::Active && partner.trust_till.is_some_and(|till| till <= now) {
            return Err(Error::TrustIsOver { name: partner.name });
        }
        if to == Status::Removed {
            removal::end(&mut transaction, &id, now).await?;
        } else {
            sqlx::query("UPDATE partners SET status = ? WHERE id = ?")
                .bind(to.as_str())
                .bind(id)
                .execute(&mut *transaction)
                .await?;
        }
        bulletins::post(self.0, &mut transaction, &Bulletin::Trust).await?;
        transaction.commit().await?;
        partner.status = to;
        Ok(Transition { from, partner })
    }

    async fn change_once(self, cloud: &CloudId, change: &Change) -> Result<PartnerRecord> {
        let mut transaction = self.0.write().await?;
        let (id, mut record) = require(&mut transaction, cloud).await?;
        let PartnerRecord {
            partner, policy, ..
        } = &mut record;
        partner.trust_till = change.trust_till.unwrap_or(partner.trust_till);
        partner.max_users = change.max_users.unwrap_or(partner.max_users);
        partner.max_projects = change.max_projects.unwrap_or(partner.max_projects);
        for (format, mode) in &change.modes {
            policy.set(*format, *mode)?;
        }
        policy.allow_sha1 = change.allow_sha1.unwrap_or(policy.allow_sha1);
        policy.login = change.login.unwrap_or(policy.login);
        sqlx::query(
            "UPDATE partners SET trust_till = ?, max_users = ?, max_projects = ?, policy = ?
                WHERE id = ?",
        )
        .bind(partner.trust_till)
        .bind(partner.max_users.map(i64::from))
        .bind(partner.max_projects.map(i64::from))
        .bind(to_json("partners.policy", policy)?)
        .bind(id)
        .execute(&mut *transaction)
        .await?;
        bulletins::post(self.0, &mut transaction, &Bulletin::Trust).await?;
        transaction.commit().await?;
        Ok(record)
    }
}
