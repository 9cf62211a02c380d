//! A host tells usage records, and a home counts them.

use std::rc::Rc;

use alliance_core::usage::{CloudEvent, UsageBatch};
use jiff::Timestamp;

use crate::daemon::Daemon;
use crate::database::{Failed, read, transact};
use crate::executor::{Micros, SECOND};
use crate::invariant::Invariant;
use crate::settings::Guard;
use crate::world::{Counts, World};

/// How often hosts are asked.
const EVERY: Micros = 5 * SECOND;
/// How many records are told at once: few, so that there are often more.
const BATCH: usize = 10;

impl Daemon {
    async fn tell_usage(
        self: Rc<Self>,
        home: usize,
        after: u64,
    ) -> Result<(UsageBatch, bool), Failed> {
        let world = &self.world;
        let found = read(world, self.node(), |tables| {
            let all = tables.metered.outbox.get(&home);
            let all = all.map(Vec::as_slice).unwrap_or_default();
            let next = all.get(usize::try_from(after).unwrap_or_default()..);
            let next = next.unwrap_or_default();
            (
                next.iter().take(BATCH).cloned().collect::<Vec<_>>(),
                next.len() > BATCH,
            )
        });
        let (found, more) = found.await?;
        let host = &world.clouds[self.cloud].id;
        let events = found
            .iter()
            .zip(after + 1..)
            .map(|(record, number)| CloudEvent::about(record, number, host, Timestamp::UNIX_EPOCH));
        let batch = UsageBatch {
            iss: host.clone(),
            aud: world.clouds[home].id.clone(),
            iat: self.seconds(),
            after,
            events: events.filter_map(Result::ok).collect(),
        };
        Ok((batch, more))
    }

    pub(crate) async fn follow_usage(self: Rc<Self>) {
        let world = &self.world;
        loop {
            world.sleep(EVERY).await;
            if !self.leads() {
                continue;
            }
            for host in world.hosts_of(self.cloud) {
                let daemon = Rc::clone(&self);
                self.spawn(async move {
                    if let Err(why) = daemon.count(host).await {
                        daemon.say(|| {
                            format!(
                                "the usage at {} was not counted: {why:?}",
                                World::name(host)
                            )
                        });
                    }
                });
            }
        }
    }

    async fn count(&self, host: usize) -> Result<(), Failed> {
        let (world, home) = (&self.world, self.cloud);
        let known = read(world, self.node(), |tables| {
            tables.positions.get(&host).copied()
        });
        let mut last = known.await?.unwrap_or_default();
        loop {
            let node = world.balanced(host).ok_or(Failed::Away)?;
            let there = node.daemon.borrow().clone().ok_or(Failed::Away)?;
            let told = there.tell_usage(home, last);
            let told = world.call((home, host), node.daemon_process, 5 * SECOND, told);
            let (batch, more) = told.await.ok_or(Failed::Away)??;
            let new = batch.after(last).map_err(|_| Failed::Changed)?;
            if new.is_empty() {
                return Ok(());
            }
            let received = transact(world, self.node(), None, |tables, _| {
                let position = tables.positions.entry(host).or_default();
                for (number, record) in &new {
                    if world.keeps(Guard::Positions) && *number != *position + 1 {
                        continue;
                    }
                    *position = *number;
                    Counts::up(&world.counts.records);
                    if tables.arrivals.contains(&(host, *number)) {
                        world.fail(Invariant::CountedTwice, || {
                            format!(
                                "{} counted record {number} of {} twice",
                                self.name,
                                World::name(host)
                            )
                        });
                    }
                    tables.arrivals.push((host, *number));
                    if let Some(record) = record {
                        let key = (host, record.part.clone());
                        tables.counted.insert(key, record.clone());
                    }
                }
                Ok(*position)
            })
            .await?;
            self.say(|| format!("counts what {} says up to {received}", World::name(host)));
            if !more || received == last {
                return Ok(());
            }
            last = received;
        }
    }
}
