//! At a host: lives and records of what partners' projects use, and the process that writes them.
//!
//! The lives and the records that follow are `alliance_core::usage`; what changes, and which numbers it
//! gets, is written as `alliance-store` writes it.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use alliance_core::usage::{Life, Millis, Owner, Part, Record, Resource, parts};

use crate::database::{Failed, hold, transact};
use crate::executor::{MS, Micros, SECOND};
use crate::services::{Notification, time};
use crate::world::{Node, World};

/// The name of the lease of all that the process does.
const LEASE: &str = "work";
/// How long it is held without being renewed.
const HELD: Micros = 15 * SECOND;
/// How often what there is is listed.
const LIST_EVERY: Micros = 15 * SECOND;
/// How many notifications are taken at once.
const BATCH: usize = 20;

#[derive(Clone)]
struct Known {
    home: usize,
    owner: Owner,
    life: Life,
    parts: usize,
}

impl Known {
    fn records(&self, resource: &Resource) -> Vec<Record> {
        parts(resource, &self.owner, "RegionOne", &self.life, self.parts)
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Metered {
    lives: BTreeMap<Resource, Known>,
    /// By home.
    pub records: BTreeMap<(usize, Part), Record>,
    /// By home; the first one has the number 1.
    pub outbox: BTreeMap<usize, Vec<Record>>,
}

impl Metered {
    fn learn(&mut self, heard: &[Notification]) {
        let resources = heard.iter().map(|one| one.resource.clone()).collect();
        let before = self.select(&resources);
        let mut after = before.clone();
        for one in heard {
            entry(&mut after, one).life.learn(&one.fact);
        }
        self.write(&before, after);
    }

    fn list(&mut self, began: Millis, listed: &[Notification]) {
        let shown: BTreeSet<_> = listed.iter().map(|one| one.resource.clone()).collect();
        let mut wanted = shown.clone();
        let open = self.lives.iter().filter(|(_, known)| known.life.is_open());
        wanted.extend(open.map(|(resource, _)| resource.clone()));
        let before = self.select(&wanted);
        let mut after = before.clone();
        for (resource, known) in &mut after {
            if !shown.contains(resource) {
                known.life.is_missed(began);
            }
        }
        for one in listed {
            entry(&mut after, one).life.is_listed(&one.fact);
        }
        self.write(&before, after);
    }

    fn select(&self, wanted: &BTreeSet<Resource>) -> BTreeMap<Resource, Known> {
        let found = wanted.iter().filter_map(|resource| {
            let known = self.lives.get(resource)?;
            Some((resource.clone(), known.clone()))
        });
        found.collect()
    }

    fn write(&mut self, before: &BTreeMap<Resource, Known>, after: BTreeMap<Resource, Known>) {
        for (resource, mut known) in after {
            let last = before.get(&resource);
            if last.is_some_and(|last| last.life == known.life) {
                continue;
            }
            let old = last.map(|last| last.records(&resource)).unwrap_or_default();
            let new = known.records(&resource);
            known.parts = new.len();
            for record in new.into_iter().filter(|record| !old.contains(record)) {
                let key = (known.home, record.part.clone());
                self.records.insert(key, record.clone());
                self.outbox.entry(known.home).or_default().push(record);
            }
            self.lives.insert(resource, known);
        }
    }
}

fn entry<'k>(known: &'k mut BTreeMap<Resource, Known>, heard: &Notification) -> &'k mut Known {
    known
        .entry(heard.resource.clone())
        .or_insert_with(|| Known {
            home: heard.home,
            owner: Owner {
                project_id: heard.project.clone(),
                user_id: None,
            },
            life: Life::default(),
            parts: 0,
        })
}

/// Starts the process at a node.
pub(crate) fn start(world: &Rc<World>, cloud: usize, number: usize) {
    let node = world.node(cloud, number);
    let holder = format!("{} work {}", node.name(), node.starts.get());
    let task = Rc::clone(world);
    world.executor.spawn(node.work_process, async move {
        let node = task.node(cloud, number);
        let work = Work {
            world: &task,
            node,
            holder,
            listed_at: Cell::new(0),
        };
        work.run().await;
    });
}

struct Work<'a> {
    world: &'a Rc<World>,
    node: &'a Node,
    holder: String,
    listed_at: Cell<Micros>,
}

impl Work<'_> {
    async fn run(&self) {
        let world = self.world;
        loop {
            world.sleep(world.within(500..1500) * MS).await;
            let taken = transact(world, self.node, None, |tables, _| {
                let now = world.now();
                Ok(tables.take_lease(LEASE, &self.holder, now, now + HELD))
            });
            if taken.await != Ok(true) {
                continue;
            }
            if let Err(why) = self.work().await {
                world.say(&self.node.name(), || {
                    format!("what is metered was not written: {why:?}")
                });
            }
        }
    }

    async fn work(&self) -> Result<(), Failed> {
        let (world, services) = (self.world, &self.world.clouds[self.node.cloud].services);
        let taken: Vec<_> = services
            .queue
            .borrow()
            .iter()
            .take(BATCH)
            .cloned()
            .collect();
        if !taken.is_empty() {
            world.sleep(world.within(1..20) * MS).await;
            let heard: Vec<_> = taken.iter().map(|(_, one)| one.clone()).collect();
            transact(world, self.node, None, |tables, _| {
                hold(world, tables, LEASE, &self.holder)?;
                tables.metered.learn(&heard);
                Ok(())
            })
            .await?;
            let numbers: BTreeSet<_> = taken.iter().map(|(number, _)| *number).collect();
            let mut queue = services.queue.borrow_mut();
            queue.retain(|(number, _)| !numbers.contains(number));
        }
        if self.listed_at.get() + LIST_EVERY <= world.now() {
            let began = time(world);
            let listed = services.list(world);
            // Page by page.
            world.sleep(world.within(20..6000) * MS).await;
            transact(world, self.node, None, |tables, _| {
                hold(world, tables, LEASE, &self.holder)?;
                tables.metered.list(began, &listed);
                Ok(())
            })
            .await?;
            self.listed_at.set(world.now());
        }
        Ok(())
    }
}
