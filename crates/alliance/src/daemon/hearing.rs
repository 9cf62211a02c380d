//! Hearing what ends at partners: one poll at each of them, which waits there for news.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::hearing::{self, Progress};
use alliance_core::sign_out::{Change, LookAgain, SignOut};
use alliance_peer::client::{PeerClient, PeerError};
use alliance_peer::request_id::RequestId;
use alliance_peer::statement::StatementError;
use alliance_peer::wire::{Poll, SetError};
use alliance_store::Bulletin;
use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use super::Daemon;
use super::clock::now;
use super::directory::{Known, Way};

/// How often new partners are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// Pauses after a poll that failed, or that was not understood.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_MISUNDERSTANDING: Duration = Duration::from_secs(10);
/// Pause after a poll that was answered at once and brought nothing.
const NO_NEWS: Duration = Duration::from_secs(1);
/// How often a partner is asked whose daemon does not know the question.
const OLDER_VERSION: Duration = Duration::from_secs(60);

type Course = hearing::Course<SetError>;
type Heard = hearing::Heard<Misheard>;

impl Daemon {
    /// Asks each partner whose guests may be here what has ended there. Runs for ever.
    pub(crate) async fn follow_sign_outs(self: Arc<Self>) {
        let mut polls = JoinSet::new();
        let mut followed = HashMap::new();
        let mut ticks = interval(LOOK);
        loop {
            ticks.tick().await;
            let partners = self.directory.partners();
            let wanted: BTreeSet<CloudId> = partners
                .all()
                .into_iter()
                .filter(|known| {
                    known.peer().is_some() && known.partner.require_guest(now()).is_ok()
                })
                .map(|known| known.partner.cloud_id.clone())
                .collect();
            followed.retain(|cloud_id, poll: &mut tokio::task::AbortHandle| {
                if !wanted.contains(cloud_id) {
                    poll.abort();
                    // It may have been suspended: nobody asks.
                    self.stop_listening(cloud_id);
                    return false;
                }
                !poll.is_finished()
            });
            while polls.try_join_next().is_some() {}
            for cloud_id in wanted {
                followed.entry(cloud_id.clone()).or_insert_with(|| {
                    polls.spawn(Arc::clone(&self).follow_sign_outs_of(cloud_id))
                });
            }
        }
    }

    async fn follow_sign_outs_of(self: Arc<Self>, cloud_id: CloudId) {
        let mut course = Course::default();
        let (mut failing, mut misunderstanding) = (FIRST_PAUSE, FIRST_PAUSE);
        let mut is_older = false;
        loop {
            // Its address or keys may be new ones.
            let partners = self.directory.partners();
            let Some(known) = partners.by_cloud(&cloud_id).map(Arc::clone) else {
                return;
            };
            let Way::Peer(client) = &known.way else {
                return;
            };
            let began = Instant::now();
            let progress = match self.poll(&known, client, &mut course).await {
                Ok(progress) => progress,
                Err(error)
                    if error
                        .downcast_ref()
                        .is_some_and(PeerError::is_of_an_older_version) =>
                {
                    if !is_older {
                        tracing::warn!(
                            partner = known.partner.name,
                            "the partner's daemon is of a version without sign-outs; what has ended there is noticed when it is asked about again"
                        );
                    }
                    is_older = true;
                    sleep(OLDER_VERSION).await;
                    continue;
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    if failing == FIRST_PAUSE {
                        tracing::warn!(
                            partner = known.partner.name,
                            error,
                            "the partner did not say what has ended there; what was used here is asked about again when it is too old"
                        );
                    } else {
                        tracing::debug!(partner = known.partner.name, error, "still not");
                    }
                    sleep(failing).await;
                    failing = (failing * 2).min(LONGEST_PAUSE);
                    continue;
                }
            };
            (failing, is_older) = (FIRST_PAUSE, false);
            match progress {
                Progress::News => misunderstanding = FIRST_PAUSE,
                Progress::Nothing => sleep(NO_NEWS.saturating_sub(began.elapsed())).await,
                Progress::Misunderstood => {
                    sleep(misunderstanding).await;
                    misunderstanding = (misunderstanding * 2).min(LONGEST_MISUNDERSTANDING);
                }
            }
        }
    }

    /// Here and at other instances.
    fn listen_since(&self, cloud_id: &CloudId, at: Seconds) {
        if self.host.listens_since(cloud_id, at) {
            self.board.tell(Bulletin::Listening {
                partner: cloud_id.clone(),
                since: Some(at),
            });
        }
    }

    fn stop_listening(&self, cloud_id: &CloudId) {
        self.host.stops_listening(cloud_id);
        self.board.tell(Bulletin::Listening {
            partner: cloud_id.clone(),
            since: None,
        });
    }

    /// Waits for news and applies them. What is not understood is not acknowledged, nor what comes
    /// after it: home signs it anew for the next poll.
    async fn poll(
        self: &Arc<Self>,
        known: &Arc<Known>,
        client: &PeerClient,
        course: &mut Course,
    ) -> anyhow::Result<Progress> {
        let refused = course.refused().into_iter();
        let poll = Poll {
            ack: course.applied().iter().map(u64::to_string).collect(),
            set_errs: refused
                .map(|(first, why)| (first.to_string(), why.clone()))
                .collect(),
            // At first what is known already: logins by passport wait for it.
            return_immediately: !self.host.listens_to(&known.partner.cloud_id),
            ..Poll::default()
        };
        let answer = client.sign_outs(RequestId::random(), &poll).await?;
        let mut heard = Heard::of(&answer.sets, |set| {
            let said = known.read::<SignOut>(set, self.identity.cloud_id());
            said.map_err(Misheard::from)
        });
        if let Some(why) = heard.refusals().next() {
            if course.refused().is_none() {
                tracing::warn!(partner = known.partner.name, error = %why, "a sign-out was not understood; it is asked for again");
            }
            if heard.refusals().any(Misheard::is_unknown_key) {
                self.pull_soon(&known.partner.cloud_id);
            }
        }
        let covered = course.covered_by_list(&heard, Instant::now());
        let mut was_listed = false;
        if let Some(covered) = covered {
            match self.listed(known, client).await {
                Ok(changes) => {
                    heard.changes.extend(changes);
                    heard.pass(covered);
                    was_listed = true;
                }
                Err(error) => {
                    tracing::debug!(
                        partner = known.partner.name,
                        error = format!("{error:#}"),
                        "nor is its revocation list to be had"
                    );
                }
            }
        }
        let changes = std::mem::take(&mut heard.changes);
        self.apply_sign_outs(known, changes).await?;
        if heard.is_understood() && !answer.more_available {
            // An earlier version, which does not say, issues no login passports.
            let at = answer.now.unwrap_or(Seconds::MAX);
            self.listen_since(&known.partner.cloud_id, at);
        }
        match course.go_on(&heard, Instant::now(), Misheard::told) {
            // Who garbles one thing after the other is not asked without end.
            Progress::News if was_listed => Ok(Progress::Nothing),
            progress => Ok(progress),
        }
    }

    /// What a partner's revocation list says, in place of sign-outs that are not understood: all of
    /// Keystone's events there; for the rest it is asked about everybody again.
    async fn listed(&self, known: &Known, client: &PeerClient) -> anyhow::Result<Vec<Change>> {
        let list = self
            .ask_for_list(known, client, None, RequestId::random())
            .await?;
        let revoked = list.listed.context("the partner left its list out")?;
        let events = revoked.events.into_iter().map(Change::Revoked);
        let everything = Change::LookAgain(LookAgain::default());
        Ok(events.chain([everything]).collect())
    }
}

/// Why a sign-out is not understood.
#[derive(Debug, thiserror::Error)]
enum Misheard {
    #[error(transparent)]
    Statement(#[from] StatementError),
    #[error(transparent)]
    Said(#[from] hearing::Misheard),
}

impl Misheard {
    fn is_unknown_key(&self) -> bool {
        matches!(self, Self::Statement(StatementError::UnknownKey { .. }))
    }

    /// For home, in RFC 8935's words.
    fn told(&self) -> SetError {
        let err = match self {
            Self::Statement(StatementError::UnknownKey { .. }) => "invalid_key",
            Self::Statement(StatementError::Issuer { .. }) => "invalid_issuer",
            Self::Statement(StatementError::Audience { .. }) => "invalid_audience",
            Self::Statement(_) | Self::Said(_) => "invalid_request",
        };
        SetError {
            err: err.to_owned(),
            description: self.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
