//! Retirements, as the daemon has ordered them: what partners' projects have here is shut off, started
//! again or deleted, and each thing is written down before and after.

mod deletion;
mod journal;
mod standstill;

use std::collections::HashSet;
use std::future::pending;
use std::time::Duration;

use alliance_cloud::estate::{NoSite, Site};
use alliance_cloud::services::{Access, ServiceError, Session};
use alliance_core::Seconds;
use alliance_core::retirement::Phase;
use alliance_store::{Error, Lease, Retirement, Store};
use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval};

use self::journal::Journal;
use crate::daemon::now;

/// How often orders are looked for.
const LOOK: Duration = Duration::from_secs(2);
/// How many projects are retired at once.
const AT_ONCE: usize = 4;
/// How often the services are asked before what is still there is told as a remainder.
const TRIES: u32 = 3;
/// Pauses between attempts, in seconds.
const FIRST_PAUSE: Seconds = 3;
const LONGEST_PAUSE: Seconds = 3600;

/// Carries out orders, for ever, if there is a credential.
///
/// # Errors
/// If this process is no longer the one that does so.
pub(super) async fn run(access: Option<Access>, store: Store, lease: &Lease) -> anyhow::Result<()> {
    let Some(access) = access else {
        return pending().await;
    };
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut refused = HashSet::new();
    loop {
        ticks.tick().await;
        let orders = match store.retirements().orders(now()).await {
            Ok(orders) => orders,
            Err(error) => {
                tracing::error!(%error, "retirements cannot be read; trying again");
                continue;
            }
        };
        if orders.is_empty() {
            continue;
        }
        let session = match access.log_in().await {
            Ok(session) => session,
            Err(error) => {
                tracing::warn!(
                    error = format!("{:#}", anyhow::Error::from(error)),
                    "nothing was retired; trying again"
                );
                continue;
            }
        };
        for some in orders.chunks(AT_ONCE) {
            let work = some
                .iter()
                .map(|order| carry_out(&session, &store, lease, order));
            for (order, ended) in some.iter().zip(join_all(work).await) {
                match ended {
                    Ok(()) => {}
                    Err(Failure::Database(error @ Error::LeaseLost(_))) => return Err(error.into()),
                    Err(Failure::Site(error @ NoSite::Foreign { .. })) => {
                        if refused.insert(order.id.clone()) {
                            tracing::error!(retirement = order.id, %error, "not touched");
                        }
                    }
                    Err(error) => tracing::warn!(
                        retirement = order.id,
                        error = format!("{:#}", anyhow::Error::from(error)),
                        "a project is not retired yet; trying again"
                    ),
                }
            }
        }
    }
}

/// Why an attempt broke off.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Site(#[from] NoSite),
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    Database(#[from] Error),
}

async fn carry_out(
    session: &Session,
    store: &Store,
    lease: &Lease,
    order: &Retirement,
) -> Result<(), Failure> {
    let retirements = store.retirements();
    let (is_final, pause) = (order.attempts + 1 >= TRIES, pause(order.attempts));
    match attempt(session, store, lease, order).await {
        Ok(None) => Ok(()),
        Ok(Some(remains)) => {
            let (remainder, at) = (u32::try_from(remains).unwrap_or(u32::MAX), now());
            let phase = order.plan.phase;
            tracing::info!(retirement = order.id, %phase, remainder, "a project is being retired");
            retirements
                .advance(lease, order, Some(remainder), is_final, at + pause, at)
                .await?;
            Ok(())
        }
        Err(error) => {
            let at = now();
            retirements
                .advance(lease, order, None, false, at + pause, at)
                .await?;
            Err(error)
        }
    }
}

/// Does all of it once. Returns how many things are not as they should be; `None` if it was called off.
async fn attempt(
    session: &Session,
    store: &Store,
    lease: &Lease,
    order: &Retirement,
) -> Result<Option<usize>, Failure> {
    let site = Site::of(session, &order.cloud_id, &order.project_id).await?;
    let mut journal = Journal::open(store, lease, order).await?;
    match order.plan.phase {
        Phase::Quarantine => standstill::stop(&site, &mut journal).await,
        Phase::Restoration => standstill::restore(&site, &mut journal).await,
        Phase::Deletion => deletion::delete(&site, &mut journal).await,
        Phase::AccessEnded | Phase::Deleted | Phase::Restored => Ok(None),
    }
}

/// Growing: what a service refuses again and again is not asked for in a hurry.
fn pause(attempts: u32) -> Seconds {
    let doubled = FIRST_PAUSE.checked_shl(attempts.min(20));
    doubled.unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_again_and_again_is_asked_for_once_an_hour() {
        assert_eq!([0, 1, 2].map(pause), [3, 6, 12]);
        assert_eq!([11, 40, u32::MAX].map(pause), [LONGEST_PAUSE; 3]);
    }
}
