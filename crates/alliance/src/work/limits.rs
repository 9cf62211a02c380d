//! What agreements allow a partner's project at once becomes the services' own limits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::pending;
use std::time::Duration;

use alliance_cloud::quotas;
use alliance_cloud::services::{Access, ServiceError, Session};
use alliance_core::agreement::{Agreement, covering};
use alliance_core::cloud::CloudId;
use alliance_core::keystone_id;
use alliance_core::limits::{Held, Limits, Order, agreed, decide};
use alliance_core::terms::{Quota, Resource};
use alliance_store::{Error, Lease, ProjectLimits, Store};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::daemon::now;

/// How often the database is asked who has come and what was agreed.
const LOOK: Duration = Duration::from_secs(1);
/// Pause after a failure, at most.
const AGAIN: Duration = Duration::from_secs(5);

/// Whose project, and its id at home.
type Key = (CloudId, String);

/// Sets limits as agreements say, and looks at them every `poll`. Runs for ever, if there is a credential.
///
/// # Errors
/// If this process is no longer the one that does so.
pub(super) async fn run(
    access: Option<Access>,
    poll: Duration,
    store: &Store,
    lease: &Lease,
) -> anyhow::Result<()> {
    let Some(access) = access else {
        return pending().await;
    };
    let keeper = Keeper {
        store,
        lease,
        region: &access.region,
    };
    let mut due: HashMap<Key, (Quota, Instant)> = HashMap::new();
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut not_before = Instant::now();
    loop {
        ticks.tick().await;
        if Instant::now() < not_before {
            continue;
        }
        let kept = keeper.keep(&access, poll, &mut due).await;
        match kept {
            Ok(()) => {}
            Err(Failure::Database(error @ Error::LeaseLost(_))) => return Err(error.into()),
            Err(error) => {
                not_before = Instant::now() + AGAIN;
                tracing::warn!(
                    error = format!("{:#}", anyhow::Error::from(error)),
                    "what agreements allow was not set at the services; it is tried again"
                );
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    Database(#[from] Error),
}

struct Keeper<'a> {
    store: &'a Store,
    lease: &'a Lease,
    region: &'a str,
}

impl Keeper<'_> {
    /// Looks at each project whose time has come, or whose agreement is another.
    async fn keep(
        &self,
        access: &Access,
        poll: Duration,
        due: &mut HashMap<Key, (Quota, Instant)>,
    ) -> Result<(), Failure> {
        let mut wanted = self.wanted().await?;
        due.retain(|key, _| wanted.contains_key(key));
        let at = Instant::now();
        wanted.retain(|key, quota| {
            due.get(key)
                .is_none_or(|(last, next)| last != quota || *next <= at)
        });
        if wanted.is_empty() {
            return Ok(());
        }
        let session = access.log_in().await?;
        let mut before = self.before().await?;
        for (key, quota) in wanted {
            let known = before.remove(&key).unwrap_or_default();
            let (limits, problem) = match set(&session, &key, &quota, &known).await {
                Ok(limits) => (limits, None),
                Err(error) => (known, Some(format!("{:#}", anyhow::Error::from(error)))),
            };
            if let Some(problem) = &problem {
                tracing::warn!(home = %key.0, project = key.1, problem, "limits were not set");
            }
            let next = if problem.is_some() {
                poll.min(AGAIN)
            } else {
                poll
            };
            let seen = ProjectLimits {
                cloud_id: key.0.clone(),
                project_id: key.1.clone(),
                region: self.region.to_owned(),
                limits,
                problem,
                at: now(),
            };
            self.store.project_limits().note(self.lease, &seen).await?;
            due.insert(key, (quota, Instant::now() + next));
        }
        Ok(())
    }

    /// What agreements allow each project that was here.
    async fn wanted(&self) -> Result<BTreeMap<Key, Quota>, Error> {
        let at = now();
        let mut given: BTreeMap<CloudId, Vec<Agreement>> = BTreeMap::new();
        for agreement in self.store.agreements().list(None).await? {
            let of_partner = given.entry(agreement.partner.clone()).or_default();
            of_partner.push(agreement);
        }
        let partners = self.store.partners().list().await?.into_iter();
        let partners = partners.filter(|known| known.partner.require_guest(at).is_ok());
        let guests: BTreeSet<CloudId> = partners.map(|known| known.partner.cloud_id).collect();
        let mut wanted = BTreeMap::new();
        for project in self.store.guest_projects().list().await? {
            let of_partner = given.get(&project.cloud_id).map_or(&[][..], Vec::as_slice);
            let mut covering = covering(of_partner, &project.project_id, at).peekable();
            if guests.contains(&project.cloud_id) && covering.peek().is_some() {
                let quota = agreed(covering.map(|agreement| &agreement.terms));
                wanted.insert((project.cloud_id, project.project_id), quota);
            }
        }
        Ok(wanted)
    }

    /// What is known of them.
    async fn before(&self) -> Result<HashMap<Key, Limits>, Error> {
        let known = self.store.project_limits().list().await?;
        let here = known.into_iter().filter(|one| one.region == self.region);
        Ok(here
            .map(|one| ((one.cloud_id, one.project_id), one.limits))
            .collect())
    }
}

/// Sets what is to be set, and says how each resource stands then.
async fn set(
    session: &Session,
    (cloud_id, project_id): &Key,
    quota: &Quota,
    before: &Limits,
) -> Result<Limits, ServiceError> {
    let here = keystone_id::project(cloud_id, project_id);
    let mut found = quotas::read(session, &here).await?;
    let set_before = |resource: Resource| before.get(&resource).and_then(|held| held.set);
    let mut orders = BTreeMap::new();
    for (resource, seen) in &found {
        match decide(quota.limit(*resource), set_before(*resource), *seen) {
            Order::Keep => continue,
            Order::Set(limit) => orders.insert(*resource, Some(limit)),
            Order::Reset => orders.insert(*resource, None),
        };
    }
    if !orders.is_empty() {
        quotas::write(session, &here, &orders).await?;
        found = quotas::read(session, &here).await?;
        tracing::info!(home = %cloud_id, project = project_id, quota = %quota, "limits set");
    }
    let limits = found.into_iter().map(|(resource, found)| {
        let agreed = quota.limit(resource);
        let is_agreed = agreed.is_some() && found.limit == agreed.map(i64::from);
        let set = match orders.get(&resource) {
            Some(order) => *order,
            None if is_agreed => agreed,
            None => set_before(resource).filter(|_| agreed.is_some()),
        };
        (resource, Held { agreed, set, found })
    });
    Ok(limits.collect())
}
