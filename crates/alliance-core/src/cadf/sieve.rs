//! Which decisions have an event of their own. The rest are counted, so that nobody fills a disk.

use std::collections::{HashMap, HashSet};
use std::mem;

use super::{Cloud, Decision, Event, Ground, Matter, Observer, Stamp};
use crate::budget::Budget;

/// For how long, in seconds, a decision that was the same before is only counted.
const REPEATS: f64 = 300.0;
/// And how many of them are remembered; with more, they are forgotten sooner.
const REMEMBERED: usize = 50_000;
/// How often is said how many were counted, in seconds.
const EACH: f64 = 60.0;

/// What decisions have in common that are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Class {
    /// About what.
    pub matter: Matter,
    /// With whom; `None`: with strangers.
    pub partner: Option<Cloud>,
    /// Why not; `None`: yes.
    pub reason: Option<Ground>,
}

/// So many decisions have no event of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// Of what kind.
    pub class: Class,
    /// How many.
    pub count: u64,
}

/// Lets through what is worth an event. Times are seconds, of any origin.
#[derive(Debug, Default)]
pub struct Sieve {
    flows: HashMap<Class, Flow>,
    recent: HashSet<(Class, Who)>,
    earlier: HashSet<(Class, Who)>,
    turned: f64,
}

/// About whom it was.
type Who = (Option<String>, Option<String>, Option<String>);

#[derive(Debug)]
struct Flow {
    budget: Budget,
    counted: u64,
    told: f64,
}

impl Class {
    /// How many events a second over a long time, and how many at once. What strangers can cause is one
    /// a minute; what takes a partner's token, a few a second; what takes a valid one, many.
    fn budget(&self, now: f64) -> Budget {
        let (rate, burst) = match (&self.partner, self.reason) {
            (None, _) => (1.0 / EACH, 1.0),
            (Some(_), Some(_)) => (10.0, 100.0),
            (Some(_), None) => (100.0, 1000.0),
        };
        Budget::full(rate, burst, now)
    }
}

impl Sum {
    /// Its event.
    pub fn event(&self, stamp: &Stamp, observer: &Observer) -> Event {
        self.class.sum(stamp, observer, self.count)
    }
}

impl Sieve {
    /// Whether a decision has an event of its own; it is counted if not.
    pub fn lets_through(&mut self, decision: &Decision, now: f64) -> bool {
        let class = decision.class();
        let is_repeated = class.partner.is_some() && self.was_there(&class, decision, now);
        let flow = self.flows.entry(class).or_insert_with_key(|class| Flow {
            budget: class.budget(now),
            counted: 0,
            told: now,
        });
        if !is_repeated && flow.budget.has_any(now) {
            flow.budget.take(now);
            return true;
        }
        if flow.counted == 0 {
            flow.told = now;
        }
        flow.counted += 1;
        false
    }

    /// What was counted, of each class once a minute.
    pub fn due(&mut self, now: f64) -> Vec<Sum> {
        self.sums(|flow| now - flow.told >= EACH)
    }

    /// All that was counted.
    pub fn rest(&mut self) -> Vec<Sum> {
        self.sums(|_| true)
    }

    fn sums(&mut self, is_due: impl Fn(&Flow) -> bool) -> Vec<Sum> {
        let mut sums = Vec::new();
        // A class without counts is as one that was never there, once its budget is full again.
        self.flows.retain(|class, flow| {
            if !is_due(flow) {
                return true;
            }
            if flow.counted == 0 {
                return false;
            }
            sums.push(Sum {
                class: class.clone(),
                count: mem::take(&mut flow.counted),
            });
            true
        });
        sums
    }

    fn was_there(&mut self, class: &Class, decision: &Decision, now: f64) -> bool {
        if now - self.turned >= REPEATS || self.recent.len() >= REMEMBERED {
            self.earlier = mem::take(&mut self.recent);
            self.turned = now;
        }
        let person = &decision.person;
        let who = (
            person.token.clone(),
            person.user_id.clone(),
            person.project_id.clone(),
        );
        let seen = (class.clone(), who);
        self.earlier.contains(&seen) || !self.recent.insert(seen)
    }
}
