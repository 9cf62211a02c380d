//! The host's side: it takes orders in, and tells how far they are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alliance_core::keystone_id::is_foreign_id;
use alliance_core::label::clean;
use alliance_core::provision::{
    Action, Node, NotAllowed, ORDER_LIFETIME, Plan, ProvisionOrder, allow, changes, require_name,
    stack_id,
};
use alliance_core::refusal::Reason;
use alliance_core::statement::{Named, Project};
use alliance_core::{CLOCK_SKEW, Seconds};
use alliance_peer::error::ApiError;
use alliance_peer::statement::StatementError;
use alliance_peer::wire::{
    PlanAnswer, PlanQuestion, ProvisionAnswer, ResourceReport, StackReport, StacksAnswer,
    StacksQuery,
};
use alliance_store::{Stack, Taken, TakenOrder};

use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::daemon::directory::Known;
use crate::daemon::publish::NotMade;
use crate::wire::ProjectToMake;

/// How long Keystone is waited for; home tells the order again.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest name that is kept, in characters.
const NAME_LEN: usize = 64;

impl Daemon {
    /// Takes an order of a partner's in.
    ///
    /// # Errors
    /// Why it is not carried out.
    pub(crate) async fn take_order(
        self: &Arc<Self>,
        known: &Known,
        jws: String,
    ) -> Result<ProvisionAnswer, ApiError> {
        let (name, own) = (&known.partner.name, self.identity.cloud_id());
        let order: ProvisionOrder = match known.read(&jws, own) {
            Ok(order) => order,
            Err(error) => {
                tracing::warn!(partner = name, %error, "an order is not believed");
                if matches!(error, StatementError::UnknownKey { .. }) {
                    self.pull_soon(&known.partner.cloud_id);
                    return Err(ApiError::unavailable(Reason::HomeError));
                }
                let why = format!("the order is not the caller's to this cloud: {error}");
                return Err(ApiError::malformed(one_line(&why)));
            }
        };
        require_timely(&order, now())?;
        require_place(&order.project, &order.stack)?;
        match &order.action {
            Action::Prepare => {
                self.require_allowed(known, &order.project, None).await?;
                self.have_project(known, &order).await?;
                return Ok(ProvisionAnswer { stack: None });
            }
            Action::Apply { plan, .. } => {
                self.require_allowed(known, &order.project, Some(plan))
                    .await?;
                let home = &known.partner.cloud_id;
                if !self.host.has_project(home, &order.project) {
                    self.have_project(known, &order).await?;
                }
            }
            Action::Destroy | Action::Cancel => {}
        }
        let id = stack_id(own, &known.partner.cloud_id, &order.project, &order.stack);
        let taken = TakenOrder {
            stack_id: id.clone(),
            home: known.partner.cloud_id.clone(),
            project_id: order.project.clone(),
            name: order.stack.clone(),
            id: order.jti.clone(),
            number: order.number,
            action: order.action.as_str().to_owned(),
            signed: jws,
        };
        let provisions = self.store.provisions();
        match provisions.take_in(&taken, now()).await {
            Ok(Taken::New) => {
                tracing::info!(
                    partner = name,
                    stack = id,
                    order = order.jti,
                    action = order.action.as_str(),
                    "an order was taken in"
                );
                let action = format!("provision.{}", order.action.as_str());
                let detail = format!("{} of {}: {}", order.stack, order.project, order.jti);
                self.audit(name, &action, name, &detail).await;
            }
            Ok(Taken::Known) => {}
            Ok(Taken::Old) => {
                let last = provisions.stack(&id).await.map_err(ApiError::internal)?;
                if !last.is_some_and(|last| self.is_the_same(known, &last, &order.action)) {
                    return Err(ApiError::order_conflict(
                        "a later order for the stack was given",
                    ));
                }
            }
            Ok(Taken::Nothing) => return Ok(ProvisionAnswer { stack: None }),
            Ok(Taken::Busy(with)) if !self.is_the_same(known, &with, &order.action) => {
                return Err(ApiError::order_conflict(format!(
                    "another order for the stack is being carried out ({}, {})",
                    with.action, with.order_id
                )));
            }
            Ok(Taken::Busy(_)) => {}
            Err(error) => return Err(ApiError::internal(error)),
        }
        let stack = provisions.stack(&id).await.map_err(ApiError::internal)?;
        let report = match stack {
            Some(stack) => Some(self.report(known, stack).await?),
            None => None,
        };
        Ok(ProvisionAnswer { stack: report })
    }

    /// What would be done for a plan of a partner's.
    ///
    /// # Errors
    /// Why nothing would.
    pub(crate) async fn plan_here(
        &self,
        known: &Known,
        question: &PlanQuestion,
    ) -> Result<PlanAnswer, ApiError> {
        require_place(&question.project_id, &question.stack)?;
        let plan = Some(&question.plan);
        self.require_allowed(known, &question.project_id, plan)
            .await?;
        let (own, home) = (self.identity.cloud_id(), &known.partner.cloud_id);
        let id = stack_id(own, home, &question.project_id, &question.stack);
        let steps = self.store.provisions().steps(&id).await;
        let steps = steps.map_err(ApiError::internal)?;
        let made: BTreeMap<String, Node> = steps
            .into_iter()
            .map(|step| (step.resource, step.node))
            .collect();
        let changes = changes(&question.plan, &made, question.replace);
        let changes = changes.map_err(|error| ApiError::order_conflict(one_line(&error)))?;
        Ok(PlanAnswer { changes })
    }

    /// How the stacks of a partner's projects are.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn stacks_here(
        &self,
        known: &Known,
        query: &StacksQuery,
    ) -> Result<StacksAnswer, ApiError> {
        let home = &known.partner.cloud_id;
        let stacks = self.store.provisions();
        let stacks = stacks.stacks(Some(home), query.project.as_deref()).await;
        let mut answer = StacksAnswer::default();
        for stack in stacks.map_err(ApiError::internal)? {
            if query.stack.as_ref().is_none_or(|name| *name == stack.name) {
                answer.stacks.push(self.report(known, stack).await?);
            }
        }
        Ok(answer)
    }

    /// Whether this cloud lets a partner's project have what a plan asks for. `alliance work` looks
    /// again before it makes anything.
    async fn require_allowed(
        &self,
        known: &Known,
        project_id: &str,
        plan: Option<&Plan>,
    ) -> Result<(), ApiError> {
        let retirements = self.store.retirements();
        let home = &known.partner.cloud_id;
        let is_under_way = retirements.is_under_way(home, project_id).await;
        if is_under_way.map_err(ApiError::internal)? {
            return Err(ApiError::not_allowed(NotAllowed::Retiring.to_string()));
        }
        let region = self.config.keystone.region.as_deref();
        let allowed = allow(plan, &known.given, (project_id, region), now());
        match allowed {
            Ok(_) => Ok(()),
            Err(why) => Err(ApiError::not_allowed(why.to_string())),
        }
    }

    /// Has our Keystone make the project, if it is not there: its plugin alone can give it the id that
    /// both clouds compute.
    async fn have_project(&self, known: &Known, order: &ProvisionOrder) -> Result<(), ApiError> {
        let home = &known.partner.cloud_id;
        let called = order.called.clone();
        let (name, domain_name) = called.map_or_else(
            || (order.project.clone(), String::new()),
            |called| (called.name, called.domain),
        );
        let wanted = ProjectToMake {
            cloud_id: home.clone(),
            project_id: order.project.clone(),
            name: clean(&name, NAME_LEN),
            domain_name: clean(&domain_name, NAME_LEN),
        };
        match self.publisher.make_project(wanted, PATIENCE).await {
            Ok(()) => {}
            Err(NotMade::Refused(why)) => return Err(ApiError::not_allowed(one_line(&why))),
            Err(error @ NotMade::NoAnswer) => return Err(ApiError::not_yet(error.to_string())),
        }
        let domain = Named {
            id: String::new(),
            name: domain_name,
        };
        let id = order.project.clone();
        self.host.note_prepared(home, &Project { id, name, domain });
        let subject = &known.partner.name;
        self.audit(subject, "provision.prepare", subject, &order.project)
            .await;
        Ok(())
    }

    /// Whether a stack is being made as this order wants it.
    fn is_the_same(&self, known: &Known, stack: &Stack, wanted: &Action) -> bool {
        let own = self.identity.cloud_id();
        let under_way = known.read::<ProvisionOrder>(&stack.signed, own);
        under_way.is_ok_and(|order| order.action == *wanted) && stack.cancel.is_none()
    }

    async fn report(&self, known: &Known, stack: Stack) -> Result<StackReport, ApiError> {
        let steps = self.store.provisions().steps(&stack.id).await;
        let steps = steps.map_err(ApiError::internal)?;
        let mut resources: BTreeMap<String, ResourceReport> = BTreeMap::new();
        let order = known.read::<ProvisionOrder>(&stack.signed, self.identity.cloud_id());
        if let Ok(Action::Apply { plan, .. }) = order.map(|order| order.action)
            && stack.state.is_open()
        {
            for (name, node) in plan.nodes() {
                let waiting = ResourceReport {
                    resource: name.clone(),
                    kind: node.kind,
                    state: "waiting".to_owned(),
                    id: None,
                    detail: None,
                };
                resources.insert(name.clone(), waiting);
            }
        }
        for step in steps {
            let report = ResourceReport {
                resource: step.resource.clone(),
                kind: step.node.kind,
                state: step.state.as_str().to_owned(),
                id: step.resource_id,
                detail: step.detail,
            };
            resources.insert(step.resource, report);
        }
        Ok(StackReport {
            id: stack.id,
            project_id: stack.project_id,
            name: stack.name,
            state: stack.state,
            action: stack.action,
            order_id: stack.order_id,
            detail: stack.detail,
            changed_at: stack.changed_at,
            resources: resources.into_values().collect(),
        })
    }
}

fn require_timely(order: &ProvisionOrder, now: Seconds) -> Result<(), ApiError> {
    let lives = order.exp.saturating_sub(order.iat);
    if order.iat > now + CLOCK_SKEW || order.exp <= now || lives > ORDER_LIFETIME {
        return Err(ApiError::malformed(
            "the order is dated wrongly; compare the clouds' clocks",
        ));
    }
    Ok(())
}

fn require_place(project_id: &str, stack: &str) -> Result<(), ApiError> {
    if !is_foreign_id(project_id) {
        return Err(ApiError::malformed("that is no project's id"));
    }
    require_name(stack).map_err(|error| ApiError::malformed(error.to_string()))
}

fn one_line(text: &impl ToString) -> String {
    text.to_string().replace('\n', "; ")
}
