//! Hearing what ends at partners: one poll at each of them, which waits there for news.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::sign_out::{Change, LookAgain, SignOut};
use alliance_peer::client::{PeerClient, PeerError};
use alliance_peer::request_id::RequestId;
use alliance_peer::statement::StatementError;
use alliance_peer::wire::{Poll, PollAnswer, SetError};
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
/// A home tells hosts that ask within this time the same revocation list.
const LIST_SHARED: Duration = Duration::from_secs(1);
/// How often a partner is asked whose daemon does not know the question.
const OLDER_VERSION: Duration = Duration::from_secs(60);

/// How far a partner was heard.
#[derive(Debug, Default)]
struct Course {
    /// All up to this one counts here.
    applied: Option<u64>,
    /// What stands in the way.
    refused: Option<Refused>,
}

/// Sign-outs that were not understood.
#[derive(Debug, Clone, PartialEq)]
struct Refused {
    /// The first of them.
    first: u64,
    /// The last that home had told then.
    last: u64,
    /// When the first was refused.
    since: Instant,
    why: SetError,
}

/// What came of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    News,
    Nothing,
    Misunderstood,
}

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
        let refused = course.refused.iter();
        let poll = Poll {
            ack: course.applied.iter().map(u64::to_string).collect(),
            set_errs: refused
                .map(|refused| (refused.first.to_string(), refused.why.clone()))
                .collect(),
            // At first what is known already: logins by passport wait for it.
            return_immediately: !self.host.listens_to(&known.partner.cloud_id),
            ..Poll::default()
        };
        let answer = client.sign_outs(RequestId::random(), &poll).await?;
        let mut heard = Heard::of(&answer, |set| {
            known.read::<SignOut>(set, self.identity.cloud_id())
        });
        if let Some(why) = heard.refused.values().next() {
            if course.refused.is_none() {
                tracing::warn!(partner = known.partner.name, error = %why, "a sign-out was not understood; it is asked for again");
            }
            if heard.refused.values().any(Misheard::is_unknown_key) {
                self.pull_soon(&known.partner.cloud_id);
            }
        }
        let covered = course
            .refused
            .as_ref()
            .filter(|before| before.is_still_refused(&heard))
            .map(|before| before.last);
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
        if heard.refused.is_empty() && !answer.more_available {
            // An earlier version, which does not say, issues no login passports.
            let at = answer.now.unwrap_or(Seconds::MAX);
            self.listen_since(&known.partner.cloud_id, at);
        }
        match course.go_on(&heard) {
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
    #[error("it is another than the partner said")]
    Another,
    #[error("what it says is garbled: {0}")]
    Garbled(#[from] serde_json::Error),
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
            Self::Statement(_) | Self::Another | Self::Garbled(_) => "invalid_request",
        };
        SetError {
            err: err.to_owned(),
            description: self.to_string(),
        }
    }
}

/// What an answer to a poll says.
#[derive(Debug, Default)]
struct Heard {
    changes: Vec<Change>,
    understood: BTreeSet<u64>,
    refused: BTreeMap<u64, Misheard>,
}

impl Heard {
    /// `read` verifies one of its sign-outs. One without a number of home's is none.
    fn of(answer: &PollAnswer, read: impl Fn(&str) -> Result<SignOut, StatementError>) -> Self {
        let mut heard = Self::default();
        for (jti, set) in &answer.sets {
            let Ok(number) = jti.parse() else {
                continue;
            };
            match understand(jti, read(set)) {
                Ok(changes) => {
                    heard.understood.insert(number);
                    heard.changes.extend(changes);
                }
                Err(why) => {
                    heard.refused.insert(number, why);
                }
            }
        }
        heard
    }

    /// All refused ones up to this one are known otherwise.
    fn pass(&mut self, covered: u64) {
        let left = self.refused.split_off(&(covered + 1));
        let passed = std::mem::replace(&mut self.refused, left);
        self.understood.extend(passed.into_keys());
    }
}

fn understand(jti: &str, said: Result<SignOut, StatementError>) -> Result<Vec<Change>, Misheard> {
    let said = said?;
    if said.jti != jti {
        return Err(Misheard::Another);
    }
    Ok(said.changes()?)
}

impl Refused {
    /// Whether home has signed it anew, in vain, and its revocation list has it by now.
    fn is_still_refused(&self, heard: &Heard) -> bool {
        heard.refused.contains_key(&self.first) && self.since.elapsed() > LIST_SHARED
    }
}

impl Course {
    /// What was heard counts here.
    fn go_on(&mut self, heard: &Heard) -> Progress {
        let before = self.applied;
        let first = heard.refused.keys().next().copied();
        let understood = match first {
            Some(first) => heard.understood.range(..first),
            None => heard.understood.range(..),
        };
        self.applied = understood.last().copied().or(before);
        let Some((first, why)) = heard.refused.first_key_value() else {
            self.refused = None;
            return if self.applied == before {
                Progress::Nothing
            } else {
                Progress::News
            };
        };
        if self
            .refused
            .as_ref()
            .is_none_or(|before| before.first != *first)
        {
            self.refused = Some(Refused {
                first: *first,
                last: heard.refused.keys().last().copied().unwrap_or(*first),
                since: Instant::now(),
                why: why.told(),
            });
        }
        Progress::Misunderstood
    }
}

#[cfg(test)]
mod tests;
