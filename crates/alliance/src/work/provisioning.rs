//! What partners have ordered for their projects is made here, changed and removed.
//!
//! The daemon, which faces the Internet, has only written the orders down. Each is verified here again,
//! with the partner's key, and judged by the agreements: nothing is made that the partner has not signed.
//! What is done is in the journal before the service is asked and after it has answered, so that whoever
//! takes over goes on.

mod hand;
mod orders;
mod saga;

use std::collections::HashSet;
use std::future::pending;
use std::time::Duration;

use alliance_cloud::services::Access;
use alliance_store::{Error, Lease, Store};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use secrecy::SecretString;
use tokio::time::{MissedTickBehavior, interval};

use self::hand::Hands;
use self::saga::Saga;

/// How often orders are looked for.
const BEAT: Duration = Duration::from_secs(1);
/// How many stacks are worked on at once.
const AT_ONCE: usize = 8;

/// As whom things are made.
pub(super) struct Settings {
    /// The administrator's login.
    pub(super) access: Access,
    /// The password of the same user.
    pub(super) password: SecretString,
}

/// Carries orders out for ever, if that is wanted.
///
/// # Errors
/// If this process is no longer the one that does so.
pub(super) async fn run(
    settings: Option<Settings>,
    store: &Store,
    lease: &Lease,
) -> anyhow::Result<()> {
    let Some(settings) = settings else {
        return pending().await;
    };
    let hands = Hands::new(settings);
    let mut ticks = interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut under_way: HashSet<String> = HashSet::new();
    let mut sagas = FuturesUnordered::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let open = match store.provisions().open().await {
                    Ok(open) => open,
                    Err(error) => {
                        tracing::warn!(%error, "orders were not looked for; they are at the next beat");
                        continue;
                    }
                };
                for stack in open {
                    if under_way.len() < AT_ONCE && under_way.insert(stack.id.clone()) {
                        let saga = Saga::new(store, lease, &hands, stack);
                        sagas.push(saga.carry_out());
                    }
                }
            }
            Some((stack_id, ended)) = sagas.next() => {
                under_way.remove(&stack_id);
                match ended {
                    Ok(()) => {}
                    Err(error @ Error::LeaseLost(_)) => return Err(error.into()),
                    Err(error) => {
                        tracing::error!(stack = stack_id, %error, "an order is taken up again");
                    }
                }
            }
        }
    }
}
