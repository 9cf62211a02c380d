//! Hosts are asked for news again and again, each at its own pace.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use alliance_core::cloud::CloudId;
use alliance_peer::client::PeerError;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::Daemon;
use super::clock::now;
use super::directory::Known;

/// How long one host's news may take to be fetched.
const PATIENCE: Duration = Duration::from_secs(60);
/// For how long a host that does not tell is left alone at most, where hosts are asked more often.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// And how many times as long as one that tells.
const MOST_TIMES: u32 = 4;
/// For how long one of an earlier version is.
const OLDER: Duration = Duration::from_secs(300);

/// A host that does not tell.
struct Silence {
    pause: Duration,
    until: Instant,
}

impl Daemon {
    /// Asks each host so often; one that does not tell more and more seldom. One that hangs holds up none
    /// of the others. `ask` takes in what is new and returns how much that is; the log calls it `what`.
    /// Runs for ever.
    pub(crate) async fn follow_hosts<F>(
        self: Arc<Self>,
        every: Duration,
        what: &'static str,
        ask: impl Fn(Arc<Self>, Arc<Known>) -> F,
    ) where
        F: Future<Output = anyhow::Result<usize>>,
    {
        let longest = LONGEST_PAUSE.clamp(every, every * MOST_TIMES);
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent: HashMap<CloudId, Silence> = HashMap::new();
        let mut asked: HashSet<CloudId> = HashSet::new();
        let mut answers = FuturesUnordered::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    for known in self.directory.partners().all() {
                        let cloud_id = &known.partner.cloud_id;
                        let is_due = silent
                            .get(cloud_id)
                            .is_none_or(|silence| silence.until <= Instant::now());
                        if is_due
                            && known.peer().is_some()
                            && known.partner.require_host(now()).is_ok()
                            && asked.insert(cloud_id.clone())
                        {
                            let known = Arc::clone(known);
                            let answer = timeout(PATIENCE, ask(Arc::clone(&self), Arc::clone(&known)));
                            answers.push(async move { (known, answer.await) });
                        }
                    }
                }
                Some((known, answer)) = answers.next() => {
                    let (name, cloud_id) = (&known.partner.name, &known.partner.cloud_id);
                    asked.remove(cloud_id);
                    match answer.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in time"))) {
                        Ok(new) => {
                            if silent.remove(cloud_id).is_some() || new > 0 {
                                tracing::info!(partner = name, new, what, "the partner has told");
                            }
                        }
                        Err(error) => {
                            let before = silent.get(cloud_id).map(|silence| silence.pause);
                            let is_older = error
                                .downcast_ref()
                                .is_some_and(PeerError::is_of_an_older_version);
                            if before.is_none() && !is_older {
                                tracing::warn!(
                                    partner = name,
                                    what,
                                    error = format!("{error:#}"),
                                    "the partner did not tell; it is asked again, and this is said once"
                                );
                            }
                            let pause = match before {
                                _ if is_older => OLDER,
                                Some(pause) => (pause * 2).min(longest),
                                None => every,
                            };
                            let until = Instant::now() + pause;
                            silent.insert(cloud_id.clone(), Silence { pause, until });
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use alliance_core::partner::Role;
    use alliance_peer::identity::Identity;

    use super::*;
    use crate::daemon::bed::{Bed, Failure, descriptor};

    const EVERY: Duration = Duration::from_secs(5);

    async fn with_hosts(names: &[&str]) -> Result<Bed, Failure> {
        let bed = Bed::new().await?;
        for name in names {
            let host = Identity::ephemeral()?;
            let told = descriptor(&host, &host, "https://127.0.0.1:1")?;
            bed.knows(name, told, Role::Host).await?;
        }
        tokio::time::pause();
        Ok(bed)
    }

    #[tokio::test]
    async fn a_host_that_hangs_holds_up_none_of_the_others() -> Result<(), Failure> {
        let bed = with_hosts(&["hangs", "tells"]).await?;
        let (hung, told) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let following = Arc::clone(&bed.daemon).follow_hosts(EVERY, "news", |_, known| {
            let hangs = known.partner.name == "hangs";
            let count = if hangs { &hung } else { &told };
            count.fetch_add(1, Ordering::Relaxed);
            async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                Ok(1)
            }
        });
        assert!(timeout(EVERY * 10 + EVERY / 2, following).await.is_err());
        let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
        assert_eq!((count(&hung), count(&told)), (1, 11));
        Ok(())
    }

    #[tokio::test]
    async fn a_host_that_does_not_tell_is_asked_more_and_more_seldom() -> Result<(), Failure> {
        let bed = with_hosts(&["fails"]).await?;
        let (began, asked) = (Instant::now(), Mutex::new(Vec::new()));
        let following = Arc::clone(&bed.daemon).follow_hosts(EVERY, "news", |_, _| {
            let mut asked = asked
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            asked.push(began.elapsed().as_secs());
            async { Err(anyhow::anyhow!("no")) }
        });
        assert!(timeout(Duration::from_secs(300), following).await.is_err());
        let asked = asked.into_inner().unwrap_or_default();
        assert_eq!(asked[..6], [0, 5, 15, 35, 55, 75]);
        Ok(())
    }
}
