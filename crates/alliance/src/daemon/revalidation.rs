//! Asking homes about those who are here, though nobody waits for the answer: who is disabled behind
//! home's Keystone leaves no event there.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use alliance_core::sign_out::{Change, LookAgain};
use alliance_peer::request_id::RequestId;
use alliance_peer::wire::MAX_QUESTIONS;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Daemon;
use super::clock::now;
use super::directory::Known;
use super::host::Here;

/// How often is looked who is due.
const LOOK: Duration = Duration::from_secs(1);
/// How long a partner is left in peace that did not answer.
const PEACE: Duration = Duration::from_secs(5);

impl Daemon {
    /// Asks each partner about its users who are here, each at least every `[tokens] max_staleness`.
    /// Runs for ever.
    pub(crate) async fn follow_guests(self: Arc<Self>) {
        let mut running = JoinSet::new();
        let mut asking = HashMap::new();
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            while running.try_join_next().is_some() {}
            asking.retain(|_, asks: &mut tokio::task::AbortHandle| !asks.is_finished());
            let partners = self.directory.partners();
            let all = partners.all().into_iter();
            let guests: BTreeMap<_, _> = all
                .filter(|known| known.partner.require_guest(now()).is_ok())
                .map(|known| (known.partner.cloud_id.clone(), known))
                .collect();
            self.host.keep_guests_of(&guests.keys().cloned().collect());
            for (cloud_id, known) in guests {
                if asking.contains_key(&cloud_id) {
                    continue;
                }
                let due = self.host.due(&cloud_id, self.host.ask_every());
                if !due.is_empty() {
                    let asks = Arc::clone(&self).check_all(Arc::clone(known), due);
                    let asks = async move {
                        if !asks.await {
                            sleep(PEACE).await;
                        }
                    };
                    asking.insert(cloud_id, running.spawn(asks));
                }
            }
        }
    }

    /// Asks a partner about users, many at a time, until it does not answer. Returns whether it always did.
    async fn check_all(self: Arc<Self>, known: Arc<Known>, due: Vec<Here>) -> bool {
        let request_id = RequestId::random();
        for some in due.chunks(MAX_QUESTIONS) {
            let answers = self.host.check(&known, some, request_id).await;
            let gone = some
                .iter()
                .zip(&answers)
                .filter(|(_, gone)| **gone == Ok(true));
            let doubts: Vec<_> = gone
                .map(|(here, _)| {
                    tracing::info!(%request_id, partner = known.partner.name, user = here.user_id, "home does not stand by a user who is here");
                    Change::LookAgain(LookAgain {
                        user_id: Some(here.user_id.clone()),
                        ..LookAgain::default()
                    })
                })
                .collect();
            if !doubts.is_empty()
                && let Err(error) = self.apply_sign_outs(&known, doubts).await
            {
                tracing::error!(%request_id, error = format!("{error:#}"), "what home said was not stored");
            }
            if let Some(Err(reason)) = answers.iter().find(|answer| answer.is_err()) {
                tracing::debug!(%request_id, partner = known.partner.name, %reason, "home does not say whether it stands by those who are here");
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::bed::fake_home::FakeHome;
    use crate::daemon::bed::{Bed, Failure, Served};
    use crate::daemon::publish::tests::to_be_told;

    /// East, where `guests` of west are, and a partner that is asked about them.
    async fn with_guests(guests: usize) -> Result<(Bed, Arc<FakeHome>, Served), Failure> {
        let (east, west, served) = Bed::with_home().await?;
        let home = west.identity.cloud_id();
        let ids = (0..guests).map(|number| number.to_string());
        east.receives(home, ids).await?;
        Ok((east, west, served))
    }

    async fn ask(east: &Bed, west: &FakeHome) -> Result<bool, Failure> {
        let home = west.identity.cloud_id();
        let partners = east.daemon.directory.partners();
        let known = partners.by_cloud(home).ok_or("west is gone")?;
        let mut due = east.daemon.host.due(home, Duration::ZERO);
        due.sort_by(|a, b| a.user_id.cmp(&b.user_id));
        let asks = Arc::clone(&east.daemon).check_all(Arc::clone(known), due);
        Ok(asks.await)
    }

    /// About how many users at once, and about how many in all, it was asked since the last look.
    fn asked(west: &FakeHome) -> (Vec<usize>, usize) {
        west.does(|script| {
            let batches = std::mem::take(&mut script.batches);
            (batches, std::mem::take(&mut script.questions).len())
        })
    }

    #[tokio::test]
    async fn who_is_gone_at_home_is_asked_about_and_silence_ends_nobody() -> Result<(), Failure> {
        let (east, west, _served) = with_guests(MAX_QUESTIONS + 10).await?;
        let flushes = || to_be_told(&east.daemon.publisher).1;
        let all = || (vec![MAX_QUESTIONS, 10], MAX_QUESTIONS + 10);

        assert!(!ask(&east, &west).await?);
        assert_eq!(asked(&west).0, [MAX_QUESTIONS], "home says nothing");
        assert_eq!(flushes(), 0);
        west.does(|script| script.grants = Some(Some(["member".to_owned()].into())));
        assert!(ask(&east, &west).await?);
        assert_eq!((asked(&west), flushes()), (all(), 0));
        ask(&east, &west).await?;
        assert_eq!(asked(&west), (vec![], 0), "it has just said");
        west.does(|script| script.grants = Some(None));
        east.daemon.host.forget_answers();
        ask(&east, &west).await?;
        assert_eq!((asked(&west), flushes()), (all(), 2), "once for each batch");
        east.daemon.host.forget_answers();
        ask(&east, &west).await?;
        assert_eq!((asked(&west), flushes()), (all(), 2));
        assert!(east.ended().is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn a_home_of_an_older_version_is_asked_about_one_at_a_time() -> Result<(), Failure> {
        let (east, west, _served) = with_guests(6).await?;
        west.does(|script| script.is_old = true);
        ask(&east, &west).await?;
        assert_eq!(asked(&west), (vec![6], 2), "home says nothing");
        west.does(|script| script.grants = Some(Some(["member".to_owned()].into())));
        ask(&east, &west).await?;
        assert_eq!(asked(&west), (vec![6], 6));
        west.does(|script| script.grants = Some(None));
        east.daemon.host.forget_answers();
        ask(&east, &west).await?;
        assert_eq!(to_be_told(&east.daemon.publisher).1, 1);
        Ok(())
    }
}
