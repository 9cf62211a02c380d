//! Asking homes about those who are here, though nobody waits for the answer: who is disabled behind
//! home's Keystone leaves no event there.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use alliance_core::sign_out::{Change, LookAgain};
use alliance_peer::request_id::RequestId;
use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::Daemon;
use super::clock::now;
use super::directory::Known;
use super::host::Here;

/// How often is looked who is due.
const LOOK: Duration = Duration::from_secs(1);
/// How many questions a partner is asked at once.
const AT_ONCE: usize = 2;

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
                    asking.insert(cloud_id, running.spawn(asks));
                }
            }
        }
    }

    /// Asks a partner about users, a few at a time, until it does not answer.
    async fn check_all(self: Arc<Self>, known: Arc<Known>, due: Vec<Here>) {
        let request_id = RequestId::random();
        for some in due.chunks(AT_ONCE) {
            let answers = some
                .iter()
                .map(|here| self.host.check(&known, here, request_id));
            let answers = join_all(answers).await;
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
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::bed::{Bed, Failure};
    use crate::daemon::publish::tests::to_be_told;

    #[tokio::test]
    async fn who_is_gone_at_home_is_asked_about_and_silence_ends_nobody() -> Result<(), Failure> {
        let (east, west, _served) = Bed::with_home().await?;
        let home = west.identity.cloud_id();
        east.receives(home, (0..6).map(|number| number.to_string()))
            .await?;
        let partners = east.daemon.directory.partners();
        let known = partners.by_cloud(home).ok_or("west is gone")?;
        let due = || {
            let mut due = east.daemon.host.due(home, Duration::ZERO);
            due.sort_by(|a, b| a.user_id.cmp(&b.user_id));
            due
        };
        let ask = || Arc::clone(&east.daemon).check_all(Arc::clone(known), due());
        let asked = || west.does(|script| std::mem::take(&mut script.questions).len());
        let flushes = || to_be_told(&east.daemon.publisher).1;

        ask().await;
        assert_eq!((asked(), flushes()), (AT_ONCE, 0), "home says nothing");
        west.does(|script| script.grants = Some(Some(["member".to_owned()].into())));
        ask().await;
        assert_eq!((asked(), flushes()), (6, 0));
        west.does(|script| script.grants = Some(None));
        east.daemon.host.forget_answers();
        ask().await;
        assert_eq!((asked(), flushes()), (6, 3), "once for each two");
        east.daemon.host.forget_answers();
        ask().await;
        assert_eq!((asked(), flushes()), (6, 3));
        assert!(east.ended().is_empty());
        Ok(())
    }
}
