//! Five clouds of three instances each, in one thread, by one seed: what is slow, what breaks, what dies
//! and what is paused, when, and in which order what could happen at once does happen.
//!
//! What decides is the code of the product, where that is pure: sessions, sign-outs and how far they were
//! heard, revocation events and lists, kept answers, usage, the versions of agreements. The loops around
//! it, the database, Keystone and the network are modelled. See `docs/adr/0030` for what that leaves out.

mod check;
mod contracts;
mod counting;
mod daemon;
mod database;
mod executor;
mod faults;
mod hearing;
mod invariant;
mod keystone;
mod metering;
mod noticing;
mod random;
mod services;
mod settings;
mod users;
mod validating;
mod world;

pub use self::invariant::{Invariant, Violation};
pub use self::settings::{Guard, Settings, UnknownGuard};

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use self::executor::SECOND;
use self::world::{CLOUDS, NODES, World};

/// Until when something breaks, and until when something is done; seconds.
const FAULTS: std::ops::Range<u64> = 15..130;
const BUSY_TILL: u64 = 220;
const END: u64 = 255;

/// What came of a seed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The first invariant that did not hold.
    pub violation: Option<Violation>,
    /// Who did what, if that was recorded.
    pub history: String,
    /// What happened how often, for those who wonder whether anything did.
    pub tally: Tally,
}

/// What happened how often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that were let in.
    pub accepted: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Requests that nobody could tell about.
    pub undecided: u64,
    /// Sessions that ended at hosts.
    pub ended: u64,
    /// Usage records that were counted.
    pub records: u64,
    /// Agreements that were given.
    pub agreements: u64,
    /// Steps of the simulation.
    pub steps: u64,
}

/// Simulates what this seed says. The same seed and settings give the same outcome.
pub fn run(seed: u64, settings: Settings) -> Outcome {
    let world = World::new(seed, settings);
    for cloud in 0..CLOUDS {
        for number in 0..NODES {
            daemon::start(&world, cloud, number);
            metering::start(&world, cloud, number);
        }
    }
    users::balance(&world);
    users::start(&world, BUSY_TILL * SECOND);
    faults::start(&world, FAULTS.start * SECOND, FAULTS.end * SECOND);
    world
        .executor
        .run_until(END * SECOND, || !world.has_failed());
    if !world.has_failed() {
        check::at_the_end(&world);
    }
    let (violation, history) = world.outcome();
    let counts = &world.counts;
    let tally = Tally {
        accepted: counts.accepted.get(),
        refused: counts.refused.get(),
        undecided: counts.undecided.get(),
        ended: counts.ended.get(),
        records: counts.records.get(),
        agreements: counts.agreements.get(),
        steps: world.executor.polls(),
    };
    // What tasks hold of the world would keep it.
    for node in world.clouds.iter().flat_map(|cloud| &cloud.nodes) {
        node.daemon.borrow_mut().take();
    }
    world.executor.clear();
    Outcome {
        violation,
        history,
        tally,
    }
}

/// Simulates these seeds, so many at once, and returns those that failed, in their order; if `is_enough` after
/// one, no more than were begun by then.
pub fn search(
    seeds: std::ops::Range<u64>,
    settings: &Settings,
    at_once: usize,
    is_enough: bool,
) -> Vec<(u64, Violation)> {
    let (next, is_over) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let failed = Mutex::new(Vec::new());
    let work = || {
        while !is_over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            if let Some(violation) = run(seed, settings.clone()).violation {
                is_over.fetch_or(is_enough, Ordering::Relaxed);
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.push((seed, violation));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..at_once.max(1) {
            scope.spawn(work);
        }
    });
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_unstable_by_key(|(seed, _)| *seed);
    failed
}

/// How to see what happened.
pub fn replay_command(seed: u64, settings: &Settings) -> String {
    let without = settings.without.iter();
    let without: String = without.map(|guard| format!(" --without {guard}")).collect();
    format!("cargo run -p alliance-sim -- --replay {seed}{without}")
}
