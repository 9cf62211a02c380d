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
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use alliance_cloud::services::Access;
use alliance_store::{Error, Lease, Stack, Store};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use self::hand::Hands;
use self::saga::Saga;

/// How often orders are looked for.
const BEAT: Duration = Duration::from_secs(1);
/// How many stacks are worked on at once.
const AT_ONCE: usize = 8;

/// As whom things are made.
#[derive(Clone)]
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
    let (found, stacks) = mpsc::channel(1);
    // Both are always polled: one that waits for the database keeps none of the other's connections.
    tokio::select! {
        never = look(store, found) => match never {},
        ended = act(store, lease, &hands, stacks) => ended,
    }
}

/// Looks for orders, and hands over those that there is something to do for, again and again.
async fn look(store: &Store, found: mpsc::Sender<Stack>) -> Infallible {
    let mut ticks = interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match store.provisions().open().await {
            Ok(open) => {
                for stack in open {
                    // Who does not take it ends with this.
                    let _ = found.send(stack).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "orders were not looked for; they are at the next beat");
            }
        }
    }
}

/// Carries orders out, several at once.
async fn act(
    store: &Store,
    lease: &Lease,
    hands: &Hands,
    mut stacks: mpsc::Receiver<Stack>,
) -> anyhow::Result<()> {
    let mut under_way: HashSet<String> = HashSet::new();
    let mut sagas = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(stack) = stacks.recv() => {
                if under_way.len() < AT_ONCE && under_way.insert(stack.id.clone()) {
                    sagas.push(Saga::new(store, lease, hands, stack).carry_out());
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
