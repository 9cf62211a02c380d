//! Home's word about its projects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::retirement::{MOST_PROJECTS, Next, ProjectStandings, Word};
use alliance_peer::client::PeerError;
use alliance_peer::request_id::RequestId;
use alliance_peer::wire::StandingQuestion;
use anyhow::Context;
use futures_util::future::join_all;
use tokio::time::timeout;

use super::{Books, Key};
use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::daemon::directory::{Known, Way};

/// How old home's word on a project may be, in seconds, though nothing has been heard of a change.
const OLDEST: Seconds = 3600;
/// The same where that word may set free what is being retired, at least; before anything is stopped or
/// deleted home is asked anyway.
const OLDEST_OF_RETIRING: Seconds = 10;
/// Of the time that a retirement has run, that part may pass until home is asked again.
const PART_OF_RETIRING: Seconds = 60;
/// A home that does not say is asked again after that, in seconds.
const PAUSE: Seconds = 10;
/// How long homes may take for one question.
const PATIENCE: Duration = Duration::from_secs(15);

/// How old home's word may be at `at` on a project whose retirement, if there is one, began then.
fn oldest(began: Option<Seconds>, at: Seconds) -> Seconds {
    let runs = began.map(|began| at - began);
    runs.map_or(OLDEST, |runs| {
        (runs / PART_OF_RETIRING).clamp(OLDEST_OF_RETIRING, OLDEST)
    })
}

impl Daemon {
    /// Asks homes about projects whose standing is too old, and notes it. Returns of which.
    pub(super) async fn ask_homes(
        &self,
        books: &mut Books,
        at: Seconds,
    ) -> anyhow::Result<BTreeSet<Key>> {
        let mut due: BTreeMap<CloudId, Vec<(Option<Seconds>, String)>> = BTreeMap::new();
        for (key, standing) in &books.standings {
            let running = books.running.get(key);
            let is_relevant = match running {
                Some(running) => running.plan.cause.is_homes_word(),
                None => {
                    books.retired.get(key) <= books.seen.get(key) && books.partners.contains(&key.0)
                }
            };
            let oldest = oldest(running.map(|one| one.began), at);
            let asked_at = standing.word.map(|word| word.asked_at);
            let is_due = asked_at.is_none_or(|asked_at| asked_at + oldest <= at)
                || self.doubts.is_about(key, asked_at)
                || running.is_some_and(|one| {
                    one.plan.next(Some(one.plan.cause), standing.word, at) == Next::AskHome
                });
            if is_relevant && is_due {
                let of_home = due.entry(key.0.clone()).or_default();
                of_home.push((asked_at, key.1.clone()));
            }
        }
        let partners = self.directory.partners();
        let asked = due.iter_mut().filter_map(|(cloud_id, projects)| {
            let known = partners.by_cloud(cloud_id)?;
            // Those in doubt first, then those of which was heard longest ago; the rest the next time.
            projects.sort_by_key(|(asked_at, id)| {
                let key = (cloud_id.clone(), id.clone());
                (!self.doubts.is_about(&key, *asked_at), *asked_at)
            });
            projects.truncate(MOST_PROJECTS);
            let ids = projects.iter().map(|(_, id)| id.clone()).collect();
            Some(self.ask_home(known, ids, at))
        });
        let mut heard = BTreeSet::new();
        for (cloud_id, said) in join_all(asked).await.into_iter().flatten() {
            for (project_id, word) in said {
                let key = (cloud_id.clone(), project_id);
                if let Some(standing) = books.standings.get_mut(&key) {
                    standing.word = Some(word);
                    heard.insert(key);
                }
            }
        }
        Ok(heard)
    }

    async fn ask_home(
        &self,
        known: &Arc<Known>,
        project_ids: Vec<String>,
        at: Seconds,
    ) -> Option<(CloudId, Vec<(String, Word)>)> {
        let cloud_id = &known.partner.cloud_id;
        let Way::Peer(client) = &known.way else {
            self.doubts.forget(cloud_id);
            return None;
        };
        if known.partner.require_guest(at).is_err() || !self.doubts.may_ask(cloud_id, at) {
            return None;
        }
        let asked_at = now();
        let question = StandingQuestion { project_ids };
        let asked = async {
            let answer = client.standing(RequestId::random(), &question).await?;
            let said: ProjectStandings = known
                .hear(&answer.standing, self.identity.cloud_id())
                .context("its word was refused")?;
            anyhow::Ok(said)
        };
        let error = match timeout(PATIENCE, asked).await {
            Ok(Ok(said)) => {
                self.doubts
                    .resolve(cloud_id, &question.project_ids, asked_at);
                let said = said.projects.into_iter();
                let of_these = said.filter(|(id, _)| question.project_ids.contains(id));
                let words = of_these.map(|(id, standing)| (id, Word { standing, asked_at }));
                return Some((cloud_id.clone(), words.collect()));
            }
            Ok(Err(error)) => error,
            Err(_) => anyhow::anyhow!("no answer in time"),
        };
        self.doubts.pause(cloud_id, now() + PAUSE);
        let is_older = error
            .downcast_ref()
            .is_some_and(PeerError::is_of_an_older_version);
        if !is_older {
            tracing::debug!(
                partner = known.partner.name,
                error = format!("{error:#}"),
                "home does not say how its projects are; nothing follows from that"
            );
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_a_retirement_runs_the_less_often_home_is_asked() {
        let (minute, hour, day) = (60, 3600, 86_400);
        for (runs, may_be_old) in [
            (0, 10),
            (10 * minute, 10),
            (hour, minute),
            (day, 24 * minute),
            (30 * day, hour),
        ] {
            assert_eq!(oldest(Some(1000), 1000 + runs), may_be_old, "{runs} s");
        }
        assert_eq!(oldest(Some(1000), 900), 10, "the clock was set back");
        assert_eq!(oldest(None, 1000), hour);
    }
}
