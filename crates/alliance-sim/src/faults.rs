//! What goes wrong, and when.

use std::rc::Rc;

use crate::daemon;
use crate::executor::{MS, Micros, ProcessId, SECOND, State};
use crate::metering;
use crate::world::{CLOUDS, NODES, Node, World};

/// What can go wrong.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// A daemon dies.
    Crash,
    /// A daemon is stopped and goes on.
    Pause,
    /// The same in the middle of a transaction on which others wait.
    PauseWithLock,
    /// The same when a host has said how agreements stand, and nothing was made of that.
    PauseWithAnswer,
    /// All of a machine dies.
    MachineCrash,
    /// All of a machine is stopped and goes on.
    MachinePause,
    /// A Keystone dies.
    KeystoneCrash,
    /// A metering process is stopped and goes on.
    WorkPause,
    /// A metering process dies.
    WorkCrash,
    /// A database is away; what was under way is rolled back.
    DatabaseAway,
    /// One machine does not reach its database.
    DatabaseCut,
    /// Nothing gets from one cloud to another, and perhaps not back.
    Partition,
    /// It takes twenty times as long.
    Slow,
    /// What one cloud signs cannot be read by another.
    Unreadable,
    /// A machine's clock shows something else.
    ClockStep,
    /// A machine is taken away for good.
    Gone,
}

const OFTEN: [Fault; 24] = [
    Fault::Crash,
    Fault::Crash,
    Fault::Crash,
    Fault::Pause,
    Fault::Pause,
    Fault::Pause,
    Fault::PauseWithLock,
    Fault::PauseWithAnswer,
    Fault::MachineCrash,
    Fault::MachinePause,
    Fault::KeystoneCrash,
    Fault::WorkPause,
    Fault::WorkPause,
    Fault::WorkCrash,
    Fault::DatabaseAway,
    Fault::DatabaseCut,
    Fault::DatabaseCut,
    Fault::Partition,
    Fault::Partition,
    Fault::Partition,
    Fault::Slow,
    Fault::Unreadable,
    Fault::ClockStep,
    Fault::Gone,
];

/// Plans them, between the two times; one that has begun is over by the second.
pub(crate) fn start(world: &Rc<World>, from: Micros, till: Micros) {
    let count = world.within(0..26);
    for _ in 0..count {
        let Some(fault) = world.pick(&OFTEN).copied() else {
            return;
        };
        let at = world.within(from..till - SECOND);
        let longest = match world.within(0..10) {
            0..3 => SECOND,
            3..6 => 8 * SECOND,
            6..8 => 40 * SECOND,
            _ => 100 * SECOND,
        };
        let lasts = world.within(50 * MS..longest).min(till - at);
        let cloud = world.within(0..CLOUDS as u64) as usize;
        let number = world.within(0..NODES as u64) as usize;
        let pair = world.pick(&world.pairs).copied();
        let task = Rc::clone(world);
        world.executor.spawn(world.process, async move {
            task.executor.until(at).await;
            let node = task.node(cloud, number);
            if node.is_gone.get() {
                return;
            }
            task.faults.set(task.faults.get() + 1);
            strike(&task, fault, node, pair.unwrap_or_default(), lasts).await;
            task.faults.set(task.faults.get() - 1);
            task.calm_since.set(task.now());
            task.note_ability();
        });
    }
}

async fn strike(
    world: &Rc<World>,
    fault: Fault,
    node: &Node,
    (home, host): (usize, usize),
    lasts: Micros,
) {
    let who = node.name();
    let long = lasts as f64 / SECOND as f64;
    let say = |what: &str| world.say("fault", || format!("{what} ({long:.3} s)"));
    let everything = [
        node.daemon_process,
        node.keystone_process,
        node.work_process,
    ];
    match fault {
        Fault::Crash => {
            say(&format!("the daemon of {who} dies"));
            crash(world, node, &everything[..1], lasts).await;
        }
        Fault::Pause => {
            say(&format!("the daemon of {who} is stopped"));
            pause(world, &everything[..1], lasts).await;
            world.say("fault", || format!("the daemon of {who} goes on"));
        }
        Fault::PauseWithLock => {
            let cloud = &world.clouds[node.cloud];
            let locked = cloud.database.when_locked(world);
            if let Some(number) = world.executor.timeout(10 * SECOND, locked).await {
                let node = &cloud.nodes[number];
                world.say("fault", || {
                    format!("the daemon of {} is stopped with the lock", node.name())
                });
                let lasts = lasts.max(world.within(5..60) * SECOND);
                pause(world, &[node.daemon_process], lasts).await;
                world.say("fault", || format!("the daemon of {} goes on", node.name()));
            }
        }
        Fault::PauseWithAnswer => {
            let seen = world.was_answered.count();
            let answered = world.was_answered.after(&world.executor, seen);
            if world
                .executor
                .timeout(10 * SECOND, answered)
                .await
                .is_some()
            {
                let (cloud, number) = world.last_asker.get();
                let node = world.node(cloud, number);
                world.say("fault", || {
                    format!("the daemon of {} is stopped with an answer", node.name())
                });
                let lasts = lasts.max(world.within(5..40) * SECOND);
                pause(world, &[node.daemon_process], lasts).await;
                world.say("fault", || format!("the daemon of {} goes on", node.name()));
            }
        }
        Fault::MachineCrash => {
            say(&format!("{who} dies"));
            crash(world, node, &everything, lasts).await;
        }
        Fault::MachinePause => {
            say(&format!("{who} is stopped"));
            pause(world, &everything, lasts).await;
            world.say("fault", || format!("{who} goes on"));
        }
        Fault::KeystoneCrash => {
            say(&format!("Keystone at {who} dies"));
            crash(world, node, &everything[1..2], lasts).await;
        }
        Fault::WorkPause => {
            // Its lease is a long one.
            say(&format!("the metering of {who} is stopped, and 15 s more"));
            pause(world, &everything[2..], lasts + 15 * SECOND).await;
        }
        Fault::WorkCrash => {
            say(&format!("the metering of {who} dies"));
            crash(world, node, &everything[2..], lasts).await;
        }
        Fault::DatabaseAway => {
            say(&format!(
                "the database of {} is away",
                World::name(node.cloud)
            ));
            let database = &world.clouds[node.cloud].database;
            database.set_up(false);
            world.note_ability();
            world.sleep(lasts).await;
            database.set_up(true);
            world.say("fault", || {
                format!("the database of {} is back", World::name(node.cloud))
            });
        }
        Fault::DatabaseCut => {
            let lasts = lasts.max(world.within(0..60 * SECOND));
            say(&format!("{who} does not reach its database"));
            node.reaches_database.set(false);
            world.note_ability();
            world.sleep(lasts).await;
            node.reaches_database.set(true);
            world.say("fault", || format!("{who} reaches its database again"));
        }
        Fault::Partition => {
            // Often longer than any answer counts.
            let lasts = if world.chance(300) {
                lasts + 60 * SECOND
            } else {
                lasts
            };
            let both = world.chance(700);
            let mark = if both { "and" } else { "to" };
            say(&format!(
                "nothing gets from {} {mark} {}",
                World::name(home),
                World::name(host)
            ));
            set_link(world, home, host, true);
            if both {
                set_link(world, host, home, true);
            }
            world.note_ability();
            world.sleep(lasts).await;
            set_link(world, home, host, false);
            set_link(world, host, home, false);
            world.say("fault", || {
                format!(
                    "{} and {} are connected",
                    World::name(home),
                    World::name(host)
                )
            });
        }
        Fault::Slow => {
            say(&format!(
                "slow from {} to {}",
                World::name(home),
                World::name(host)
            ));
            world.link(home, host).slowness.set(20);
            world.note_ability();
            world.sleep(lasts).await;
            world.link(home, host).slowness.set(1);
        }
        Fault::Unreadable => {
            say(&format!(
                "{} cannot read what {} signs",
                World::name(host),
                World::name(home)
            ));
            world.link(home, host).is_unreadable.set(true);
            world.note_ability();
            world.sleep(lasts).await;
            world.link(home, host).is_unreadable.set(false);
        }
        Fault::ClockStep => {
            let off = world.within(0..60_000_000) as i64 - 30_000_000;
            world.say("fault", || {
                format!("the clock of {who} is off by {:.1} s", off as f64 / 1e6)
            });
            node.clock_off.set(off);
        }
        Fault::Gone => {
            let others = world.clouds[node.cloud].nodes.iter();
            let is_last = others.filter(|node| !node.is_gone.get()).count() < 2;
            if is_last || world.chance(500) {
                return;
            }
            world.say("fault", || format!("{who} is taken away for good"));
            node.is_gone.set(true);
            node.daemon.borrow_mut().take();
            for process in everything {
                world.executor.kill(process);
            }
        }
    }
}

fn set_link(world: &World, from: usize, to: usize, is_down: bool) {
    let link = world.link(from, to);
    link.is_down.set(is_down);
    link.changes.happen(&world.executor);
}

async fn pause(world: &World, processes: &[ProcessId], lasts: Micros) {
    for process in processes {
        world.executor.pause(*process);
    }
    world.note_ability();
    world.sleep(lasts).await;
    for process in processes {
        world.executor.resume(*process);
    }
}

async fn crash(world: &Rc<World>, node: &Node, processes: &[ProcessId], lasts: Micros) {
    let alive: Vec<_> = processes
        .iter()
        .filter(|process| world.executor.state(**process) != State::Dead)
        .copied()
        .collect();
    for process in &alive {
        if *process == node.daemon_process {
            node.daemon.borrow_mut().take();
        }
        world.executor.kill(*process);
    }
    world.note_ability();
    world.sleep(lasts).await;
    if node.is_gone.get() {
        return;
    }
    for process in alive {
        world.executor.revive(process);
        if process == node.daemon_process {
            daemon::start(world, node.cloud, node.number);
        } else if process == node.work_process {
            metering::start(world, node.cloud, node.number);
        }
    }
}
