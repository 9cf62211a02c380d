//! At the host: what of limits, agreements, retirements and stacks partners' homes should know.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use alliance_core::Seconds;
use alliance_core::agreement::{Agreement, Projects};
use alliance_core::cloud::CloudId;
use alliance_core::label::clean;
use alliance_core::notice::{Condition, Kind, Notice, State, near};
use alliance_core::provision::StackState;
use alliance_core::retirement::Phase;
use alliance_store::{ProjectLimits, Retirement, Stack};
use tokio::time::{MissedTickBehavior, interval};

use crate::daemon::Daemon;
use crate::daemon::clock::now;

/// How often is looked.
const LOOK: Duration = Duration::from_secs(5);
const DAY: Seconds = 86_400;
/// How long before its end an agreement is first said to end.
const SOON: Seconds = 7 * DAY;
/// What has been over for longer is not told by a daemon that looks for the first time.
const RECENT: Seconds = DAY;
/// How long notices are kept, told or not.
const KEPT: Seconds = 90 * DAY;
/// How often those that are older are looked for.
const SWEEP: Duration = Duration::from_secs(3600);
/// Longest reason that is told, in characters.
const REASON: usize = 120;

impl Daemon {
    /// Looks for what homes should know. Runs for ever.
    pub(crate) async fn watch_for_notices(self: Arc<Self>) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.notice_once(now()).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "partners' homes have news"),
                Err(error) => tracing::warn!(
                    error = format!("{error:#}"),
                    "what partners' homes should know was not looked for; trying again"
                ),
            }
        }
    }

    /// Forgets what is old. Runs for ever.
    pub(crate) async fn forget_old_notices(self: Arc<Self>) {
        let mut ticks = interval(SWEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.store.notices().forget_before(now() - KEPT).await {
                tracing::error!(%error, "old notices were not deleted");
            }
        }
    }

    /// Looks once. Returns how much is new.
    pub(super) async fn notice_once(&self, at: Seconds) -> anyhow::Result<usize> {
        let partners = self.directory.partners();
        let homes: HashSet<&CloudId> = partners
            .all()
            .into_iter()
            .filter(|known| known.peer().is_some() && known.partner.role.is_guest())
            .map(|known| &known.partner.cloud_id)
            .collect();
        let mut seen = Vec::new();
        for known in partners.all() {
            seen.extend(known.given.iter().filter_map(|one| ending(one, at)));
        }
        for limits in self.store.project_limits().list().await? {
            seen.extend(nearly_used(&limits));
        }
        let recent = at - RECENT;
        for retirement in self.store.retirements().not_over_since(recent).await? {
            seen.extend(retired(&retirement, at));
        }
        let stacks = self.store.provisions().changed_since(recent).await?;
        seen.extend(stacks.iter().filter_map(carried_out));
        seen.retain(|condition| homes.contains(&condition.home));
        Ok(self.store.notices().watch(None, &seen, at).await?)
    }
}

/// An agreement that ends within a week, and one that ends within a day.
fn ending(agreement: &Agreement, at: Seconds) -> Option<Condition> {
    let till = agreement.terms.till?;
    if !agreement.is_live(at) || till > at + SOON {
        return None;
    }
    let before = if till > at + DAY { SOON } else { DAY };
    let project_id = match &agreement.projects {
        Projects::All => None,
        Projects::One(id) => Some(id.clone()),
    };
    let noticed = (till - before) * 1000;
    let notice = Notice {
        project_id,
        till: Some(till),
        ..Notice::new(Kind::AgreementEnding, &agreement.id, noticed)
    };
    let part = format!("{before}/{till}");
    let home = agreement.partner.clone();
    Some(Condition::new(home, &part, State::Holds, noticed, notice))
}

fn nearly_used(limits: &ProjectLimits) -> Vec<Condition> {
    let at = limits.at * 1000;
    let resources = limits.limits.iter();
    resources
        .map(|(resource, held)| {
            let used = held.found.used.max(0).unsigned_abs();
            let allowed = held.agreed.map(u64::from);
            let notice = Notice {
                project_id: Some(limits.project_id.clone()),
                region: Some(limits.region.clone()),
                used: Some(used),
                allowed,
                ..Notice::new(Kind::QuotaNear, resource.to_string(), at)
            };
            let state = near(used, allowed);
            Condition::new(limits.cloud_id.clone(), "", state, at, notice)
        })
        .collect()
}

fn retired(retirement: &Retirement, now: Seconds) -> Vec<Condition> {
    let plan = &retirement.plan;
    let condition = |kind, state, at: Seconds| {
        let notice = Notice {
            project_id: Some(retirement.project_id.clone()),
            reason: Some(plan.cause.to_string()),
            till: plan.delete_at.filter(|_| !plan.phase.is_over()),
            ..Notice::new(kind, &retirement.id, at * 1000)
        };
        let home = retirement.cloud_id.clone();
        Condition::new(home, "", state, at * 1000, notice)
    };
    let held = if plan.is_held {
        State::Holds
    } else {
        State::Ceased
    };
    let mut seen = vec![
        condition(Kind::RetirementBegan, State::Holds, retirement.began),
        condition(Kind::RetirementHeld, held, now),
    ];
    if let Some(at) = plan.quarantined_at {
        seen.push(condition(Kind::RetirementQuarantined, State::Holds, at));
    }
    if let Some(at) = retirement.ended_at {
        let kind = match plan.phase {
            Phase::Deleted => Kind::RetirementDeleted,
            _ => Kind::RetirementRestored,
        };
        seen.push(condition(kind, State::Holds, at));
    }
    seen
}

fn carried_out(stack: &Stack) -> Option<Condition> {
    let kind = match stack.state {
        StackState::Complete => Kind::StackComplete,
        StackState::Failed => Kind::StackFailed,
        _ => return None,
    };
    let at = stack.changed_at * 1000;
    let reason = stack.detail.as_ref().map(|reason| clean(reason, REASON));
    let notice = Notice {
        project_id: Some(stack.project_id.clone()),
        name: Some(stack.name.clone()),
        reason: reason.filter(|reason| !reason.is_empty()),
        ..Notice::new(kind, &stack.id, at)
    };
    let home = stack.home.clone();
    Some(Condition::new(
        home,
        &stack.order_id,
        State::Holds,
        at,
        notice,
    ))
}
