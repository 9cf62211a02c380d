//! Which partners' projects are to be retired here, and how far that may go now.
//!
//! The daemon only decides: it writes plans into the database. `alliance work` carries them out, and
//! writes what it has done. Home's word is asked for here.

mod asking;
mod receipts;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alliance_core::Seconds;
use alliance_core::agreement::{Agreement, Projects};
use alliance_core::cloud::CloudId;
use alliance_core::retirement::{Cause, Facts, Next, Phase, Plan, cause, keeping, policy};
use alliance_core::sign_out::Change;
use alliance_store::{Bulletin, GuestStanding, Retirement};
use tokio::sync::Notify;
use tokio::time::timeout;
use uuid::Uuid;

use super::Daemon;
use super::clock::now;

/// How often is looked what is due, though nothing has happened.
const LOOK: Duration = Duration::from_secs(2);

/// How many projects of one home are in doubt at most; more are all of them.
const MOST_DOUBTS: usize = 1000;

/// A partner's project: whose, and its id at home.
type Key = (CloudId, String);

/// What of projects is to be asked of their homes soon.
#[derive(Default)]
pub(crate) struct Doubts {
    homes: Mutex<BTreeMap<CloudId, Doubt>>,
    raised: Notify,
    /// Until when homes that do not say are left alone.
    pauses: Mutex<BTreeMap<CloudId, Seconds>>,
}

/// Of which of one home's projects, and since when: a word that was asked for later resolves it.
#[derive(Default)]
struct Doubt {
    /// Of all of them.
    all: Option<Seconds>,
    some: BTreeMap<String, Seconds>,
}

impl Doubts {
    /// Home has said that something has changed. What concerns projects makes us ask about them; what
    /// ends a user concerns none.
    pub(crate) fn heed(&self, home: &CloudId, changes: &[Change]) {
        for change in changes {
            let (user, project, domain) = match change {
                Change::Revoked(event) => (&event.user_id, &event.project_id, &event.domain_id),
                Change::LookAgain(look) => (&look.user_id, &look.project_id, &look.domain_id),
            };
            match (user, project, domain) {
                (None, Some(project), _) => self.raise(home, Some(project)),
                (None, None, Some(_)) => self.raise(home, None),
                _ => {}
            }
        }
    }

    fn raise(&self, home: &CloudId, project: Option<&String>) {
        let mut homes = self.lock();
        let doubt = homes.entry(home.clone()).or_default();
        match project {
            // Ids that nobody has heard of are not remembered without end.
            Some(_) if doubt.some.len() >= MOST_DOUBTS => {
                doubt.some.clear();
                doubt.all = Some(now());
            }
            Some(project) => drop(doubt.some.insert(project.clone(), now())),
            None => doubt.all = Some(now()),
        }
        drop(homes);
        self.raised.notify_one();
    }

    /// Whether there is a doubt about a project of which home was last asked at that time.
    fn is_about(&self, (home, project): &Key, asked_at: Option<Seconds>) -> bool {
        let homes = self.lock();
        let raised = homes
            .get(home)
            .and_then(|doubt| doubt.all.max(doubt.some.get(project).copied()));
        raised.is_some_and(|raised| asked_at.is_none_or(|asked_at| asked_at <= raised))
    }

    /// Whether home may be asked: one that does not say is left alone for a while.
    fn may_ask(&self, home: &CloudId, at: Seconds) -> bool {
        let pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.get(home).is_none_or(|until| *until <= at)
    }

    /// Home has not said.
    fn pause(&self, home: &CloudId, until: Seconds) {
        let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.insert(home.clone(), until);
    }

    /// Something has changed: what is due is looked for now.
    pub(super) fn look(&self) {
        self.raised.notify_one();
    }

    /// Home was asked about these at that time.
    fn resolve(&self, home: &CloudId, projects: &[String], asked_at: Seconds) {
        if let Some(doubt) = self.lock().get_mut(home) {
            doubt
                .some
                .retain(|id, raised| *raised >= asked_at || !projects.contains(id));
        }
    }

    /// Home cannot be asked.
    fn forget(&self, home: &CloudId) {
        self.lock().remove(home);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<CloudId, Doubt>> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of all projects at one time.
struct Books {
    standings: BTreeMap<Key, GuestStanding>,
    agreements: BTreeMap<CloudId, Vec<Agreement>>,
    partners: BTreeSet<CloudId>,
    /// Of each project the one that runs.
    running: BTreeMap<Key, Retirement>,
    /// When a project was last retired.
    retired: BTreeMap<Key, Seconds>,
    /// When one of a project's users was last let in.
    seen: BTreeMap<Key, Seconds>,
}

impl Daemon {
    /// The leader looks at once what is due.
    fn look_at_retirements(&self) {
        self.doubts.look();
        self.board.tell(Bulletin::Retirements);
    }

    /// Begins retirements, lets them go on when they may, calls them off. Runs for ever.
    pub(crate) async fn follow_retirements(self: Arc<Self>) {
        loop {
            if let Err(error) = self.retire_due().await {
                tracing::error!(
                    error = format!("{error:#}"),
                    "what is to be retired was not decided; trying again"
                );
            }
            // A time-out is as good as a doubt.
            let _ = timeout(LOOK, self.doubts.raised.notified()).await;
        }
    }

    /// Decides once.
    async fn retire_due(&self) -> anyhow::Result<()> {
        let at = now();
        let mut books = self.books().await?;
        let due = self.ask_homes(&mut books, at).await?;
        for (key, standing) in &mut books.standings {
            let kept = policy(keeping(
                books.agreements.get(&key.0).map_or(&[][..], Vec::as_slice),
                &key.1,
                at,
            ));
            let running = books.running.get(key);
            let facts = Facts {
                is_kept: kept.is_some(),
                is_partners: books.partners.contains(&key.0),
                is_orphan: running.is_some_and(|one| one.plan.cause == Cause::Orphaned),
                standing: standing.word.map(|word| word.standing),
            };
            let why = cause(facts);
            match (running, why) {
                (Some(running), why) => self.go_on(running, why, standing, at).await?,
                (None, Some(why))
                    if (standing.is_kept || facts.is_kept)
                        && books.retired.get(key) <= books.seen.get(key) =>
                {
                    let policy = kept.unwrap_or(standing.policy);
                    self.begin(key, Plan::begin(why, policy, at), at).await?;
                }
                (None, _) => {}
            }
            // Only now: what was kept and is not any more has its retirement.
            let changed = GuestStanding {
                is_kept: facts.is_kept,
                policy: kept.unwrap_or(standing.policy),
                ..standing.clone()
            };
            if changed != *standing || due.contains(key) {
                self.store
                    .guest_standings()
                    .note(std::slice::from_ref(&changed))
                    .await?;
                *standing = changed;
            }
        }
        self.write_receipts().await
    }

    async fn begin(&self, key: &Key, plan: Plan, at: Seconds) -> anyhow::Result<()> {
        let id = Uuid::new_v4().to_string();
        let (cloud_id, project_id) = key;
        let retirements = self.store.retirements();
        if retirements
            .begin(&id, cloud_id, project_id, &plan, at)
            .await?
        {
            tracing::warn!(
                retirement = id,
                partner = self.name_of(cloud_id),
                project = project_id,
                cause = %plan.cause,
                "a partner's project is being retired"
            );
            let subject = format!("{}/{project_id}", self.name_of(cloud_id));
            self.audit("daemon", "retirement.begun", &subject, plan.cause.as_str())
                .await;
        }
        Ok(())
    }

    async fn go_on(
        &self,
        running: &Retirement,
        why: Option<Cause>,
        standing: &GuestStanding,
        at: Seconds,
    ) -> anyhow::Result<()> {
        let retirements = self.store.retirements();
        match running.plan.next(why, standing.word, at) {
            Next::Stay => {
                if running.waits_since.is_some() {
                    retirements.wait(&running.id, None).await?;
                }
            }
            Next::AskHome => {
                if running.waits_since.is_none() {
                    retirements.wait(&running.id, Some(at)).await?;
                }
            }
            Next::Become(plan) => {
                if retirements.replan(running, &plan, at).await? {
                    tracing::info!(
                        retirement = running.id,
                        partner = self.name_of(&running.cloud_id),
                        project = running.project_id,
                        cause = %plan.cause,
                        phase = %plan.phase,
                        "a retirement goes on"
                    );
                    let action = format!("retirement.{}", plan.phase);
                    self.audit("daemon", &action, &running.id, plan.cause.as_str())
                        .await;
                }
            }
        }
        Ok(())
    }

    /// What the database has, with the projects that are new.
    async fn books(&self) -> anyhow::Result<Books> {
        let standings = self.store.guest_standings().list().await?;
        let mut agreements: BTreeMap<CloudId, Vec<Agreement>> = BTreeMap::new();
        for agreement in self.store.agreements().list(None).await? {
            if agreement.ended_at.is_none() {
                let of_partner = agreements.entry(agreement.partner.clone()).or_default();
                of_partner.push(agreement);
            }
        }
        let records = self.store.partners().list().await?;
        let partners: BTreeSet<_> = records
            .into_iter()
            .map(|record| record.partner.cloud_id)
            .collect();
        agreements.retain(|cloud_id, _| partners.contains(cloud_id));
        let (mut running, mut retired) = (BTreeMap::new(), BTreeMap::new());
        for one in self.store.retirements().list().await? {
            let key = (one.cloud_id.clone(), one.project_id.clone());
            match (one.plan.phase, one.ended_at) {
                (Phase::Deleted, Some(ended)) => {
                    let last: &mut Option<Seconds> = retired.entry(key).or_default();
                    *last = (*last).max(Some(ended));
                }
                (phase, _) if !phase.is_over() => drop(running.insert(key, one)),
                _ => {}
            }
        }
        let retired = retired.into_iter();
        let mut books = Books {
            standings: standings
                .into_iter()
                .map(|one| ((one.cloud_id.clone(), one.project_id.clone()), one))
                .collect(),
            agreements,
            partners,
            running,
            retired: retired.filter_map(|(key, at)| Some((key, at?))).collect(),
            seen: BTreeMap::new(),
        };
        if self.board.is_shared() {
            self.host.read_projects().await?;
        }
        for project in self.host.projects() {
            let key = (project.cloud_id, project.project_id);
            books.meet(&key);
            if books.retired.get(&key) > Some(&project.last_seen)
                && self.host.note_next_visit(&key.0, &key.1)
            {
                self.board.tell(Bulletin::Retired {
                    partner: key.0.clone(),
                    project_id: key.1.clone(),
                });
            }
            books.seen.insert(key, project.last_seen);
        }
        let named: Vec<Key> = books
            .agreements
            .iter()
            .flat_map(|(cloud_id, all)| all.iter().map(move |one| (cloud_id, one)))
            .filter_map(|(cloud_id, agreement)| match &agreement.projects {
                Projects::One(id) => Some((cloud_id.clone(), id.clone())),
                Projects::All => None,
            })
            .collect();
        for key in &named {
            books.meet(key);
        }
        Ok(books)
    }
}

impl Books {
    /// A project that may be new: nothing is known of it, so that nothing ends with it.
    fn meet(&mut self, key: &Key) {
        self.standings
            .entry(key.clone())
            .or_insert_with(|| GuestStanding {
                cloud_id: key.0.clone(),
                project_id: key.1.clone(),
                is_kept: false,
                policy: alliance_core::terms::Retirement::default(),
                word: None,
            });
    }
}

#[cfg(test)]
mod tests;
