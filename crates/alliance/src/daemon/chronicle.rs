//! What has ended lately and how long it took to reach whom, for people who look at it. In memory: of this
//! daemon, since its start.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::sign_out::Change;
use alliance_store::{NewSignOut, NotedSignOut};

/// How many are remembered of each kind.
const MOST: usize = 200;
/// Keystone lists its events again and again: of one that is older nobody knows when it was noted first.
const FRESH: Seconds = 60;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Chronicle(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    /// Counts what is written.
    written: u64,
    ended: VecDeque<Ended>,
    noted: VecDeque<Noted>,
}

/// Sessions of a partner's users that ended here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ended {
    number: u64,
    /// When.
    pub at: Seconds,
    /// The partner's alias.
    pub partner: String,
    /// How many; 0: home was asked again about some.
    pub sessions: usize,
    /// After how long our Keystone and the services' caches knew; `None`: not yet.
    pub took: Option<Duration>,
}

/// Something of ours that ended, of which hosts are told.
#[derive(Debug)]
struct Noted {
    change: Change,
    began: Instant,
    seq: Option<u64>,
    reached: BTreeMap<CloudId, Duration>,
}

/// What [`Chronicle::told`] is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry(u64);

impl Chronicle {
    /// Sessions of the partner's users have ended here.
    pub(crate) fn ended(&self, partner: &str, sessions: usize, at: Seconds) -> Entry {
        let mut pages = self.pages();
        pages.written += 1;
        let number = pages.written;
        push(
            &mut pages.ended,
            Ended {
                number,
                at,
                partner: partner.to_owned(),
                sessions,
                took: None,
            },
        );
        Entry(number)
    }

    /// So long it took until everybody here knew.
    pub(crate) fn told(&self, entry: Entry, took: Duration) {
        let mut pages = self.pages();
        pages.written += 1;
        if let Some(ended) = pages.ended.iter_mut().find(|one| one.number == entry.0) {
            ended.took = Some(took);
        }
    }

    /// These, or some of them, were noted; what was found out `began` then.
    pub(crate) fn noted(&self, found: &[NewSignOut], began: Instant, now: Seconds) {
        let mut pages = self.pages();
        pages.written += 1;
        for NewSignOut { change, .. } in found {
            let is_known = match change {
                Change::Revoked(event) => {
                    event.issued_before.as_second() < now - FRESH
                        || pages.noted.iter().any(|one| one.change == *change)
                }
                Change::LookAgain(_) => false,
            };
            if !is_known {
                let noted = Noted {
                    change: change.clone(),
                    began,
                    seq: None,
                    reached: BTreeMap::new(),
                };
                push(&mut pages.noted, noted);
            }
        }
    }

    /// Another instance has noted these, as is known here since a moment.
    pub(crate) fn noted_elsewhere(&self, found: Vec<NotedSignOut>) {
        let began = Instant::now();
        self.numbered(&found);
        let mut pages = self.pages();
        pages.written += 1;
        for NotedSignOut { seq, change } in found {
            if pages.noted.iter().all(|one| one.seq != Some(seq)) {
                let noted = Noted {
                    change,
                    began,
                    seq: Some(seq),
                    reached: BTreeMap::new(),
                };
                push(&mut pages.noted, noted);
            }
        }
    }

    /// These are their numbers.
    pub(crate) fn numbered(&self, found: &[NotedSignOut]) {
        let mut pages = self.pages();
        for noted in found {
            if pages.noted.iter().any(|one| one.seq == Some(noted.seq)) {
                continue;
            }
            let mut unnumbered = pages.noted.iter_mut().filter(|one| one.seq.is_none());
            if let Some(one) = unnumbered.find(|one| one.change == noted.change) {
                one.seq = Some(noted.seq);
            }
        }
    }

    /// All up to number `seq` counts at `host` now; what it has heard `before`, it may have by another
    /// instance, nobody here knows when.
    pub(crate) fn heard(&self, host: &CloudId, before: u64, seq: u64) {
        let mut pages = self.pages();
        pages.written += 1;
        for one in &mut pages.noted {
            if one.seq.is_some_and(|own| before < own && own <= seq) {
                let took = one.began.elapsed();
                one.reached.entry(host.clone()).or_insert(took);
            }
        }
    }

    /// Sessions of partners' users that ended here, the last first.
    pub(crate) fn endings(&self) -> Vec<Ended> {
        self.pages().ended.iter().rev().cloned().collect()
    }

    /// How long it took until each host had heard, by the number of what was noted.
    pub(crate) fn reached(&self) -> HashMap<u64, BTreeMap<CloudId, Duration>> {
        let pages = self.pages();
        let noted = pages.noted.iter();
        noted
            .filter_map(|one| Some((one.seq?, one.reached.clone())))
            .collect()
    }

    /// Another number after each change.
    pub(crate) fn version(&self) -> u64 {
        self.pages().written
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn push<T>(all: &mut VecDeque<T>, one: T) {
    if all.len() == MOST {
        all.pop_front();
    }
    all.push_back(one);
}

#[cfg(test)]
mod tests {
    use alliance_core::revocation::RevocationEvent;
    use jiff::Timestamp;

    use super::*;

    fn logout(own: &str, at: Seconds) -> NewSignOut {
        NewSignOut {
            digest: Some(own.to_owned()),
            change: Change::Revoked(RevocationEvent {
                audit_id: Some(own.to_owned()),
                issued_before: Timestamp::from_second(at).unwrap_or_default(),
                ..RevocationEvent::default()
            }),
        }
    }

    #[test]
    fn each_host_has_its_own_time_and_only_the_first() {
        let chronicle = Chronicle::default();
        let [one, two] = [logout("one", 1000), logout("two", 1000)];
        chronicle.noted(&[one.clone(), two.clone()], Instant::now(), 1000);
        // Keystone lists it again, and an old one.
        chronicle.noted(&[one.clone(), logout("old", 900)], Instant::now(), 1001);
        let numbers = [(7, one), (8, two), (9, logout("old", 900))];
        let numbers = numbers.map(|(seq, new)| NotedSignOut {
            seq,
            change: new.change,
        });
        chronicle.numbered(&numbers);
        let (east, north) = (CloudId::from_spki(b"east"), CloudId::from_spki(b"north"));
        chronicle.heard(&east, 0, 7);
        let first = chronicle.reached();
        chronicle.heard(&east, 7, 9);
        chronicle.heard(&north, 0, 9);
        let reached = chronicle.reached();
        let hosts = |seq| {
            let hosts = reached.get(&seq).map(|hosts| hosts.keys().collect());
            hosts.unwrap_or_else(Vec::new)
        };
        let mut both = vec![&east, &north];
        both.sort();
        assert_eq!((hosts(7), hosts(8)), (both.clone(), both));
        assert_eq!(hosts(9), Vec::<&CloudId>::new(), "nobody knows since when");
        let time = |of: &HashMap<u64, BTreeMap<_, Duration>>| of.get(&7)?.get(&east).copied();
        assert_eq!(time(&first), time(&reached));
    }

    #[test]
    fn what_another_instance_has_noted_has_its_times_here_too() {
        let chronicle = Chronicle::default();
        let own = logout("own", 1000);
        chronicle.noted(std::slice::from_ref(&own), Instant::now(), 1000);
        let found = [(7, own), (8, logout("other", 1000))];
        let found = found.map(|(seq, new)| NotedSignOut {
            seq,
            change: new.change,
        });
        let east = CloudId::from_spki(b"east");
        for _ in 0..2 {
            chronicle.noted_elsewhere(found.to_vec());
            chronicle.heard(&east, 0, 8);
        }
        // It had heard them by another instance.
        chronicle.heard(&CloudId::from_spki(b"north"), 8, 9);
        let reached = chronicle.reached();
        let mut seen: Vec<_> = reached.keys().copied().collect();
        seen.sort_unstable();
        assert_eq!(seen, [7, 8]);
        assert!(reached.values().all(|hosts| hosts.keys().eq([&east])));
        assert_eq!(chronicle.pages().noted.len(), 2);
    }

    #[test]
    fn what_ends_has_no_time_until_everybody_here_knows() {
        let chronicle = Chronicle::default();
        let first = chronicle.ended("west", 2, 10);
        let last = chronicle.ended("north", 1, 20);
        let before = chronicle.version();
        chronicle.told(first, Duration::from_millis(40));
        assert_ne!(before, chronicle.version());
        let shown: Vec<_> = chronicle
            .endings()
            .into_iter()
            .map(|one| (one.partner, one.took))
            .collect();
        let took = Some(Duration::from_millis(40));
        assert_eq!(
            shown,
            [("north".to_owned(), None), ("west".to_owned(), took)]
        );
        for _ in 0..MOST {
            chronicle.ended("east", 1, 30);
        }
        assert_eq!(chronicle.endings().len(), MOST);
        chronicle.told(last, Duration::ZERO);
        assert!(chronicle.endings().iter().all(|one| one.took.is_none()));
    }
}
