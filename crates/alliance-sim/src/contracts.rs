//! Agreements: versions that a host makes, home's replies, and either side's word that it ends.
//!
//! What follows on what, and what needs consent, is `alliance_core`; when it is read and stored is written
//! as `contracts/home.rs`, `contracts/host.rs` and `sync.rs` of the daemon have it. Of a signature nothing
//! is left but that the payload's hash names a version.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use alliance_core::agreement::Projects;
use alliance_core::contract::{Link, Proposal, Said};
use alliance_core::terms::{PriceList, Terms};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::daemon::Daemon;
use crate::database::{Bulletin, Failed, Tables, read, transact};
use crate::executor::{Micros, SECOND};
use crate::settings::Guard;
use crate::world::{Counts, World};

/// How long an errand may take.
const ERRAND: Micros = 5 * SECOND;

/// A version of an agreement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Version {
    pub number: u32,
    pub terms: Terms,
    pub sha256: String,
    signed: String,
    was_in_force: bool,
    pub reply: Option<Said>,
    is_heard: bool,
}

/// An agreement that this cloud gave.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub home: usize,
    pub in_force: Option<u32>,
    pub is_ended: bool,
    pub versions: Vec<Version>,
}

/// An agreement that a host gave.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received {
    pub in_force: Option<u32>,
    pub is_ended: bool,
    is_ending_heard: bool,
    pub versions: Vec<Version>,
}

impl Received {
    fn newest(&self) -> u32 {
        self.versions.last().map_or(0, |newest| newest.number)
    }
}

/// How a host says that an agreement stands.
#[derive(Debug, Clone)]
struct State {
    id: String,
    newest: u32,
    in_force: Option<u32>,
    is_replied: bool,
    is_ended: bool,
}

/// What a host makes of home's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    In,
    /// It has gone on meanwhile, or knows no such thing.
    GoneOn,
    Failed,
}

fn signed(proposal: &Proposal) -> (String, String) {
    let payload = serde_json::to_string(proposal).unwrap_or_default();
    let sha256 = HEXLOWER.encode(&Sha256::digest(&payload));
    (payload, sha256)
}

/// The host's operators.
impl Daemon {
    fn version(
        &self,
        home: usize,
        id: &str,
        terms: Terms,
        last: Option<&Version>,
        is_in_force: bool,
    ) -> Version {
        let proposal = Proposal {
            iss: self.world.clouds[self.cloud].id.clone(),
            aud: self.world.clouds[home].id.clone(),
            iat: self.seconds(),
            agreement: id.to_owned(),
            version: last.map_or(0, |last| last.number) + 1,
            projects: Projects::All,
            project_name: None,
            project_domain: None,
            terms,
            previous: last.map(|last| last.sha256.clone()),
        };
        let (payload, sha256) = signed(&proposal);
        Version {
            number: proposal.version,
            terms: proposal.terms,
            sha256,
            signed: payload,
            was_in_force: is_in_force,
            reply: None,
            is_heard: false,
        }
    }

    /// An operator here gives `home` an agreement.
    pub(crate) async fn give(self: Rc<Self>, home: usize) {
        let world = &self.world;
        let id = format!(
            "{}-for-{}-{}",
            World::name(self.cloud),
            World::name(home),
            world.counts.agreements.get()
        );
        Counts::up(&world.counts.agreements);
        let terms = self.some_terms();
        let is_in_force = !terms.need_consent(None);
        let first = self.version(home, &id, terms, None, is_in_force);
        let made = transact(world, self.node(), None, |tables, _| {
            let given = Given {
                home,
                in_force: is_in_force.then_some(1),
                is_ended: false,
                versions: vec![first],
            };
            tables.given.insert(id.clone(), given);
            Ok(())
        });
        let made = made.await;
        self.say(|| format!("the operator gives {id}: {made:?}"));
        self.poke_home(home).await;
    }

    /// An operator here changes an agreement, or ends it.
    pub(crate) async fn change_given(self: Rc<Self>) {
        let world = &self.world;
        let all = read(world, self.node(), |tables| {
            let open = tables.given.iter().filter(|(_, given)| !given.is_ended);
            open.map(|(id, given)| (id.clone(), given.clone()))
                .collect::<Vec<_>>()
        });
        let Ok(all) = all.await else { return };
        let Some((id, given)) = world.pick(&all) else {
            return;
        };
        if world.chance(250) {
            let ended = transact(world, self.node(), None, |tables, _| {
                let given = tables.given.get_mut(id).ok_or(Failed::Changed)?;
                given.is_ended = true;
                Ok(())
            });
            let ended = ended.await;
            self.say(|| format!("the operator ends {id}, which it gave: {ended:?}"));
        } else {
            let agreed = given.in_force.and_then(|number| {
                let version = given.versions.iter().find(|one| one.number == number);
                version.map(|version| version.terms.clone())
            });
            let terms = self.some_terms();
            let is_in_force = !terms.need_consent(agreed.as_ref());
            let last = given.versions.last();
            let next = self.version(given.home, id, terms, last, is_in_force);
            let number = next.number;
            let made = transact(world, self.node(), None, |tables, _| {
                let given = tables.given.get_mut(id).ok_or(Failed::Changed)?;
                let newest = given.versions.last().map_or(0, |last| last.number);
                if given.is_ended || newest + 1 != number {
                    return Err(Failed::Changed);
                }
                if is_in_force {
                    given.in_force = Some(number);
                }
                given.versions.push(next);
                Ok(())
            });
            let made = made.await;
            self.say(|| format!("the operator makes version {number} of {id}: {made:?}"));
        }
        self.poke_home(given.home).await;
    }

    fn some_terms(&self) -> Terms {
        let world = &self.world;
        let mut terms = Terms::granting(["member".to_owned()], world.within(0..1000) as i64);
        if world.chance(400) {
            let price = format!("0.{}", world.within(1..9));
            let prices = price
                .parse()
                .map(|price| BTreeMap::from([("cores".to_owned(), price)]));
            if let (Ok(prices), Ok(currency)) = (prices, "EUR".parse()) {
                terms.prices = PriceList::new(currency, prices).ok();
            }
        }
        terms
    }

    async fn poke_home(&self, home: usize) {
        let world = &self.world;
        let Some(node) = world.balanced(home) else {
            return;
        };
        let Some(daemon) = node.daemon.borrow().clone() else {
            return;
        };
        let host = self.cloud;
        let poked = async move { daemon.post(Bulletin::Pull(host)).await };
        let way = (self.cloud, home);
        world.call(way, node.daemon_process, ERRAND, poked).await;
    }
}

/// What the host's daemon answers.
impl Daemon {
    /// `asker` is the cloud and the node that asks.
    async fn contract_states(self: Rc<Self>, asker: (usize, usize)) -> Result<Vec<State>, Failed> {
        let home = asker.0;
        let states = read(&self.world, self.node(), |tables| {
            let given = tables.given.iter().filter(|(_, given)| given.home == home);
            given
                .filter_map(|(id, given)| {
                    let newest = given.versions.last()?;
                    Some(State {
                        id: id.clone(),
                        newest: newest.number,
                        in_force: given.in_force,
                        is_replied: newest.reply.is_some(),
                        is_ended: given.is_ended,
                    })
                })
                .collect()
        });
        let states = states.await?;
        self.world.last_asker.set(asker);
        self.world.was_answered.happen(&self.world.executor);
        Ok(states)
    }

    async fn contract(self: Rc<Self>, id: String, after: u32) -> Result<Vec<String>, Failed> {
        read(&self.world, self.node(), |tables| {
            let versions = tables.given.get(&id).into_iter();
            let versions = versions.flat_map(|given| &given.versions);
            let next = versions.filter(|version| version.number > after);
            next.map(|version| version.signed.clone()).collect()
        })
        .await
    }

    async fn hear_reply(self: Rc<Self>, id: String, number: u32, sha: String, said: Said) -> Taken {
        let found = read(&self.world, self.node(), |tables| {
            tables.given.get(&id).map(|given| given.versions.clone())
        });
        let versions = match found.await {
            Ok(Some(versions)) => versions,
            Ok(None) => return Taken::GoneOn,
            Err(_) => return Taken::Failed,
        };
        let version = versions.iter().find(|one| one.number == number);
        let Some(version) = version.filter(|version| version.sha256 == sha) else {
            return Taken::GoneOn;
        };
        let (was_in_force, is_last) = (
            version.was_in_force,
            versions.last().is_some_and(|last| last.number == number),
        );
        let taken = transact(&self.world, self.node(), None, |tables, _| {
            let given = tables.given.get_mut(&id).ok_or(Failed::Changed)?;
            if said == Said::Ended {
                given.is_ended = true;
                return Ok(());
            }
            if given.is_ended || (!was_in_force && !is_last) {
                return Err(Failed::Changed);
            }
            let begins = said == Said::Accepted && !was_in_force;
            let newest = given.versions.last().map_or(0, |last| last.number);
            let version = given.versions.iter_mut().find(|one| one.number == number);
            let version = version.ok_or(Failed::Changed)?;
            if version.reply == Some(said) {
                return Ok(());
            }
            if begins && newest != number {
                return Err(Failed::Changed);
            }
            version.reply = Some(said);
            version.is_heard = true;
            if begins {
                version.was_in_force = true;
                given.in_force = Some(number);
            }
            Ok(())
        });
        match taken.await {
            Ok(()) => Taken::In,
            Err(Failed::Changed) => Taken::GoneOn,
            Err(_) => Taken::Failed,
        }
    }
}

type Held = BTreeMap<String, Received>;

fn held_of(tables: &Tables, host: usize) -> Held {
    let all = tables.received.iter();
    let of_host = all.filter(|((of, _), _)| *of == host);
    of_host
        .map(|((_, id), received)| (id.clone(), received.clone()))
        .collect()
}

/// Home: its operators, and what it makes of what hosts say.
impl Daemon {
    /// An operator here accepts what waits for that, or ends an agreement.
    pub(crate) async fn answer_received(self: Rc<Self>) {
        let world = &self.world;
        let all = read(world, self.node(), |tables| {
            let open = tables.received.iter().filter(|(_, one)| !one.is_ended);
            open.map(|(key, one)| (key.clone(), one.clone()))
                .collect::<Vec<_>>()
        });
        let Ok(all) = all.await else { return };
        let Some(((host, id), one)) = world.pick(&all) else {
            return;
        };
        let is_waiting = one.versions.last().is_some_and(|last| last.reply.is_none());
        if is_waiting {
            let said = self.reply(*host, id, one.newest(), Said::Accepted).await;
            self.say(|| {
                format!(
                    "the operator accepts version {} of {id}: {said:?}",
                    one.newest()
                )
            });
        } else if world.chance(200) {
            let ended = self.end_received(*host, id, false).await;
            self.say(|| format!("the operator ends {id}, which was given: {ended:?}"));
        } else {
            return;
        }
        for _ in 0..2 {
            let told = self.pull(*host).await;
            self.say(|| format!("{} is told: {told:?}", World::name(*host)));
        }
    }

    /// Reads what a host says of the agreements that it gave, and replies.
    pub(crate) async fn pull(&self, host: usize) -> Result<(), Failed> {
        let world = &self.world;
        let before = read(world, self.node(), |tables| held_of(tables, host)).await?;
        let asker = (self.cloud, self.number);
        let states = self.ask(host, |there| there.contract_states(asker)).await?;
        let held = if world.keeps(Guard::HeldBeforeAsked) {
            before
        } else {
            read(world, self.node(), |tables| held_of(tables, host)).await?
        };
        for state in &states {
            match self.follow(host, state, held.get(&state.id)).await {
                // It is looked at again at the next pull.
                Ok(()) | Err(Failed::Changed) => {}
                Err(why) => return Err(why),
            }
        }
        let told: BTreeSet<&str> = states.iter().map(|state| state.id.as_str()).collect();
        for (id, gone) in &held {
            if !told.contains(id.as_str()) && !gone.is_ended {
                self.say(|| format!("{} says nothing of {id}: it has ended", World::name(host)));
                self.end_received(host, id, true).await?;
            }
        }
        Ok(())
    }

    async fn ask<T, F>(&self, host: usize, work: impl FnOnce(Rc<Self>) -> F) -> Result<T, Failed>
    where
        T: 'static,
        F: Future<Output = Result<T, Failed>> + 'static,
    {
        let world = &self.world;
        let node = world.balanced(host).ok_or(Failed::Away)?;
        let there = node.daemon.borrow().clone().ok_or(Failed::Away)?;
        let way = (self.cloud, host);
        let answer = world.call(way, node.daemon_process, ERRAND, work(there));
        answer.await.ok_or(Failed::Away)?
    }

    async fn end_received(&self, host: usize, id: &str, by_host: bool) -> Result<(), Failed> {
        transact(&self.world, self.node(), None, |tables, _| {
            let key = (host, id.to_owned());
            let one = tables.received.get_mut(&key).ok_or(Failed::Changed)?;
            one.is_ended = true;
            one.is_ending_heard |= by_host;
            Ok(())
        })
        .await
    }

    async fn reply(&self, host: usize, id: &str, number: u32, said: Said) -> Result<(), Failed> {
        transact(&self.world, self.node(), None, |tables, _| {
            let key = (host, id.to_owned());
            let one = tables.received.get_mut(&key).ok_or(Failed::Changed)?;
            let is_ended = one.is_ended;
            let version = one.versions.iter_mut().find(|one| one.number == number);
            match version.filter(|_| !is_ended) {
                Some(version) => {
                    version.reply = Some(said);
                    version.is_heard = false;
                    Ok(())
                }
                None => Err(Failed::Changed),
            }
        })
        .await
    }

    async fn follow(
        &self,
        host: usize,
        state: &State,
        held: Option<&Received>,
    ) -> Result<(), Failed> {
        if let Some(held) = held.filter(|held| held.is_ended) {
            return self.tell_ending(host, state, held).await;
        }
        if state.is_ended {
            return match held {
                Some(_) => self.end_received(host, &state.id, true).await,
                None => Ok(()),
            };
        }
        let mut one = held.cloned().unwrap_or_default();
        let is_set_back =
            state.newest < one.newest() || state.in_force.unwrap_or(0) < one.in_force.unwrap_or(0);
        if !is_set_back {
            self.read_versions(host, state, &mut one).await?;
        }
        if one.versions.is_empty() {
            return Ok(());
        }
        self.agree(host, &state.id, &mut one).await?;
        let is_consented = state.in_force.is_none_or(|number| {
            let version = one.versions.iter().find(|one| one.number == number);
            version.is_some_and(|version| version.reply == Some(Said::Accepted))
        });
        if !is_set_back && is_consented && state.in_force != one.in_force {
            let (key, in_force) = ((host, state.id.clone()), state.in_force);
            transact(&self.world, self.node(), None, |tables, _| {
                let one = tables.received.get_mut(&key).ok_or(Failed::Changed)?;
                one.in_force = in_force;
                Ok(())
            })
            .await?;
        }
        self.tell(host, state, &one).await
    }

    async fn read_versions(
        &self,
        host: usize,
        state: &State,
        one: &mut Received,
    ) -> Result<(), Failed> {
        while one.newest() < state.newest {
            let (id, after) = (state.id.clone(), one.newest());
            let told = self.ask(host, |there| there.contract(id, after)).await?;
            let mut fresh: Vec<Version> = Vec::new();
            for payload in told {
                let Ok(proposal) = serde_json::from_str::<Proposal>(&payload) else {
                    break;
                };
                let last = fresh.last().or(one.versions.last());
                let link = last.map(|last| Link {
                    version: last.number,
                    sha256: &last.sha256,
                });
                if proposal.require_next(link).is_err() {
                    break;
                }
                fresh.push(Version {
                    number: proposal.version,
                    terms: proposal.terms,
                    sha256: HEXLOWER.encode(&Sha256::digest(&payload)),
                    signed: payload,
                    was_in_force: false,
                    reply: None,
                    is_heard: false,
                });
            }
            if fresh.is_empty() {
                return Ok(());
            }
            let (key, stored) = ((host, state.id.clone()), fresh.clone());
            transact(&self.world, self.node(), None, |tables, _| {
                let one = tables.received.entry(key).or_default();
                if one.newest() + 1 != stored[0].number {
                    return Err(Failed::Changed);
                }
                one.versions.extend(stored);
                Ok(())
            })
            .await?;
            one.versions.extend(fresh);
        }
        Ok(())
    }

    async fn agree(&self, host: usize, id: &str, one: &mut Received) -> Result<(), Failed> {
        for index in 0..one.versions.len() {
            let before = one.versions[..index].iter().rev();
            let agreed = before
                .filter(|version| version.reply == Some(Said::Accepted))
                .map(|version| &version.terms)
                .next();
            let version = &one.versions[index];
            if version.reply.is_some() || version.terms.need_consent(agreed) {
                continue;
            }
            self.reply(host, id, version.number, Said::Accepted).await?;
            one.versions[index].reply = Some(Said::Accepted);
        }
        Ok(())
    }

    async fn tell(&self, host: usize, state: &State, one: &Received) -> Result<(), Failed> {
        let newest = one.newest();
        for version in &one.versions {
            let Some(said) = version.reply else { continue };
            let is_lost = version.number == newest && !state.is_replied;
            if version.is_heard && !is_lost {
                continue;
            }
            self.send(host, &state.id, version, said).await?;
            let (key, number) = ((host, state.id.clone()), version.number);
            transact(&self.world, self.node(), None, |tables, _| {
                let one = tables.received.get_mut(&key).ok_or(Failed::Changed)?;
                let version = one.versions.iter_mut().find(|one| one.number == number);
                version.ok_or(Failed::Changed)?.is_heard = true;
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    async fn tell_ending(&self, host: usize, state: &State, held: &Received) -> Result<(), Failed> {
        if held.is_ending_heard {
            return Ok(());
        }
        if let Some(newest) = held.versions.last().filter(|_| !state.is_ended) {
            self.send(host, &state.id, newest, Said::Ended).await?;
        }
        let key = (host, state.id.clone());
        transact(&self.world, self.node(), None, |tables, _| {
            let one = tables.received.get_mut(&key).ok_or(Failed::Changed)?;
            one.is_ending_heard = true;
            Ok(())
        })
        .await
    }

    /// Returns once the host has it, or wants none.
    async fn send(
        &self,
        host: usize,
        id: &str,
        version: &Version,
        said: Said,
    ) -> Result<(), Failed> {
        let (id, number, sha) = (id.to_owned(), version.number, version.sha256.clone());
        let taken = self
            .ask(host, |there| async move {
                Ok(there.hear_reply(id, number, sha, said).await)
            })
            .await?;
        match taken {
            Taken::In | Taken::GoneOn => Ok(()),
            Taken::Failed => Err(Failed::Away),
        }
    }
}
