//! What ends by itself, and what is forgotten in time.

use std::sync::Arc;
use std::time::Duration;

use alliance_cloud::token_cache;
use alliance_core::label::clean;
use alliance_core::{LONGEST_TOKEN_LIFE, Seconds};
use tokio::time::{MissedTickBehavior, interval};

use super::Daemon;
use super::clock::now;

/// How long before its start a daemon looks for agreements that ended while it was away: services
/// remember tokens for less. Seconds.
const LOOK_BACK: Seconds = 900;

/// How often services' caches are told whose they are. They may have been restarted.
const CLAIM: Duration = Duration::from_secs(3600);

impl Daemon {
    /// Says in the caches of this cloud's services whose they are: another cloud whose services use them
    /// too finds out, and so does this one. Runs for ever.
    pub(crate) async fn claim_caches(self: Arc<Self>) {
        let mut ticks = interval(CLAIM);
        loop {
            ticks.tick().await;
            for address in &self.config.services.memcached {
                match token_cache::claim(address, self.identity.cloud_id().as_str()).await {
                    Ok(None) => {}
                    Ok(Some(other)) => tracing::error!(
                        other = clean(&other, 64),
                        "the services of another cloud use memcached at {address} too, and take this cloud's tokens from it; see alliance doctor"
                    ),
                    Err(error) => tracing::warn!(%error, "it is not known whose memcached it is"),
                }
            }
        }
    }

    /// Ends what has ended by itself, once a second, and forgets what is in memory only. Runs for ever.
    pub(crate) async fn follow_clock(self: Arc<Self>) {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen_to = now() - LOOK_BACK;
        loop {
            ticks.tick().await;
            let at = now();
            match self.expire_due(seen_to, at).await {
                Ok(()) => seen_to = at,
                Err(error) => tracing::error!(
                    error = format!("{error:#}"),
                    "what is due to expire was not stored; it counts as expired all the same"
                ),
            }
            if let Err(error) = self.host.write_projects().await {
                tracing::warn!(%error, "which projects of partners were here is not in the database yet");
            }
            self.host.forget_expired_sessions();
        }
    }

    /// Deletes what is of no use any more. Runs for ever.
    pub(crate) async fn forget_what_is_old(self: Arc<Self>) {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.store.used_passports().forget_expired(now()).await {
                tracing::warn!(%error, "used login passports that have expired stay in the database for now");
            }
            if let Err(error) = self.store.ended_sessions().forget_expired(now()).await {
                tracing::error!(%error, "expired entries were not deleted");
            }
            let too_old = now() - LONGEST_TOKEN_LIFE;
            if let Err(error) = self.store.sign_outs().forget_before(too_old).await {
                tracing::error!(%error, "old sign-outs were not deleted");
            }
            if let Err(error) = self.store.seen_tokens().forget_expired(now()).await {
                tracing::error!(%error, "expired entries were not deleted");
            }
            if let Err(error) = self.forget_old_bulletins().await {
                tracing::error!(%error, "what instances have told each other was not deleted");
            }
        }
    }
}
