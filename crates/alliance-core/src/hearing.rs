//! How far a host has heard what ended at a home, and what stands in the way: the bookkeeping between
//! one poll and the next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::sign_out::{Change, SignOut};

/// A home tells hosts that ask within this time the same revocation list.
pub const LIST_SHARED: Duration = Duration::from_secs(1);

/// How far a partner was heard. `W` is what it is told of a sign-out that was not understood.
#[derive(Debug)]
pub struct Course<W> {
    applied: Option<u64>,
    refused: Option<Refused<W>>,
}

/// Sign-outs that were not understood.
#[derive(Debug, Clone, PartialEq)]
struct Refused<W> {
    /// The first of them.
    first: u64,
    /// The last that home had told then.
    last: u64,
    /// When the first was refused.
    since: Instant,
    why: W,
}

/// What came of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Something new counts.
    News,
    /// Nothing was said.
    Nothing,
    /// Something was said that is not understood.
    Misunderstood,
}

/// What an answer to a poll says. `E` is why a sign-out is not understood.
#[derive(Debug)]
pub struct Heard<E> {
    /// What is understood, in home's order.
    pub changes: Vec<Change>,
    understood: BTreeSet<u64>,
    refused: BTreeMap<u64, E>,
}

/// Why a sign-out that was read is not understood.
#[derive(Debug, thiserror::Error)]
pub enum Misheard {
    /// Its number is not the one under which it was told.
    #[error("it is another than the partner said")]
    Another,
    /// What it says cannot be read.
    #[error("what it says is garbled: {0}")]
    Garbled(#[from] serde_json::Error),
}

impl<E: From<Misheard>> Heard<E> {
    /// `sets` are sign-outs by their `jti`; `read` verifies one. One without a number of home's is none.
    pub fn of(sets: &BTreeMap<String, String>, read: impl Fn(&str) -> Result<SignOut, E>) -> Self {
        let mut told = BTreeMap::new();
        for (jti, set) in sets {
            if let Ok(number) = jti.parse::<u64>() {
                told.insert(number, (jti, set));
            }
        }
        let mut heard = Self {
            changes: Vec::new(),
            understood: BTreeSet::new(),
            refused: BTreeMap::new(),
        };
        for (number, (jti, set)) in told {
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
}

impl<E> Heard<E> {
    /// Why sign-outs were not understood, in their order.
    pub fn refusals(&self) -> impl Iterator<Item = &E> {
        self.refused.values()
    }

    /// Whether all was understood.
    pub fn is_understood(&self) -> bool {
        self.refused.is_empty()
    }

    /// All refused ones up to this one are known otherwise.
    pub fn pass(&mut self, covered: u64) {
        let left = self.refused.split_off(&covered.saturating_add(1));
        let passed = std::mem::replace(&mut self.refused, left);
        self.understood.extend(passed.into_keys());
    }
}

fn understand<E: From<Misheard>>(jti: &str, said: Result<SignOut, E>) -> Result<Vec<Change>, E> {
    let said = said?;
    if said.jti != jti {
        return Err(Misheard::Another.into());
    }
    Ok(said.changes().map_err(Misheard::Garbled)?)
}

impl<W> Default for Course<W> {
    /// Nothing was heard.
    fn default() -> Self {
        Self {
            applied: None,
            refused: None,
        }
    }
}

impl<W> Course<W> {
    /// All up to this one counts here: what may be acknowledged.
    pub fn applied(&self) -> Option<u64> {
        self.applied
    }

    /// The first that was not understood, and what home is told of it.
    pub fn refused(&self) -> Option<(u64, &W)> {
        let refused = self.refused.as_ref()?;
        Some((refused.first, &refused.why))
    }

    /// Up to which number home's revocation list says as much as what it told: home has signed the first
    /// one anew, in vain, and the list has it by now.
    pub fn covered_by_list<E>(&self, heard: &Heard<E>, now: Instant) -> Option<u64> {
        let before = self.refused.as_ref()?;
        let is_still_refused = heard.refused.contains_key(&before.first)
            && now.saturating_duration_since(before.since) > LIST_SHARED;
        is_still_refused.then_some(before.last)
    }

    /// What was heard counts here. `told` is what home is told of a refusal.
    pub fn go_on<E>(
        &mut self,
        heard: &Heard<E>,
        now: Instant,
        told: impl FnOnce(&E) -> W,
    ) -> Progress {
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
                since: now,
                why: told(why),
            });
        }
        Progress::Misunderstood
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::CloudId;
    use crate::sign_out::LookAgain;

    fn set(number: u64) -> Result<(String, String), serde_json::Error> {
        let change = Change::LookAgain(LookAgain {
            user_id: Some(number.to_string()),
            ..LookAgain::default()
        });
        let said = SignOut {
            iss: CloudId::from_spki(b"west"),
            aud: CloudId::from_spki(b"east"),
            iat: 1,
            jti: number.to_string(),
            events: change.to_events()?,
        };
        Ok((number.to_string(), serde_json::to_string(&said)?))
    }

    fn heard(numbers: &[u64], garbled: &[u64]) -> Result<Heard<Misheard>, serde_json::Error> {
        let mut sets = BTreeMap::new();
        for number in numbers {
            sets.extend([set(*number)?]);
        }
        for number in garbled {
            sets.insert(number.to_string(), "garbled".to_owned());
        }
        sets.insert("no number".to_owned(), String::new());
        Ok(Heard::of(&sets, |set| {
            serde_json::from_str(set).map_err(Misheard::Garbled)
        }))
    }

    fn why(_: &Misheard) -> &'static str {
        "garbled"
    }

    #[test]
    fn what_was_understood_is_acknowledged_in_the_order_of_numbers() -> Result<(), serde_json::Error>
    {
        let (mut course, now) = (Course::default(), Instant::now());
        let news = heard(&[9, 10, 11], &[])?;
        let users: Vec<_> = news
            .changes
            .iter()
            .map(|change| match change {
                Change::LookAgain(look) => look.user_id.as_deref(),
                Change::Revoked(_) => None,
            })
            .collect();
        assert_eq!(users, [Some("9"), Some("10"), Some("11")]);
        assert_eq!(course.go_on(&news, now, why), Progress::News);
        assert_eq!(course.applied(), Some(11));
        assert_eq!(course.go_on(&heard(&[], &[])?, now, why), Progress::Nothing);
        assert_eq!(course.applied(), Some(11));
        Ok(())
    }

    #[test]
    fn nothing_behind_what_was_not_understood_is_acknowledged() -> Result<(), serde_json::Error> {
        let (mut course, now) = (Course::default(), Instant::now());
        let news = heard(&[1, 3], &[2])?;
        assert_eq!(news.changes.len(), 2);
        assert_eq!(course.go_on(&news, now, why), Progress::Misunderstood);
        assert_eq!(course.applied(), Some(1));
        assert_eq!(course.refused(), Some((2, &"garbled")));

        let later = now + LIST_SHARED + Duration::from_millis(1);
        let mut again = heard(&[3], &[2])?;
        assert_eq!(course.covered_by_list(&again, now), None);
        assert_eq!(course.covered_by_list(&again, later), Some(2));
        again.pass(2);
        assert_eq!(course.go_on(&again, later, why), Progress::News);
        assert_eq!(course.applied(), Some(3));
        assert_eq!(course.refused(), None);
        Ok(())
    }

    #[test]
    fn one_that_says_another_number_is_not_understood() -> Result<(), serde_json::Error> {
        let (_, set) = set(7)?;
        let sets = BTreeMap::from([("8".to_owned(), set)]);
        let heard: Heard<Misheard> = Heard::of(&sets, |set| {
            serde_json::from_str(set).map_err(Misheard::Garbled)
        });
        assert!(heard.refusals().all(|why| matches!(why, Misheard::Another)));
        assert!(!heard.is_understood() && heard.changes.is_empty());
        Ok(())
    }
}
