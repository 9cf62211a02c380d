//! What must be so when all faults are over and some time has passed.

use std::collections::BTreeSet;

use crate::contracts::Version;
use crate::database::{Bulletin, Tables};
use crate::executor::{Micros, SECOND};
use crate::invariant::Invariant;
use crate::world::World;

/// What happened this long before the end has had its time.
const SETTLED: Micros = 30 * SECOND;

/// Checks all of it.
pub(crate) fn at_the_end(world: &World) {
    for (home, host) in &world.pairs {
        sign_outs_were_heard(world, *home, *host);
        sessions_have_ended(world, *home, *host);
        usage_is_counted(world, *home, *host);
        agreements_are_the_same(world, *home, *host);
    }
    for cloud in 0..world.clouds.len() {
        boards_were_read(world, cloud);
    }
}

fn look<T>(world: &World, cloud: usize, look: impl FnOnce(&Tables) -> T) -> T {
    world.clouds[cloud].database.look(look)
}

fn sign_outs_were_heard(world: &World, home: usize, host: usize) {
    let heard = world.heard.borrow();
    let heard = heard.get(&(home, host));
    let noted: Vec<_> = look(world, home, |tables| {
        let noted = tables.sign_outs.iter();
        let noted = noted.filter(|(_, noted)| noted.at + SETTLED < world.now());
        noted.map(|(number, _)| *number).collect()
    });
    for number in noted {
        if heard.is_none_or(|heard| !heard.contains(&number)) {
            world.fail(Invariant::SignOutLost, || {
                format!(
                    "sign-out {number} of {} was never heard by {}",
                    World::name(home),
                    World::name(host)
                )
            });
        }
    }
    let events = world.clouds[home].keystone.events.borrow().len();
    if events > 0 && heard.is_none_or(BTreeSet::is_empty) {
        world.fail(Invariant::SignOutLost, || {
            format!(
                "{} heard nothing of {}",
                World::name(host),
                World::name(home)
            )
        });
    }
}

/// Each instance has applied all that was put on the board since it is there.
fn boards_were_read(world: &World, cloud: usize) {
    for node in &world.clouds[cloud].nodes {
        let Some(daemon) = node.daemon.borrow().clone() else {
            continue;
        };
        let applied = daemon.applied.borrow();
        look(world, cloud, |tables| {
            for (number, posted) in &tables.board {
                let is_new = *number > daemon.began_after.get();
                let is_due = is_new && posted.at + SECOND < world.now();
                if is_due
                    && matches!(posted.what, Bulletin::Heard { .. })
                    && !applied.contains(number)
                {
                    world.fail(Invariant::SignOutLost, || {
                        format!("{} skipped number {number} of its board", daemon.name)
                    });
                }
            }
        });
    }
}

/// What home has ended, and the host has let in before, lives nowhere.
fn sessions_have_ended(world: &World, home: usize, host: usize) {
    let tokens = world.clouds[home].keystone.tokens.borrow();
    let known = world.clouds[host].keystone.ended.borrow();
    look(world, host, |tables| {
        let seen: BTreeSet<_> = tables.seen.iter().map(|seen| seen.session.token).collect();
        for token in tokens.iter() {
            let is_due = token
                .revoked_at
                .get()
                .is_some_and(|at| at + SETTLED < world.now());
            if !is_due || !seen.contains(&token.key) {
                continue;
            }
            let id = token.session_id(world);
            if !tables.ended.contains_key(&id) {
                world.fail(Invariant::SidesDisagree, || {
                    format!(
                        "the session {id} of {} lives on at {}, which heard of its end",
                        token.name(),
                        World::name(host)
                    )
                });
            } else if !known.contains(&id) {
                world.fail(Invariant::SidesDisagree, || {
                    format!(
                        "Keystone of {} was never told that the session {id} of {} has ended",
                        World::name(host),
                        token.name()
                    )
                });
            }
        }
    });
}

fn usage_is_counted(world: &World, home: usize, host: usize) {
    let (told, records) = look(world, host, |tables| {
        let metered = &tables.metered;
        let records = metered.records.iter();
        let records = records.filter(|((of, _), _)| *of == home);
        let records: Vec<_> = records
            .map(|((_, part), record)| (part.clone(), record.clone()))
            .collect();
        let told = metered.outbox.get(&home).map_or(0, Vec::len);
        (told as u64, records)
    });
    look(world, home, |tables| {
        let arrivals = tables.arrivals.iter();
        let arrived: BTreeSet<_> = arrivals
            .filter(|(from, _)| *from == host)
            .map(|(_, number)| *number)
            .collect();
        if let Some(missing) = (1..=told).find(|number| !arrived.contains(number)) {
            world.fail(Invariant::NotCounted, || {
                format!(
                    "{} never counted record {missing} of {}",
                    World::name(home),
                    World::name(host)
                )
            });
        }
        let counted = tables.counted.iter();
        let counted: Vec<_> = counted
            .filter(|((from, _), _)| *from == host)
            .map(|((_, part), record)| (part.clone(), record.clone()))
            .collect();
        if counted != records {
            world.fail(Invariant::SidesDisagree, || {
                format!(
                    "{} and {} hold other usage",
                    World::name(home),
                    World::name(host)
                )
            });
        }
    });
}

fn agreements_are_the_same(world: &World, home: usize, host: usize) {
    let given: Vec<_> = look(world, host, |tables| {
        let given = tables.given.iter().filter(|(_, given)| given.home == home);
        given
            .map(|(id, given)| (id.clone(), given.clone()))
            .collect()
    });
    look(world, home, |tables| {
        for (id, there) in &given {
            let here = tables.received.get(&(host, id.clone()));
            // What home said of a version on which the host had gone on, the host does not take in.
            let versions = |all: &[Version]| {
                let hashes = all.iter().map(|version| version.sha256.clone());
                let hashes: Vec<_> = hashes.collect();
                (hashes, all.last().and_then(|newest| newest.reply))
            };
            let same = match here {
                // Of what ended before home heard of it, it need not know.
                None => there.is_ended,
                Some(here) if here.is_ended || there.is_ended => here.is_ended == there.is_ended,
                Some(here) => {
                    let newest = here.versions.last();
                    // Home may have agreed meanwhile to something else, and asks its operator.
                    let is_waiting = newest.is_some_and(|newest| newest.reply.is_none());
                    (here.in_force == there.in_force || is_waiting)
                        && versions(&here.versions) == versions(&there.versions)
                }
            };
            if !same {
                let text = |ended: bool, force: Option<u32>, count: usize| {
                    let ended = if ended { ", ended" } else { "" };
                    format!("{count} versions, in force {force:?}{ended}")
                };
                let there = text(there.is_ended, there.in_force, there.versions.len());
                let here = here.map(|here| text(here.is_ended, here.in_force, here.versions.len()));
                world.fail(Invariant::SidesDisagree, || {
                    format!(
                        "of the agreement {id} {} has {there}, and {} {here:?}",
                        World::name(host),
                        World::name(home)
                    )
                });
            }
        }
    });
}
