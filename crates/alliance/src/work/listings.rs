//! What there is, from time to time: what was not announced is found, and what has gone unannounced
//! ends.

use std::collections::HashSet;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use alliance_cloud::metering::{self, Sighting};
use alliance_cloud::services::{Access, ServiceError, Session};
use alliance_core::usage::Kind;
use alliance_store::Error;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{MissedTickBehavior, interval};

use super::ledger::{Ledger, Said};

const KINDS: [Kind; 5] = [
    Kind::Server,
    Kind::Volume,
    Kind::Snapshot,
    Kind::Image,
    Kind::FloatingIp,
];
/// How far back Nova is asked at the start which servers were deleted: what has ended while nobody
/// looked has ended then, not when somebody looks again.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(35 * 24);
/// How much of the last look is looked at again: clocks of this cloud may differ.
const OVERLAP: SignedDuration = SignedDuration::from_mins(5);

/// Lists every `poll`, for ever, if there is a credential.
///
/// # Errors
/// If this process is no longer the one that does so.
pub(super) async fn run(
    access: Option<Access>,
    poll: Duration,
    ledger: Arc<Ledger>,
) -> anyhow::Result<()> {
    let Some(access) = access else {
        return pending().await;
    };
    let mut ticks = interval(poll);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_look = Timestamp::now() - LOOK_BACK;
    let mut failing: HashSet<Kind> = HashSet::new();
    loop {
        ticks.tick().await;
        let began = Timestamp::now();
        let session = match access.log_in().await {
            Ok(session) => session,
            Err(error) => {
                tracing::warn!(
                    error = format!("{:#}", anyhow::Error::from(error)),
                    "the services were not listed; what has gone unannounced ends at the next listing"
                );
                continue;
            }
        };
        for kind in KINDS {
            match list(&session, &ledger, kind, last_look - OVERLAP).await {
                Ok(changed) => {
                    if failing.remove(&kind) || changed > 0 {
                        tracing::info!(%kind, changed, "listed");
                    }
                    if kind == Kind::Server {
                        last_look = began;
                    }
                }
                Err(Failure::Database(error @ Error::LeaseLost(_))) => return Err(error.into()),
                Err(error) => {
                    failing.insert(kind);
                    tracing::warn!(
                        %kind,
                        error = format!("{:#}", anyhow::Error::from(error)),
                        "not listed; what has gone unannounced ends at the next listing"
                    );
                }
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    Database(#[from] Error),
}

async fn list(
    session: &Session,
    ledger: &Ledger,
    kind: Kind,
    since: Timestamp,
) -> Result<usize, Failure> {
    let began = Timestamp::now().as_millisecond();
    let Some(mut seen) = metering::list(session, kind, began).await? else {
        return Ok(0);
    };
    if kind == Kind::Server {
        // After the listing: what was deleted in between is in one of the two.
        seen.extend(metering::deleted_servers(session, since, began).await?);
    }
    if kind == Kind::Server {
        ledger.watch_servers(&seen, began).await?;
    }
    let said: Vec<_> = seen.into_iter().map(said).collect();
    for user_id in ledger.strangers(&said).await {
        let home_id = metering::home_user(session, &user_id).await?;
        ledger.is_at_home(user_id, home_id);
    }
    Ok(ledger.list(kind, began, said).await?)
}

fn said(sighting: Sighting) -> Said {
    Said {
        resource: sighting.resource,
        project_id: Some(sighting.project_id),
        fact: sighting.fact,
    }
}
