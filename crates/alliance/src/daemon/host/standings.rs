//! Users who are here: what their home last said of them, and whom it must be asked about again. Who is
//! disabled in a directory behind home's Keystone leaves no event there.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alliance_answers::{Key, Outcome};
use alliance_core::cloud::CloudId;
use alliance_core::refusal::Reason;
use alliance_core::statement::Grants;
use alliance_peer::request_id::RequestId;
use alliance_peer::wire::GrantsQuestion;

use super::guests::guest_key;
use super::{Host, ask};
use crate::daemon::directory::Known;

/// Who was not seen for so long is served by nobody without our Keystone being asked, and so home:
/// services keep tokens for 300 s unless told otherwise, and Keystone for a minute.
const SEEN_LATELY: Duration = Duration::from_secs(420);
/// Home is not asked more often, however short its word counts: others ask it too.
const LEAST_PAUSE: Duration = Duration::from_secs(5);

type Roles = Arc<BTreeSet<String>>;

/// A user who is here, in one of its projects at home.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Here {
    /// Its home.
    pub cloud_id: CloudId,
    /// Its id there.
    pub user_id: String,
    /// The project's id there; none for what is unscoped.
    pub project_id: Option<String>,
}

impl Here {
    fn key(&self) -> Key {
        guest_key(&self.cloud_id, &self.user_id, self.project_id.as_deref())
    }

    fn question(&self) -> GrantsQuestion {
        GrantsQuestion {
            user_id: self.user_id.clone(),
            project_id: self.project_id.clone(),
        }
    }
}

/// What home said.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// Nothing yet.
    Nothing,
    Yes(Roles),
    No,
}

/// There may be as many as users are here: whose they are is said once for all of a partner's.
#[derive(Debug)]
struct Standing {
    user_id: Box<str>,
    project_id: Option<Box<str>>,
    word: Word,
    asked: Instant,
    seen: Instant,
}

/// Of each partner's users, by who it is and where.
#[derive(Debug, Default)]
pub(super) struct Standings(Mutex<HashMap<CloudId, HashMap<Key, Standing>>>);

impl Standings {
    /// A user has shown that it is here. Its home is asked soon if nobody knows its `roles`.
    pub(super) fn note(
        &self,
        cloud_id: &CloudId,
        user_id: &str,
        project_id: Option<&str>,
        roles: Option<&Roles>,
    ) {
        let key = guest_key(cloud_id, user_id, project_id);
        let mut all = self.all();
        let theirs = all.entry(cloud_id.clone()).or_default();
        let seen = Instant::now();
        let standing = theirs.entry(key).or_insert_with(|| Standing {
            user_id: user_id.into(),
            project_id: project_id.map(Into::into),
            word: roles.map_or(Word::Nothing, |roles| Word::Yes(Arc::clone(roles))),
            asked: seen,
            seen,
        });
        standing.seen = seen;
    }

    /// Those of a partner that were asked about at least `age` ago. Who `is_gone`, or was not seen
    /// lately, is forgotten.
    fn due(&self, cloud_id: &CloudId, age: Duration, is_gone: impl Fn(&Here) -> bool) -> Vec<Here> {
        let mut due = Vec::new();
        let mut all = self.all();
        let Some(theirs) = all.get_mut(cloud_id) else {
            return due;
        };
        theirs.retain(|_, standing| {
            if standing.asked.elapsed() < age {
                return true;
            }
            let here = Here {
                cloud_id: cloud_id.clone(),
                user_id: standing.user_id.to_string(),
                project_id: standing.project_id.as_deref().map(str::to_owned),
            };
            let is_here = standing.seen.elapsed() < SEEN_LATELY && !is_gone(&here);
            if is_here {
                due.push(here);
            }
            is_here
        });
        due
    }

    /// Home has answered: the roles, or no. Returns whether somebody may be served who should not.
    fn settle(&self, here: &Here, answer: Option<&BTreeSet<String>>, asked: Instant) -> bool {
        let mut all = self.all();
        let theirs = all.get_mut(&here.cloud_id);
        let Some(standing) = theirs.and_then(|theirs| theirs.get_mut(&here.key())) else {
            return false;
        };
        standing.asked = asked;
        let next = answer.map_or(Word::No, |roles| Word::Yes(Arc::new(roles.clone())));
        let is_worse = match (&standing.word, &next) {
            (Word::Yes(before), Word::Yes(after)) => !before.is_subset(after),
            (before, Word::No) => *before != Word::No,
            (_, Word::Yes(_) | Word::Nothing) => false,
        };
        if standing.word != next {
            standing.word = next;
        }
        is_worse
    }

    /// Forgets the users of all but these partners.
    fn keep_only(&self, partners: &BTreeSet<CloudId>) {
        self.all().retain(|cloud_id, _| partners.contains(cloud_id));
    }

    fn all(&self) -> MutexGuard<'_, HashMap<CloudId, HashMap<Key, Standing>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host {
    /// The users of a partner who are here and about whom its home was asked at least `age` ago.
    pub(crate) fn due(&self, cloud_id: &CloudId, age: Duration) -> Vec<Here> {
        let is_gone = |here: &Here| !self.book.has_user(&here.cloud_id, &here.user_id);
        self.book.standings.due(cloud_id, age, is_gone)
    }

    /// Forgets who is here of all but these partners.
    pub(crate) fn keep_guests_of(&self, partners: &BTreeSet<CloudId>) {
        self.book.standings.keep_only(partners);
    }

    /// Half of how old home's last word may be: the rest is for asking, and for telling our Keystone
    /// and the services' caches.
    pub(crate) fn ask_every(&self) -> Duration {
        (self.max_staleness / 2).max(LEAST_PAUSE)
    }

    /// Asks home about some of its users, at most [`MAX_QUESTIONS`](alliance_peer::wire::MAX_QUESTIONS).
    /// Of each, in their order, whether somebody may be served who should not; or why home did not
    /// say, from which nothing follows.
    pub(crate) async fn check(
        &self,
        known: &Arc<Known>,
        some: &[Here],
        request_id: RequestId,
    ) -> Vec<Result<bool, Reason>> {
        let question = ask::Question {
            is_awaited: false,
            ..self.question(known, request_id)
        };
        let keys = some.iter().map(Here::key).collect();
        let several = self.grants.begin(keys, self.ask_every() / 2);
        let open = several.open();
        let asked: Vec<_> = open.into_iter().map(|n| some[n].question()).collect();
        let told = match asked.is_empty() {
            true => Vec::new(),
            false => ask::about_guests(&question, &asked).await,
        };
        let outcomes = self.grants.complete(several, told);
        let standings = &self.book.standings;
        some.iter()
            .zip(outcomes)
            .map(|(here, outcome)| match outcome {
                Outcome::Active(kept) => {
                    let Grants { roles, .. } = &kept.claims;
                    Ok(standings.settle(here, Some(roles), kept.asked_at))
                }
                Outcome::Inactive(_) => Ok(standings.settle(here, None, Instant::now())),
                Outcome::Failed(reason) => Err(reason),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(names: &[&str]) -> Roles {
        Arc::new(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn is_worse(standings: &Standings, answer: Option<&[&str]>) -> bool {
        let here = Here {
            cloud_id: CloudId::from_spki(b"west"),
            user_id: "ann".into(),
            project_id: Some("p".into()),
        };
        let answer = answer.map(roles);
        standings.settle(&here, answer.as_deref(), Instant::now())
    }

    #[test]
    fn who_is_let_down_by_its_home_is_put_in_doubt_once() {
        let (standings, west) = (Standings::default(), CloudId::from_spki(b"west"));
        let both: &[&str] = &["member", "reader"];
        assert!(!is_worse(&standings, None), "nobody is here");
        standings.note(&west, "ann", Some("p"), Some(&roles(both)));
        for (answer, worse) in [
            (Some(both), false),
            (Some(&["reader"]), true),
            (Some(&["reader"]), false),
            (Some(both), false),
            (None, true),
            (None, false),
            (Some(both), false),
            (None, true),
        ] {
            assert_eq!(is_worse(&standings, answer), worse, "{answer:?}");
        }
    }

    #[test]
    fn of_whom_nothing_is_known_only_a_no_is_news() {
        for (answer, worse) in [(Some(&["reader"][..]), false), (None, true)] {
            let (standings, west) = (Standings::default(), CloudId::from_spki(b"west"));
            standings.note(&west, "ann", Some("p"), None);
            assert_eq!(is_worse(&standings, answer), worse);
        }
    }

    #[test]
    fn who_was_not_seen_lately_is_not_asked_about() {
        let (standings, west) = (Standings::default(), CloudId::from_spki(b"west"));
        standings.note(&west, "ann", Some("p"), None);
        let long_ago = Instant::now().checked_sub(SEEN_LATELY);
        for standing in standings.all().values_mut().flat_map(HashMap::values_mut) {
            standing.seen = long_ago.unwrap_or(standing.seen);
        }
        let nobody = |_: &Here| false;
        assert!(standings.due(&west, Duration::ZERO, nobody).is_empty());
        standings.note(&west, "ann", Some("p"), None);
        assert_eq!(standings.due(&west, Duration::ZERO, nobody).len(), 1);
    }

    #[test]
    fn who_has_gone_is_not_asked_about() {
        let (standings, west) = (Standings::default(), CloudId::from_spki(b"west"));
        let north = CloudId::from_spki(b"north");
        standings.note(&west, "ann", Some("p"), None);
        standings.note(&west, "ann", Some("p"), None);
        standings.note(&west, "bob", None, None);
        standings.note(&north, "ann", Some("p"), None);
        let minute = Duration::from_secs(60);
        let none = |_: &Here| false;
        assert!(standings.due(&west, minute, none).is_empty());
        assert_eq!(standings.due(&west, Duration::ZERO, none).len(), 2);
        let bob = |here: &Here| here.user_id == "bob";
        assert_eq!(standings.due(&west, Duration::ZERO, bob).len(), 1);
        assert_eq!(standings.due(&west, Duration::ZERO, none).len(), 1);
        standings.keep_only(&[north.clone()].into());
        assert!(standings.due(&west, Duration::ZERO, none).is_empty());
        assert_eq!(standings.due(&north, Duration::ZERO, none).len(), 1);
    }
}
