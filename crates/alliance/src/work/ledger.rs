//! Whose a resource is, and the writing down.

use std::collections::{BTreeSet, HashMap};
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alliance_cloud::metering::Sighting;
use alliance_core::cloud::CloudId;
use alliance_core::keystone_id;
use alliance_core::label::clean;
use alliance_core::notice::{self, Condition, Notice, State, Trouble};
use alliance_core::usage::{Fact, Kind, Millis, Owner, Resource};
use alliance_store::{Error, Heard, Lease, Notifications, Store};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::daemon::now;

/// Partners' projects are read again for one that is not known, but not more often than this: most are
/// this cloud's own.
const BETWEEN_READINGS: Duration = Duration::from_secs(1);
/// Longest reason for a server's error that is told, in characters.
const REASON: usize = 128;
/// Pause after the database failed.
const AGAIN: Duration = Duration::from_secs(1);

/// Writes down what partners' projects use.
pub(super) struct Ledger {
    store: Store,
    lease: Lease,
    region: String,
    projects: Mutex<Projects>,
    /// Partners' users by their ids here: their ids at home, as far as Keystone knows them.
    users: std::sync::Mutex<HashMap<String, Option<String>>>,
}

/// Partners' projects by their ids here.
#[derive(Default)]
struct Projects {
    owners: HashMap<String, (CloudId, Owner)>,
    read: Option<Instant>,
}

/// Something that a service said, of whosever resource.
pub(super) struct Said {
    pub resource: Resource,
    pub project_id: Option<String>,
    pub fact: Fact,
}

impl Ledger {
    pub(super) fn new(store: Store, lease: Lease, region: String) -> Self {
        Self {
            store,
            lease,
            region,
            projects: Mutex::default(),
            users: std::sync::Mutex::default(),
        }
    }

    /// What of it is about partners' projects.
    ///
    /// # Errors
    /// The database's.
    async fn of_partners(&self, said: Vec<Said>) -> Result<Vec<Heard>, Error> {
        let mut projects = self.projects.lock().await;
        let is_unknown = |one: &Said| {
            one.project_id
                .as_ref()
                .is_some_and(|id| !projects.owners.contains_key(id))
        };
        if said.iter().any(is_unknown)
            && projects
                .read
                .is_none_or(|read| read.elapsed() >= BETWEEN_READINGS)
        {
            let known = self.store.guest_projects().list().await?;
            let owners = known.into_iter().map(|project| {
                let here = keystone_id::project(&project.cloud_id, &project.project_id);
                let owner = Owner {
                    project_id: project.project_id,
                    user_id: None,
                };
                (here, (project.cloud_id, owner))
            });
            projects.owners = owners.collect();
            projects.read = Some(Instant::now());
        }
        let users = self.users();
        let heard = said.into_iter().filter_map(|one| {
            let owner = match one.project_id {
                Some(id) => {
                    let (home, mut owner) = projects.owners.get(&id)?.clone();
                    let user_id = one.fact.user_id.as_ref();
                    owner.user_id = user_id.and_then(|id| users.get(id)?.clone());
                    Some((home, owner))
                }
                None => None,
            };
            Some(Heard {
                resource: one.resource,
                owner,
                fact: one.fact,
            })
        });
        Ok(heard.collect())
    }

    fn users(&self) -> MutexGuard<'_, HashMap<String, Option<String>>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What of it is about partners' projects, with the error that was seen or was not.
    async fn conditions(
        &self,
        seen: Vec<(Said, State, Option<String>)>,
    ) -> Result<Vec<Condition>, Error> {
        let mut states = HashMap::new();
        let mut said = Vec::with_capacity(seen.len());
        for (one, state, reason) in seen {
            states.insert(one.resource.clone(), (state, reason));
            said.push(one);
        }
        let heard = self.of_partners(said).await?;
        let conditions = heard.into_iter().filter_map(|one| {
            let (home, owner) = one.owner?;
            let (state, reason) = states.get(&one.resource)?;
            let notice = Notice {
                project_id: Some(owner.project_id),
                user_id: owner.user_id,
                region: Some(self.region.clone()),
                reason: reason.clone(),
                ..Notice::new(notice::Kind::ServerFailed, one.resource.id, one.fact.at)
            };
            Some(Condition::new(home, "", *state, one.fact.at, notice))
        });
        Ok(conditions.collect())
    }

    /// Notices which servers are in error, and which are not any more.
    ///
    /// # Errors
    /// The database's; the next listing says it again.
    pub(super) async fn watch_servers(&self, seen: &[Sighting], at: Millis) -> Result<(), Error> {
        let seen = seen.iter().map(|one| {
            let said = Said {
                resource: one.resource.clone(),
                project_id: Some(one.project_id.clone()),
                fact: Fact {
                    at,
                    ..one.fact.clone()
                },
            };
            let state = if one.is_in_error {
                State::Holds
            } else {
                State::Ceased
            };
            let reason = one.reason.as_ref().map(|reason| clean(reason, REASON));
            (said, state, reason.filter(|reason| !reason.is_empty()))
        });
        let conditions = self.conditions(seen.collect()).await?;
        self.store
            .notices()
            .watch(Some(&self.lease), &conditions, now())
            .await?;
        Ok(())
    }

    /// Notices which servers went into error, as notifications say. What is not stored is seen when the
    /// servers are listed.
    ///
    /// # Errors
    /// If this process is no longer the one that does so.
    pub(super) async fn hear_troubles(&self, troubles: &[Trouble]) -> anyhow::Result<()> {
        let heard = troubles.iter().map(|one| {
            let said = Said {
                resource: one.resource(),
                project_id: Some(one.project_id.clone()),
                fact: Fact {
                    at: one.at,
                    ..Fact::default()
                },
            };
            (said, State::Holds, one.reason.clone())
        });
        let noticed = async {
            let conditions = self.conditions(heard.collect()).await?;
            let notices = self.store.notices();
            notices.watch(Some(&self.lease), &conditions, now()).await
        };
        match noticed.await {
            Ok(_) => Ok(()),
            Err(error @ Error::LeaseLost(_)) => Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "servers in error are noticed at the next listing");
                Ok(())
            }
        }
    }

    /// The users of partners' projects of whom it is not known who they are at home.
    pub(super) async fn strangers(&self, said: &[Said]) -> BTreeSet<String> {
        let projects = self.projects.lock().await;
        let users = self.users();
        let of_partners = said.iter().filter(|one| {
            let project = one.project_id.as_ref();
            project.is_some_and(|id| projects.owners.contains_key(id))
        });
        of_partners
            .filter_map(|one| one.fact.user_id.clone())
            .filter(|id| !users.contains_key(id))
            .collect()
    }

    /// Who that user is at home, if somebody's.
    pub(super) fn is_at_home(&self, user_id: String, home_id: Option<String>) {
        self.users().insert(user_id, home_id);
    }

    /// Writes down what notifications say. Returns only when it is stored.
    ///
    /// # Errors
    /// If this process is no longer the one that does so.
    pub(super) async fn hear(&self, said: impl Fn() -> Vec<Said>) -> anyhow::Result<()> {
        loop {
            let stored = async {
                let heard = self.of_partners(said()).await?;
                if heard.is_empty() {
                    return Ok(0);
                }
                let usage = self.store.usage();
                usage.learn(&self.lease, &self.region, &heard, now()).await
            };
            match stored.await {
                Ok(changed) => {
                    tracing::debug!(changed, "usage noted");
                    return Ok(());
                }
                Err(error @ Error::LeaseLost(_)) => return Err(error.into()),
                Err(error) => {
                    tracing::error!(%error, "usage was not stored; trying again");
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// Writes down how many notifications there were; whether that was possible.
    ///
    /// # Errors
    /// If this process is no longer the one that does so.
    pub(super) async fn count(&self, counts: Notifications) -> anyhow::Result<bool> {
        match self.store.usage().count(&self.lease, counts).await {
            Ok(()) => Ok(true),
            Err(error @ Error::LeaseLost(_)) => Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "it is written down later how many notifications there were");
                Ok(false)
            }
        }
    }

    /// Writes down what a complete listing shows, and that what it lacks has ended.
    ///
    /// # Errors
    /// The database's; the next listing says it again.
    pub(super) async fn list(
        &self,
        kind: Kind,
        began: Millis,
        said: Vec<Said>,
    ) -> Result<usize, Error> {
        let listed = self.of_partners(said).await?;
        let usage = self.store.usage();
        usage
            .list(&self.lease, &self.region, (kind, began), &listed, now())
            .await
    }
}
