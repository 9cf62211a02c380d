//! A resource's life, put together from what is heard of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Millis, Size};

/// One thing that a service said of a resource. What is `None` it did not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fact {
    /// When it was so.
    pub at: Millis,
    /// When the resource began.
    pub began: Option<Millis>,
    /// When it ended: for good.
    pub ended: Option<Millis>,
    /// How big it was at that time.
    pub size: Option<Size>,
    /// Who made it: a user's id at the host.
    pub user_id: Option<String>,
}

/// What is known of one resource. Facts may come in any order and several times: the life is the same.
/// Listings correct it: they come in order, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    began: Option<Millis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<Millis>,
    /// When a complete listing first lacked it. A listing later on that shows it takes this back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    missed: Option<Millis>,
    /// The size from that time on.
    sizes: BTreeMap<Millis, Size>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
}

/// For how long a resource had one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    /// Its beginning.
    pub from: Millis,
    /// Its end, not before the beginning; `None` while it lasts.
    pub to: Option<Millis>,
    /// The size.
    pub size: Size,
}

impl Life {
    /// Takes a fact in. Two that contradict each other are settled by what they say, not by which came
    /// first: a resource began at the earliest time and ended at the earliest that anybody said.
    pub fn learn(&mut self, fact: &Fact) {
        self.began = earliest(self.began, fact.began);
        self.ended = earliest(self.ended, fact.ended);
        if let Some(size) = &fact.size {
            let known = self.sizes.entry(fact.at).or_insert_with(|| size.clone());
            if *known < *size {
                known.clone_from(size);
            }
        }
        if let Some(user_id) = &fact.user_id
            && self.user_id.as_ref().is_none_or(|known| user_id < known)
        {
            self.user_id = Some(user_id.clone());
        }
    }

    /// A complete listing that began at `fact.at` shows it.
    pub fn is_listed(&mut self, fact: &Fact) {
        if fact.ended.is_none() {
            self.missed = None;
        }
        // What it says of the size is news only where it is another one.
        let now = self.sizes.range(..=fact.at).next_back();
        let first = self.sizes.first_key_value();
        let same = now.or(first).map(|(_, size)| size) == fact.size.as_ref();
        self.learn(&Fact {
            size: fact.size.clone().filter(|_| !same),
            ..fact.clone()
        });
    }

    /// A complete listing that began at `at` lacks it: it has ended, unless it is younger than that.
    pub fn is_missed(&mut self, at: Millis) {
        let newest = self.sizes.last_key_value().map(|(at, _)| *at);
        let is_older = newest.max(self.began).is_some_and(|newest| newest < at);
        if is_older && self.ended.is_none() && self.missed.is_none() {
            self.missed = Some(at);
        }
    }

    /// Whether it lasts, as far as is known.
    pub fn is_open(&self) -> bool {
        self.ended.is_none() && self.missed.is_none()
    }

    /// Who made it: a user's id at the host.
    pub fn user_id(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// What it used, in order, without gaps and without overlap. Nothing while its size is not known: a
    /// notification of a deletion alone bills nothing.
    pub fn intervals(&self) -> Vec<Interval> {
        let Some((first, _)) = self.sizes.first_key_value() else {
            return Vec::new();
        };
        let from = self.began.unwrap_or(*first);
        let to = self.ended.or(self.missed).map(|to| to.max(from));
        let mut intervals: Vec<Interval> = Vec::new();
        for (at, size) in &self.sizes {
            if to.is_some_and(|to| *at >= to && !intervals.is_empty()) {
                break;
            }
            let at = (*at).max(from);
            match intervals.last_mut() {
                Some(last) if last.size == *size => continue,
                // Two sizes before it began: the later one is the one that it began with.
                Some(last) if last.from == at => {
                    last.size.clone_from(size);
                    continue;
                }
                Some(last) => last.to = Some(at),
                None => {}
            }
            let is_first = intervals.is_empty();
            intervals.push(Interval {
                // Of the time before the first word nothing else is known.
                from: if is_first { from } else { at },
                to,
                size: size.clone(),
            });
        }
        intervals
    }
}

/// Of two times within one second the one that knows more than the second: a service's database keeps
/// whole seconds, its notifications do not.
fn earliest(one: Option<Millis>, other: Option<Millis>) -> Option<Millis> {
    let order = |at: &Millis| (at.div_euclid(1000), at % 1000 == 0, *at);
    one.into_iter().chain(other).min_by_key(order)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn small() -> Size {
        Size::of_server("small", 1, 64, 1)
    }

    fn big() -> Size {
        Size::of_server("big", 4, 256, 1)
    }

    fn created(at: Millis) -> Fact {
        Fact {
            at,
            began: Some(at),
            size: Some(small()),
            user_id: Some("ann".into()),
            ..Fact::default()
        }
    }

    fn resized(at: Millis, size: Size) -> Fact {
        Fact {
            at,
            size: Some(size),
            ..Fact::default()
        }
    }

    fn deleted(at: Millis) -> Fact {
        Fact {
            at,
            ended: Some(at),
            ..Fact::default()
        }
    }

    fn life(facts: &[Fact]) -> Life {
        let mut life = Life::default();
        for fact in facts {
            life.learn(fact);
        }
        life
    }

    fn lasted(from: Millis, to: Option<Millis>, size: Size) -> Interval {
        Interval { from, to, size }
    }

    #[test]
    fn a_server_that_ran_four_tenths_of_a_second_is_counted() {
        let life = life(&[created(1_000), deleted(1_400)]);
        assert_eq!(life.intervals(), [lasted(1_000, Some(1_400), small())]);
    }

    #[test]
    fn a_time_to_the_second_does_not_take_the_place_of_an_exact_one() {
        let listed = Fact {
            at: 9_000,
            began: Some(1_000),
            ended: Some(1_000),
            ..Fact::default()
        };
        let mut server = life(&[created(1_200), deleted(1_600)]);
        server.is_listed(&listed);
        assert_eq!(server.intervals(), [lasted(1_200, Some(1_600), small())]);
    }

    #[test]
    fn a_resize_splits_a_life_and_a_size_that_stays_does_not() {
        let facts = [
            created(10),
            resized(15, small()),
            resized(20, big()),
            deleted(30),
        ];
        assert_eq!(
            life(&facts).intervals(),
            [lasted(10, Some(20), small()), lasted(20, Some(30), big())]
        );
    }

    #[test]
    fn a_deletion_of_which_nothing_else_was_heard_bills_nothing() {
        assert_eq!(life(&[deleted(30)]).intervals(), []);
    }

    #[test]
    fn what_a_listing_lacks_has_ended_and_bills_no_further() {
        let mut server = life(&[created(10)]);
        server.is_missed(10);
        assert!(server.is_open(), "the listing was made before it began");
        server.is_missed(50);
        server.is_missed(70);
        assert_eq!(server.intervals(), [lasted(10, Some(50), small())]);
        // The notification comes after all.
        server.learn(&deleted(30));
        assert_eq!(server.intervals(), [lasted(10, Some(30), small())]);
    }

    #[test]
    fn what_is_listed_again_had_not_ended() {
        let mut server = life(&[created(10)]);
        server.is_missed(50);
        server.is_listed(&Fact {
            at: 60,
            ..created(10)
        });
        assert_eq!(server.intervals(), [lasted(10, None, small())]);
    }

    #[test]
    fn a_notice_of_a_deletion_is_not_taken_back_by_a_late_listing() {
        let mut server = life(&[created(10), deleted(20)]);
        server.is_listed(&Fact {
            at: 30,
            ..created(10)
        });
        assert_eq!(server.intervals(), [lasted(10, Some(20), small())]);
    }

    #[test]
    fn what_nobody_announced_began_when_the_service_says() {
        let mut server = Life::default();
        server.is_listed(&Fact {
            at: 50,
            ..created(10)
        });
        assert_eq!(server.intervals(), [lasted(10, None, small())]);
    }

    #[test]
    fn a_listing_notes_another_size_once() {
        let mut server = life(&[created(10)]);
        for at in [50, 60, 70] {
            server.is_listed(&Fact {
                at,
                size: Some(big()),
                ..created(10)
            });
        }
        assert_eq!(server.sizes.len(), 2);
        assert_eq!(
            server.intervals(),
            [lasted(10, Some(50), small()), lasted(50, None, big())]
        );
    }

    #[test]
    fn what_ended_before_it_began_lasted_no_time() {
        let life = life(&[created(10), deleted(5)]);
        assert_eq!(life.intervals(), [lasted(10, Some(10), small())]);
    }

    fn any_fact() -> impl Strategy<Value = Fact> {
        let size = prop_oneof![Just(small()), Just(big())];
        (
            0..50i64,
            proptest::option::of(0..20i64),
            proptest::option::of(20..60i64),
            proptest::option::of(size),
        )
            .prop_map(|(at, began, ended, size)| Fact {
                at,
                began,
                ended,
                size,
                user_id: None,
            })
    }

    proptest! {
        #[test]
        fn the_order_of_facts_and_their_repetition_change_nothing(
            (facts, again) in proptest::collection::vec(any_fact(), 1..8)
                .prop_flat_map(|facts| {
                    let five: Vec<_> = facts.iter().cycle().take(facts.len() * 5).cloned().collect();
                    (Just(facts), Just(five).prop_shuffle())
                })
        ) {
            prop_assert_eq!(life(&facts), life(&again));
        }

        #[test]
        fn intervals_have_no_gaps_and_no_overlap(
            facts in proptest::collection::vec(any_fact(), 1..8)
        ) {
            let life = life(&facts);
            let intervals = life.intervals();
            for pair in intervals.windows(2) {
                prop_assert_eq!(pair[0].to, Some(pair[1].from));
                prop_assert_ne!(&pair[0].size, &pair[1].size);
            }
            for interval in &intervals {
                prop_assert!(interval.to.is_none_or(|to| interval.from <= to));
            }
            if let Some(last) = intervals.last() {
                prop_assert_eq!(last.to.is_none(), life.is_open());
            }
        }
    }
}
