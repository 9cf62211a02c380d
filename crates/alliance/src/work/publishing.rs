//! At home: what hosts have told is said on this cloud's message bus, as its services say such things; and
//! what this cloud has decided about partners and guests.

mod audit;
mod hours;
mod notices;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use alliance_cloud::publishing::{Notification, Publisher, Settings};
use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_store::{Receiver, Store};
use tokio::time::sleep;

use self::audit::Audit;
use self::hours::Hours;
use self::notices::Notices;
use self::usage::Usage;
use crate::daemon::now;

/// How many are read at once.
const AT_ONCE: usize = 50;
/// How often is looked whether there are some.
const LOOK: Duration = Duration::from_secs(1);
/// Pauses after a failure: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Something of which is said what comes, in its order.
trait Source: Default {
    /// Under which name is remembered how far it was said.
    const RECEIVER: Receiver;

    /// At least what it is told after, the first time.
    fn beginning(_now: Seconds) -> u64 {
        0
    }

    /// What is to be said after that. When it is asked again, that was said.
    async fn next(
        &mut self,
        store: &Store,
        reached: u64,
        now: Seconds,
    ) -> anyhow::Result<Vec<Step>>;
}

/// A step on the way.
struct Step {
    /// What is said. `None`: nothing is left to be said up to there.
    notification: Option<Notification>,
    /// How far it was said then.
    reaches: u64,
}

/// What hosts are called here.
struct Names(HashMap<CloudId, String>);

/// Says what comes, if that is wanted. Runs for ever.
pub(super) async fn run(settings: Option<Settings>, store: &Store) -> Infallible {
    let Some(settings) = settings else {
        return pending().await;
    };
    let mut speaker = Speaker {
        settings,
        store,
        publisher: None,
    };
    let mut hours = Hours::default();
    let mut audit = Audit::default();
    let mut pause = FIRST_PAUSE;
    loop {
        let is_first = pause == FIRST_PAUSE;
        // One that fails keeps none of the others.
        let turns = [
            speaker.turn(&mut Notices, is_first).await,
            speaker.turn(&mut Usage, is_first).await,
            speaker.turn(&mut hours, is_first).await,
            speaker.turn(&mut audit, is_first).await,
        ];
        if turns.contains(&Turn::Failed) {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        } else if turns.contains(&Turn::Said) {
            pause = FIRST_PAUSE;
        } else {
            sleep(LOOK).await;
        }
    }
}

struct Speaker<'a> {
    settings: Settings,
    store: &'a Store,
    publisher: Option<Publisher>,
}

/// What came of one look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Nothing,
    Said,
    Failed,
}

impl Speaker<'_> {
    /// Says some of it. What fails goes into the database, and into the log if it is the first time.
    async fn turn<S: Source>(&mut self, source: &mut S, is_first: bool) -> Turn {
        let error = match self.say(source).await {
            Ok(0) => return Turn::Nothing,
            Ok(_) => return Turn::Said,
            Err(error) => format!("{error:#}"),
        };
        *source = S::default();
        self.publisher = None;
        if is_first {
            tracing::warn!(
                exchange = self.settings.exchange,
                what = S::RECEIVER.as_str(),
                error,
                "what partners have told was not said on the message bus; it is tried again, and this is said once"
            );
        }
        let deliveries = self.store.deliveries();
        let noted = deliveries.not_delivered(S::RECEIVER, &error, false, now());
        if let Err(error) = noted.await {
            tracing::warn!(%error, "that it fails is not in the database");
        }
        Turn::Failed
    }

    /// Says some of it. Returns how many steps were made.
    async fn say<S: Source>(&mut self, source: &mut S) -> anyhow::Result<usize> {
        let deliveries = self.store.deliveries();
        let reached = match deliveries.reached(S::RECEIVER).await? {
            Some(reached) => reached,
            None => deliveries.begin(S::RECEIVER, S::beginning(now())).await?,
        };
        let steps = source.next(self.store, reached, now()).await?;
        for step in &steps {
            if let Some(notification) = &step.notification {
                self.publisher().await?.publish(notification).await?;
            }
            deliveries.delivered(S::RECEIVER, step.reaches).await?;
        }
        Ok(steps.len())
    }

    async fn publisher(&mut self) -> anyhow::Result<&Publisher> {
        Ok(match &mut self.publisher {
            Some(publisher) => publisher,
            none => none.insert(self.settings.connect().await?),
        })
    }
}

impl Names {
    async fn read(store: &Store) -> anyhow::Result<Self> {
        let partners = store.partners().list().await?.into_iter();
        Ok(Self(
            partners
                .map(|known| (known.partner.cloud_id, known.partner.name))
                .collect(),
        ))
    }

    /// The name of a cloud; its id, if it is no partner.
    fn of<'a>(&'a self, cloud_id: &'a CloudId) -> &'a str {
        self.0
            .get(cloud_id)
            .map_or(cloud_id.as_str(), String::as_str)
    }
}

/// Who says it: this cloud, of a partner.
fn publisher_id(partner: &str) -> String {
    format!("alliance.{partner}")
}
