//! What users, operators and services do all day.

use std::rc::Rc;

use alliance_core::revocation::RevocationEvent;
use alliance_core::sign_out::LookAgain;
use jiff::Timestamp;

use crate::executor::{MS, Micros, SECOND, State};
use crate::keystone::{self, Poke, Token};
use crate::world::{CLOUDS, NODES, Node, World};

/// How often something happens in a cloud, on average.
const BETWEEN: Micros = 400 * MS;
/// How many of a home's tokens are in use at a time.
const IN_USE: usize = 24;

/// Sets all going, until then.
pub(crate) fn start(world: &Rc<World>, until: Micros) {
    for cloud in 0..CLOUDS {
        let world_of_it = Rc::clone(world);
        world.executor.spawn(world.process, async move {
            let world = world_of_it;
            loop {
                world.sleep(world.within(1..2 * BETWEEN)).await;
                if world.now() > until {
                    return;
                }
                act(&world, cloud);
            }
        });
    }
}

fn act(world: &Rc<World>, cloud: usize) {
    let nodes = &world.clouds[cloud].nodes;
    let alive: Vec<_> = nodes
        .iter()
        .filter(|node| world.executor.state(node.keystone_process) == State::Running)
        .collect();
    let Some(node) = world.pick(&alive) else {
        return;
    };
    match world.within(0..100) {
        0..5 => log_in(world, node),
        5..62 => travel(world, cloud),
        62..70 => {
            log_out(world, node);
            // What ends much ends it at several nodes at once.
            if let Some(other) = world.pick(&alive).filter(|_| world.chance(400)) {
                log_out(world, other);
            }
        }
        70..72 => lose_role(world, node),
        72..88 => use_services(world, node),
        88..94 => operate(world, node),
        _ => {}
    }
}

fn log_in(world: &World, node: &Node) {
    let keystone = &world.clouds[node.cloud].keystone;
    let chain = match world.chance(250) {
        true => some_token(world, node.cloud).filter(|token| token.is_good()),
        false => None,
    };
    keystone.issue(world, node, chain.as_deref());
}

/// One of the newest, good or not.
fn some_token(world: &World, home: usize) -> Option<Rc<Token>> {
    let tokens = world.clouds[home].keystone.tokens.borrow();
    let newest = &tokens[tokens.len().saturating_sub(IN_USE)..];
    world.pick(newest).cloned()
}

/// Somebody uses a token of this home at a host.
fn travel(world: &Rc<World>, home: usize) {
    let hosts: Vec<_> = world.hosts_of(home).collect();
    let (Some(host), Some(token)) = (world.pick(&hosts), some_token(world, home)) else {
        return;
    };
    let number = world.within(0..NODES as u64) as usize;
    let node = world.node(*host, number);
    if world.executor.state(node.keystone_process) == State::Dead {
        return;
    }
    let request = keystone::request(Rc::clone(world), *host, number, token);
    world.executor.spawn(node.keystone_process, request);
}

fn log_out(world: &Rc<World>, node: &Node) {
    let Some(token) = some_token(world, node.cloud).filter(|token| token.is_good()) else {
        return;
    };
    // Keystone writes events to the second.
    let second = world.seconds(node);
    let mut event = RevocationEvent {
        issued_before: Timestamp::from_second(second).unwrap_or_default(),
        ..RevocationEvent::default()
    };
    match world.within(0..10) {
        0..6 => event.audit_id = token.audit_ids.first().cloned(),
        6..8 => event.audit_chain_id = token.audit_ids.last().cloned(),
        _ => event.user_id = Some(token.user.clone()),
    }
    world.say(&node.name(), || {
        format!("Keystone ends what {event:?} is about, as {}", token.name())
    });
    world.clouds[node.cloud]
        .keystone
        .revoke(world, event.clone());
    let said = match world.chance(800) {
        true => Poke::Revoked(event),
        false => Poke::Read,
    };
    keystone::poke(world, node.cloud, node.number, said);
}

fn lose_role(world: &Rc<World>, node: &Node) {
    let Some(token) = some_token(world, node.cloud).filter(|token| token.is_good()) else {
        return;
    };
    world.say(&node.name(), || {
        format!("{} has no role in {} any more", token.user, token.project)
    });
    let doubt = Poke::Doubt(LookAgain {
        user_id: Some(token.user.clone()),
        project_id: Some(token.project.clone()),
        ..LookAgain::default()
    });
    let is_told = keystone::poke(world, node.cloud, node.number, doubt);
    let tokens = world.clouds[node.cloud].keystone.tokens.borrow();
    let concerned = tokens.iter().filter(|one| {
        one.user == token.user && one.project == token.project && one.unroled_at.get().is_none()
    });
    for one in concerned {
        one.unroled_at.set(Some((world.now(), is_told)));
    }
}

fn use_services(world: &World, node: &Node) {
    let services = &world.clouds[node.cloud].services;
    let homes: Vec<_> = world.homes_of(node.cloud).collect();
    match world.pick(&homes) {
        Some(home) if world.chance(400) => services.create(world, node, *home),
        _ => services.change(world),
    }
}

fn operate(world: &Rc<World>, node: &Node) {
    let Some(daemon) = node.daemon.borrow().clone() else {
        return;
    };
    if world.executor.state(node.daemon_process) != State::Running {
        return;
    }
    let homes: Vec<_> = world.homes_of(node.cloud).collect();
    let process = node.daemon_process;
    match (world.within(0..10), world.pick(&homes)) {
        (0..2, Some(home)) => world.executor.spawn(process, daemon.give(*home)),
        (2..6, _) => world.executor.spawn(process, daemon.change_given()),
        _ => world.executor.spawn(process, daemon.answer_received()),
    }
}

/// What the load balancers know of instances: looked at every second.
pub(crate) fn balance(world: &Rc<World>) {
    let balancer = Rc::clone(world);
    world.executor.spawn(world.process, async move {
        loop {
            balancer.sleep(SECOND).await;
            for node in balancer.clouds.iter().flat_map(|cloud| &cloud.nodes) {
                let state = balancer.executor.state(node.daemon_process);
                let is_there = state == State::Running && node.daemon.borrow().is_some();
                node.is_in_service.set(is_there);
            }
        }
    });
}
