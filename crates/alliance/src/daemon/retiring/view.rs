//! Retirements and orphans, as operators see and steer them.

use std::collections::{BTreeMap, BTreeSet};

use alliance_core::cloud::CloudId;
use alliance_core::keystone_id;
use alliance_core::retirement::{Cause, Fate, Next, Phase, Plan, Receipt, keeping};
use alliance_store::{Retirement, RetirementItem, StoredReceipt};

use super::{Books, Key};
use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::daemon::delegate::ApiError;
use crate::daemon::metrics::RetirementLabels;
use crate::wire::{OrphanView, ReceiptView, RetiredItem, RetirementOrder, RetirementView};

impl Daemon {
    /// All retirements: of partners' projects here, the newest first, then of ours there.
    pub(crate) async fn retirements(&self) -> anyhow::Result<Vec<RetirementView>> {
        let receipts = self.store.retirements().receipts().await?;
        let mut views = Vec::new();
        for found in self.store.retirements().list().await? {
            views.push(self.retirement_here(found, Vec::new(), &receipts).await?);
        }
        views.extend(self.retirements_there(&receipts));
        Ok(views)
    }

    /// How many of those that run here are in each state. Without the database: none.
    pub(crate) async fn count_retirements(&self) -> BTreeMap<RetirementLabels, i64> {
        let mut counts = BTreeMap::new();
        let all = self.store.retirements().list().await.unwrap_or_default();
        for one in all.iter().filter(|one| one.ended_at.is_none()) {
            let state = match one.plan.phase {
                _ if one.remainder > 0 => "remainder",
                _ if one.waits_since.is_some() => "waiting",
                phase => phase.as_str(),
            };
            *counts.entry(RetirementLabels { state }).or_default() += 1;
        }
        counts
    }

    /// One, with its resources.
    pub(crate) async fn retirement(&self, id: &str) -> anyhow::Result<Option<RetirementView>> {
        let retirements = self.store.retirements();
        let receipts = retirements.receipts().await?;
        if let Some(found) = retirements.by_id(id).await? {
            let items = retirements.items(id).await?;
            return Ok(Some(self.retirement_here(found, items, &receipts).await?));
        }
        let mut there = self.retirements_there(&receipts);
        Ok(there.find(|view| view.id == id))
    }

    /// Does to one what the operator wants.
    ///
    /// # Errors
    /// If it is none, or over.
    pub(crate) async fn steer_retirement(
        &self,
        id: &str,
        order: RetirementOrder,
    ) -> Result<RetirementView, ApiError> {
        let retirements = self.store.retirements();
        let absent = || {
            ApiError::not_found(format!(
                "no project is being retired here under the id {id:?}; see alliance retirement list"
            ))
        };
        let found = retirements.by_id(id).await?.ok_or_else(absent)?;
        if found.plan.phase.is_over() {
            return Err(ApiError::conflict("it is over"));
        }
        let plan = match order {
            RetirementOrder::Hold => Plan {
                is_held: true,
                ..found.plan
            },
            RetirementOrder::Resume => Plan {
                is_held: false,
                ..found.plan
            },
            RetirementOrder::Now => found.plan.hurry(now()),
        };
        if !retirements.replan(&found, &plan, now()).await? {
            return Err(ApiError::conflict("it has just gone on; look again"));
        }
        self.audit("operator", &format!("retirement.{order}"), id, "")
            .await;
        self.look_at_retirements();
        self.retirement(id).await?.ok_or_else(absent)
    }

    /// Projects of partners, or of who was one, that no agreement keeps and nobody retires.
    pub(crate) async fn orphans(&self) -> anyhow::Result<Vec<OrphanView>> {
        let at = now();
        let books = self.books().await?;
        let mut names: BTreeMap<Key, (Option<String>, i64)> = BTreeMap::new();
        for project in self.host.projects() {
            let key = (project.cloud_id, project.project_id);
            names.insert(key, (project.name, project.last_seen));
        }
        let mut resources: BTreeMap<Key, u64> = BTreeMap::new();
        for (cloud_id, project_id, count) in self.store.usage().lasting().await? {
            resources.insert((cloud_id, project_id), count);
        }
        let known = names.keys().chain(books.standings.keys());
        let all: BTreeSet<&Key> = known.chain(resources.keys()).collect();
        let is_orphan = |key: &&Key| {
            let count = resources.get(*key).copied().unwrap_or_default();
            !books.keeps(key, at)
                && !books.running.contains_key(*key)
                && (count > 0 || books.retired.get(*key) <= books.seen.get(*key))
        };
        let orphans = all.into_iter().filter(is_orphan).map(|key| {
            let (name, last_seen) = names.get(key).cloned().unzip();
            OrphanView {
                partner: self.name_of(&key.0),
                partner_id: key.0.clone(),
                project_id: key.1.clone(),
                name: name.flatten(),
                host_project_id: keystone_id::project(&key.0, &key.1),
                resources: resources.get(key).copied().unwrap_or_default(),
                last_seen,
            }
        });
        Ok(orphans.collect())
    }

    /// Begins to retire orphans: those with these ids here, or all.
    ///
    /// # Errors
    /// If one of them is no orphan; nothing has begun then.
    pub(crate) async fn retire_orphans(
        &self,
        host_project_ids: &[String],
        is_all: bool,
    ) -> Result<Vec<RetirementView>, ApiError> {
        let orphans = self.orphans().await?;
        if let Some(id) = host_project_ids
            .iter()
            .find(|id| !orphans.iter().any(|one| one.host_project_id == **id))
        {
            return Err(ApiError::not_found(format!(
                "project {id} is no orphan; see alliance orphan list, which names them by their ids here"
            )));
        }
        let standings = self.store.guest_standings().list().await?;
        let mut keys = Vec::new();
        for orphan in orphans {
            if !is_all && !host_project_ids.contains(&orphan.host_project_id) {
                continue;
            }
            let key = (orphan.partner_id, orphan.project_id);
            let known = standings
                .iter()
                .find(|one| (&one.cloud_id, &one.project_id) == (&key.0, &key.1));
            let policy = known.map(|one| one.policy).unwrap_or_default();
            let at = now();
            self.begin(&key, Plan::begin(Cause::Orphaned, policy, at), at)
                .await?;
            keys.push(key);
        }
        self.look_at_retirements();
        let mut begun = self.retirements().await?;
        begun.retain(|view| {
            let key = (view.partner_id.clone(), view.project_id.clone());
            view.here && view.ended_at.is_none() && keys.contains(&key)
        });
        Ok(begun)
    }

    async fn retirement_here(
        &self,
        found: Retirement,
        items: Vec<RetirementItem>,
        receipts: &[StoredReceipt],
    ) -> anyhow::Result<RetirementView> {
        let own = self.identity.cloud_id();
        let last = receipts.iter().filter(|one| {
            one.host == *own && one.home == found.cloud_id && one.receipt.retirement == found.id
        });
        let receipt = match last.max_by_key(|one| one.seq) {
            Some(last) => {
                let heard = self.store.retirements().acknowledged(&found.cloud_id);
                let (acknowledged, refusal) = heard.await?;
                Some(ReceiptView {
                    revision: last.receipt.revision,
                    acknowledged: acknowledged >= last.seq,
                    refusal: refusal.filter(|_| acknowledged < last.seq),
                })
            }
            None => None,
        };
        let plan = found.plan;
        let waits = plan.next(Some(plan.cause), None, now()) == Next::AskHome;
        Ok(RetirementView {
            here: true,
            partner: self.name_of(&found.cloud_id),
            host_project_id: keystone_id::project(&found.cloud_id, &found.project_id),
            partner_id: found.cloud_id,
            project_id: found.project_id,
            id: found.id,
            cause: plan.cause,
            phase: plan.phase,
            began: found.began,
            quarantine_at: Some(plan.quarantine_at),
            quarantined_at: plan.quarantined_at,
            delete_at: plan.delete_at,
            held: plan.is_held,
            waits_since: found.waits_since.filter(|_| waits),
            remainder: found.remainder,
            ended_at: found.ended_at,
            receipt,
            items: items
                .into_iter()
                .map(|item| RetiredItem {
                    kind: item.kind,
                    id: item.id,
                    name: item.name,
                    state: item.state.as_str().to_owned(),
                    detail: item.detail,
                })
                .collect(),
        })
    }

    /// What hosts say that they have retired of ours, by their last receipts.
    fn retirements_there(
        &self,
        receipts: &[StoredReceipt],
    ) -> impl Iterator<Item = RetirementView> {
        let own = self.identity.cloud_id();
        let mut last: BTreeMap<(CloudId, String), Vec<&Receipt>> = BTreeMap::new();
        for one in receipts.iter().filter(|one| one.home == *own) {
            let key = (one.host.clone(), one.receipt.retirement.clone());
            let pages = last.entry(key).or_default();
            pages.retain(|page| page.revision == one.receipt.revision);
            pages.push(&one.receipt);
        }
        let views: Vec<_> = last
            .into_iter()
            .filter_map(|((host, id), pages)| {
                let first = *pages.first()?;
                let items: Vec<RetiredItem> = pages.iter().flat_map(|page| listed(page)).collect();
                let remainder = items
                    .iter()
                    .filter(|item| item.state == Fate::Left.as_str());
                let remainder = u32::try_from(remainder.count()).unwrap_or(u32::MAX);
                Some(RetirementView {
                    here: false,
                    partner: self.name_of(&host),
                    host_project_id: keystone_id::project(own, &first.project_id),
                    partner_id: host,
                    project_id: first.project_id.clone(),
                    id,
                    cause: first.cause,
                    phase: if remainder == 0 {
                        Phase::Deleted
                    } else {
                        Phase::Deletion
                    },
                    began: first.began,
                    quarantine_at: None,
                    quarantined_at: None,
                    delete_at: None,
                    held: false,
                    waits_since: None,
                    remainder,
                    ended_at: (remainder == 0).then_some(first.at),
                    receipt: Some(ReceiptView {
                        revision: first.revision,
                        acknowledged: true,
                        refusal: None,
                    }),
                    items,
                })
            })
            .collect();
        views.into_iter()
    }
}

impl Books {
    fn keeps(&self, (cloud_id, project_id): &Key, at: i64) -> bool {
        let agreements = self.agreements.get(cloud_id).map_or(&[][..], Vec::as_slice);
        keeping(agreements, project_id, at).next().is_some()
    }
}

fn listed(page: &Receipt) -> Vec<RetiredItem> {
    let items = page.items.iter();
    items
        .map(|item| RetiredItem {
            kind: item.kind.clone(),
            id: item.id.clone(),
            name: item.name.clone(),
            state: item.fate.as_str().to_owned(),
            detail: item.reason.clone(),
        })
        .collect()
}
