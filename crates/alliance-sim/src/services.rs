//! What there is at a host's services, and what they say of it on its message bus.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use alliance_core::usage::{Fact, Kind, Millis, Resource, Size};

use crate::executor::MS;
use crate::world::{Node, World};

/// A volume.
#[derive(Debug, Clone)]
pub(crate) struct Volume {
    pub home: usize,
    pub project: String,
    pub began: Millis,
    pub ended: Option<Millis>,
    pub sizes: BTreeMap<Millis, u64>,
}

/// One thing that a service says.
#[derive(Debug, Clone)]
pub(crate) struct Notification {
    pub resource: Resource,
    pub home: usize,
    pub project: String,
    pub fact: Fact,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Services {
    pub volumes: RefCell<BTreeMap<String, Volume>>,
    /// Notifications that nobody has acknowledged.
    pub queue: RefCell<VecDeque<(u64, Notification)>>,
    said: Cell<u64>,
}

impl Services {
    pub(crate) fn resource(id: &str) -> Resource {
        Resource {
            kind: Kind::Volume,
            id: id.to_owned(),
        }
    }

    /// Says it, and perhaps not, and perhaps twice.
    fn say(&self, world: &World, id: &str, volume: &Volume, fact: Fact) {
        let times = match world.within(0..100) {
            0..10 => 0,
            10..15 => 2,
            _ => 1,
        };
        for _ in 0..times {
            self.said.set(self.said.get() + 1);
            let notification = Notification {
                resource: Self::resource(id),
                home: volume.home,
                project: volume.project.clone(),
                fact: fact.clone(),
            };
            let message = (self.said.get(), notification);
            self.queue.borrow_mut().push_back(message);
        }
    }

    /// Somebody of `home` makes a volume.
    pub(crate) fn create(&self, world: &World, node: &Node, home: usize) {
        let at = time(world);
        let gib = world.within(1..9);
        let mut volumes = self.volumes.borrow_mut();
        let id = format!("{}-v{}", World::name(node.cloud), volumes.len());
        let volume = Volume {
            home,
            project: format!("project-{}", world.within(0..4)),
            began: at,
            ended: None,
            sizes: BTreeMap::from([(at, gib)]),
        };
        let fact = Fact {
            at,
            began: Some(at),
            size: Some(Size::of_volume(gib)),
            ..Fact::default()
        };
        self.say(world, &id, &volume, fact);
        volumes.insert(id, volume);
    }

    /// Somebody resizes one, or deletes it.
    pub(crate) fn change(&self, world: &World) {
        let at = time(world);
        let mut volumes = self.volumes.borrow_mut();
        let open: Vec<_> = volumes
            .iter()
            .filter(|(_, volume)| volume.ended.is_none() && volume.began < at)
            .map(|(id, _)| id.clone())
            .collect();
        let Some(id) = world.pick(&open) else {
            return;
        };
        let Some(volume) = volumes.get_mut(id) else {
            return;
        };
        let fact = if world.chance(500) {
            volume.ended = Some(at);
            Fact {
                at,
                ended: Some(at),
                ..Fact::default()
            }
        } else {
            let gib = world.within(1..9);
            volume.sizes.insert(at, gib);
            Fact {
                at,
                size: Some(Size::of_volume(gib)),
                ..Fact::default()
            }
        };
        let volume = volume.clone();
        self.say(world, id, &volume, fact);
    }

    /// What there is now.
    pub(crate) fn list(&self, world: &World) -> Vec<Notification> {
        let at = time(world);
        let volumes = self.volumes.borrow();
        let open = volumes.iter().filter(|(_, volume)| volume.ended.is_none());
        open.map(|(id, volume)| Notification {
            resource: Self::resource(id),
            home: volume.home,
            project: volume.project.clone(),
            fact: Fact {
                at,
                began: Some(volume.began),
                size: volume
                    .sizes
                    .values()
                    .next_back()
                    .map(|gib| Size::of_volume(*gib)),
                ..Fact::default()
            },
        })
        .collect()
    }
}

/// By the services' clock, which is right.
pub(crate) fn time(world: &World) -> Millis {
    1_800_000_000_000 + (world.now() / MS) as Millis
}
