//! A home's instance: what ends here is noted, and hosts are told.

use std::collections::BTreeMap;
use std::rc::Rc;

use alliance_core::revocation::RevocationEvent;
use alliance_core::sign_out::{Change, LookAgain, SignOut};
use alliance_core::{CLOCK_SKEW, Seconds};

use crate::daemon::Daemon;
use crate::database::{Bulletin, Failed, read, transact};
use crate::executor::{MS, Micros, SECOND};
use crate::keystone::Poke;
use crate::settings::Guard;

/// How often Keystone is read though nobody poked.
const READ_EVERY: Micros = 2 * SECOND;
/// How often all of it.
const READ_ALL_EVERY: Micros = 60 * SECOND;
/// How much of the last reading is read again.
const OVERLAP: Seconds = 2 * CLOCK_SKEW;
/// Pokes that come within this time are one.
const GATHER: Micros = 5 * MS;
/// How long a poll waits for news.
pub(crate) const WAIT: Micros = 25 * SECOND;
/// How many sign-outs are told at once: few, so that there are often more.
const MOST: usize = 8;

/// What pokes said that is not noted yet.
#[derive(Debug, Default)]
pub(crate) struct Said {
    events: Vec<RevocationEvent>,
    doubts: Vec<LookAgain>,
    pub is_to_read: bool,
}

#[derive(Default)]
struct Reading {
    began: Option<Seconds>,
    ended: Option<Micros>,
    all: Option<Micros>,
}

fn stored(event: RevocationEvent) -> (Option<String>, Change) {
    let digest = serde_json::to_string(&event).unwrap_or_default();
    (Some(digest), Change::Revoked(event))
}

impl Daemon {
    /// Keystone's plugin says something.
    pub(crate) fn poked(self: Rc<Self>, poke: Poke) {
        match poke {
            Poke::Revoked(event) => self.said.borrow_mut().events.push(event),
            Poke::Doubt(look) => self.said.borrow_mut().doubts.push(look),
            Poke::Read if self.leads() => self.said.borrow_mut().is_to_read = true,
            // The leader reads.
            Poke::Read => {
                let daemon = Rc::clone(&self);
                self.spawn(async move { daemon.post(Bulletin::ReadKeystone).await });
            }
        }
        self.is_poked.happen(&self.world.executor);
    }

    pub(crate) async fn note_sign_outs(self: Rc<Self>) {
        let world = &self.world;
        let mut reading = Reading::default();
        loop {
            let seen = self.is_poked.count();
            let said = std::mem::take(&mut *self.said.borrow_mut());
            let events = said.events.into_iter().map(stored);
            let doubts = said.doubts.into_iter();
            let doubts = doubts.map(|look| (None, Change::LookAgain(look)));
            self.note(events.chain(doubts).collect()).await;
            if !self.leads() {
                // Another one reads; whoever begins to lead reads all.
                reading = Reading::default();
            } else if said.is_to_read || is_due(&reading, world.now()) {
                self.read_keystone(&mut reading).await;
            }
            let wait = match reading.ended {
                Some(ended) => (ended + READ_EVERY).saturating_sub(world.now()),
                None => SECOND,
            };
            let poked = self.is_poked.after(&world.executor, seen);
            world.executor.timeout(wait, poked).await;
            world.sleep(GATHER).await;
        }
    }

    async fn note(&self, found: Vec<(Option<String>, Change)>) {
        let world = &self.world;
        if found.is_empty() {
            return;
        }
        let mut pause = GATHER;
        loop {
            let most = found.len() as u64;
            let noted = transact(world, self.node(), Some((1, most)), |tables, numbers| {
                let count = tables.append(numbers, world.now(), &found);
                if count > 0 {
                    tables.put(numbers, self.posted(Bulletin::Noted));
                }
                Ok(count)
            });
            match noted.await {
                Ok(0) => return,
                Ok(count) => {
                    self.say(|| format!("notes {count} sign-outs"));
                    self.noted.happen(&world.executor);
                    return;
                }
                Err(why) => {
                    self.say(|| format!("what has ended was not noted: {why:?}"));
                    world.sleep(pause).await;
                    pause = (pause * 2).min(READ_EVERY);
                }
            }
        }
    }

    async fn read_keystone(self: &Rc<Self>, reading: &mut Reading) {
        let (world, began) = (&self.world, self.seconds());
        let all = reading
            .all
            .is_none_or(|last| last + READ_ALL_EVERY <= world.now());
        let since = reading
            .began
            .filter(|_| !all)
            .map_or(0, |began| began - OVERLAP);
        match self.events_since(since).await {
            Some(events) => {
                self.note(events.into_iter().map(stored).collect()).await;
                reading.began = Some(began);
                if all {
                    reading.all = Some(world.now());
                }
            }
            None => {
                self.say(|| "Keystone did not say what has ended".to_owned());
                reading.began = None;
            }
        }
        reading.ended = Some(world.now());
    }

    /// The events of the Keystone beside it.
    pub(crate) async fn events_since(&self, since: Seconds) -> Option<Vec<RevocationEvent>> {
        let (world, cloud) = (Rc::clone(&self.world), self.cloud);
        let asked = async move {
            world.sleep(world.within(500..5000)).await;
            let events = world.clouds[cloud].keystone.events.borrow();
            let new = events.iter();
            let new = new.filter(|event| event.issued_before.as_second() >= since);
            new.cloned().collect()
        };
        let process = self.node().keystone_process;
        let way = (cloud, cloud);
        self.world.call(way, process, 2 * SECOND, asked).await
    }

    /// What `host` has not heard yet, once there is something.
    pub(crate) async fn tell_sign_outs(
        self: Rc<Self>,
        host: usize,
        acknowledged: Option<u64>,
        immediately: bool,
    ) -> Result<BTreeMap<String, String>, Failed> {
        let world = &self.world;
        if world.keeps(Guard::FreshPolls) && !self.has_read_lately() {
            return Err(Failed::Away);
        }
        if let Some(number) = acknowledged {
            let heard = transact(world, self.node(), None, |tables, _| {
                tables.hears(host, number);
                Ok(())
            });
            heard.await?;
        }
        let seen = self.noted.count();
        let mut found = read(world, self.node(), |tables| tables.unheard(host, MOST)).await?;
        if found.is_empty() && !immediately {
            self.wait_for_news(seen).await?;
            found = read(world, self.node(), |tables| tables.unheard(host, MOST)).await?;
        }
        let mut sets = BTreeMap::new();
        for (number, change) in found {
            let said = SignOut {
                iss: world.clouds[self.cloud].id.clone(),
                aud: world.clouds[host].id.clone(),
                iat: self.seconds(),
                jti: number.to_string(),
                events: change.to_events().unwrap_or_default(),
            };
            let set = serde_json::to_string(&said).unwrap_or_default();
            sets.insert(number.to_string(), set);
        }
        Ok(sets)
    }

    /// Until something is noted, or nothing was for long.
    async fn wait_for_news(&self, seen: u64) -> Result<(), Failed> {
        let world = &self.world;
        let till = world.now() + WAIT;
        while world.now() < till && self.noted.count() == seen {
            if world.keeps(Guard::FreshPolls) && !self.has_read_lately() {
                return Err(Failed::Away);
            }
            let noted = self.noted.after(&world.executor, seen);
            world.executor.timeout(SECOND, noted).await;
        }
        Ok(())
    }
}

fn is_due(reading: &Reading, now: Micros) -> bool {
    reading.ended.is_none_or(|ended| ended + READ_EVERY <= now)
}
