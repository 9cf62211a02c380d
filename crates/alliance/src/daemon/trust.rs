//! Ending and resuming trust. Each change is stored first, then counts here at once, then Keystone
//! is told, then the services' caches, then the partner.

use std::sync::Arc;
use std::time::Duration;

use alliance_core::Seconds;
use alliance_core::partner::Status;
use alliance_peer::wire::Topic;
use alliance_store::{AuditEntry, Change};

use super::Daemon;
use super::clock::now;
use super::delegate::ApiError;
use super::directory::Known;
use crate::wire::{Applied, PartnerChange};

/// A service that had just asked Keystone may write its cache after the first deletion.
pub(super) const SECOND_SWEEP: Duration = Duration::from_secs(2);

/// Who gives orders on this machine, in the record of who did what.
pub(super) const OPERATOR: &str = "operator";

impl Daemon {
    /// Sets a partner's status, as `actor` wants it.
    pub(crate) async fn set_status(
        self: &Arc<Self>,
        known: &Arc<Known>,
        status: Status,
        actor: &str,
    ) -> anyhow::Result<Applied> {
        let partner = &known.partner;
        match status {
            Status::Removed => drop(
                self.store
                    .partners()
                    .remove(&partner.cloud_id, now())
                    .await?,
            ),
            other => drop(
                self.store
                    .partners()
                    .set_status(&partner.cloud_id, other, now())
                    .await?,
            ),
        }
        tracing::info!(partner = partner.name, cloud_id = %partner.cloud_id, %status, "an operator changed a partner's status");
        self.audit(
            actor,
            &format!("partner.{status}"),
            &partner.name,
            partner.cloud_id.as_str(),
        )
        .await;
        self.trust_changed(known).await
    }

    /// Changes a partner's bounds, and how its tokens are validated.
    pub(crate) async fn change_partner(
        self: &Arc<Self>,
        known: &Arc<Known>,
        change: &PartnerChange,
    ) -> Result<Applied, ApiError> {
        let partner = &known.partner;
        let may_issue = known.modes();
        if let Some(format) = change.modes.keys().find(|f| !may_issue.contains_key(f)) {
            let formats: Vec<_> = may_issue.keys().map(|format| format.as_str()).collect();
            return Err(ApiError::invalid(format!(
                "{format} tokens are none of {}'s: its formats here are {}",
                partner.name,
                formats.join(", ")
            )));
        }
        if change.login.is_some() && known.peer().is_none() {
            return Err(ApiError::invalid(format!(
                "{} has no Alliance and issues no login passports: its users come with their tokens",
                partner.name
            )));
        }
        let bounds = Change {
            trust_till: change.trust_till,
            max_users: change.max_users,
            max_projects: change.max_projects,
            modes: change.modes.clone(),
            allow_sha1: change.allow_sha1,
            login: change.login,
        };
        self.store
            .partners()
            .change(&partner.cloud_id, &bounds)
            .await?;
        self.audit(
            OPERATOR,
            "partner.changed",
            &partner.name,
            &format!("{change:?}"),
        )
        .await;
        Ok(self.trust_changed(known).await?)
    }

    /// After any change of what a partner may: everything that remembers is told.
    pub(crate) async fn trust_changed(
        self: &Arc<Self>,
        known: &Arc<Known>,
    ) -> anyhow::Result<Applied> {
        self.directory.reload().await?;
        self.host.forget_answers();
        let applied = self.publisher.publish(false).await;
        self.sweep_guests(known).await;
        self.poke_soon(known, &[Topic::Status, Topic::Agreements]);
        let mut applied = applied?;
        if applied.keystone_told {
            applied.detail = self.where_it_may_not_count().await;
        }
        Ok(applied)
    }

    /// Partners and agreements end by themselves at their time: those whose time came after `since`
    /// and until `at`.
    pub(crate) async fn expire_due(
        self: &Arc<Self>,
        since: Seconds,
        at: Seconds,
    ) -> anyhow::Result<()> {
        let partners = self.directory.partners();
        for partner in self.store.partners().expire_due(at).await? {
            if let Some(known) = partners.by_cloud(&partner.cloud_id) {
                tracing::info!(
                    partner = partner.name,
                    "trust_till has passed: the partner expired"
                );
                self.audit(
                    "daemon",
                    "partner.expired",
                    &partner.name,
                    partner.cloud_id.as_str(),
                )
                .await;
                self.trust_changed(known).await?;
            }
        }
        for known in partners.all() {
            let is_due = |time| since < time && time <= at;
            if known.given.iter().any(|agreement| {
                is_due(agreement.terms.since) || agreement.terms.till.is_some_and(is_due)
            }) {
                tracing::info!(
                    partner = known.partner.name,
                    "an agreement begins or has reached its end"
                );
                self.trust_changed(known).await?;
            }
        }
        self.publisher.publish(false).await?;
        Ok(())
    }

    /// Drops the partner's tokens from the caches of this cloud's services, now and once more.
    pub(crate) async fn sweep_guests(self: &Arc<Self>, known: &Arc<Known>) {
        self.host.forget_answers();
        self.sweep_service_caches(known).await;
        let (daemon, later) = (Arc::clone(self), Arc::clone(known));
        self.spawn(async move {
            daemon.pause(SECOND_SWEEP).await;
            daemon.sweep_service_caches(&later).await;
        });
    }

    /// Drops the partner's tokens from the caches of this cloud's services, as far as they are
    /// known and reachable.
    async fn sweep_service_caches(&self, known: &Known) {
        let seen = self.store.seen_tokens();
        self.sweep_hashes(seen.of_partner(&known.partner.cloud_id, now()))
            .await;
    }

    /// Drops the tokens of which these are the hashes from the caches of this cloud's services. Nobody
    /// is asked for them where no cache is known.
    pub(super) async fn sweep_hashes(
        &self,
        hashes: impl Future<Output = alliance_store::Result<Vec<String>>>,
    ) {
        let memcached = &self.config.services.memcached;
        if memcached.is_empty() {
            return;
        }
        let hashes = match hashes.await {
            Ok(hashes) => hashes,
            Err(error) => {
                tracing::error!(%error, "the list of seen tokens cannot be read; the services' caches run out by themselves");
                return;
            }
        };
        for address in memcached {
            if let Err(error) = alliance_cloud::token_cache::forget(address, &hashes).await {
                tracing::warn!(address, %error, "a services' cache was not swept; it runs out by itself (token_cache_time)");
            }
        }
    }

    /// Writes the record of what happened, and its audit event.
    pub(crate) async fn audit(&self, actor: &str, action: &str, subject: &str, detail: &str) {
        let entry = AuditEntry {
            at: now(),
            actor: actor.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail: detail.to_owned(),
        };
        self.auditor.recorded(&entry, &self.directory);
        if let Err(error) = self.store.audit().append(&entry).await {
            tracing::error!(?entry, %error, "the audit record was not stored");
        }
    }
}
