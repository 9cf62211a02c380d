//! Home's side: orders.

use std::sync::Arc;
use std::time::Duration;

use alliance_cloud::keystone::ProjectQuery;
use alliance_core::cloud::CloudId;
use alliance_core::explanation::ProjectFound;
use alliance_core::keystone_id;
use alliance_core::provision::{
    Action, Called, ORDER_LIFETIME, Plan, ProvisionOrder, read, require_name,
};
use alliance_peer::client::{PeerClient, PeerError};
use alliance_peer::request_id::RequestId;
use alliance_peer::statement;
use alliance_peer::wire::{PlanQuestion, StackReport, StacksQuery};
use alliance_store::GivenOrder;
use anyhow::Context;
use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::daemon::delegate::ApiError;
use crate::daemon::directory::Known;
use crate::wire::{
    OrderRequest, OrderView, OrderWanted, OrderedView, PlanRequest, PlanView, StacksRequest,
    StacksView, TemplateRequest,
};

/// How often hosts are told again what they have not answered.
const AGAIN: Duration = Duration::from_secs(5);

/// What became of sending an order.
enum Told {
    /// The host has it.
    Heard(Option<StackReport>),
    /// The host does not carry it out, and says why.
    Refused(String),
    /// It is told again.
    Later(String),
}

impl Daemon {
    /// Orders something of a host, for a project of this cloud.
    ///
    /// # Errors
    /// Before anything is stored: what is wrong with it.
    pub(crate) async fn order(
        &self,
        request: &OrderRequest,
        by: &str,
    ) -> Result<OrderedView, ApiError> {
        let known = self.host_called(&request.target.partner)?;
        require_name(&request.name).map_err(|error| ApiError::invalid(format!("name: {error}")))?;
        let action = match &request.wanted {
            OrderWanted::Apply { template, replace } => Action::Apply {
                plan: plan(template)?,
                replace: *replace,
            },
            OrderWanted::Prepare => Action::Prepare,
            OrderWanted::Destroy => Action::Destroy,
            OrderWanted::Cancel => Action::Cancel,
        };
        let target = &request.target;
        let project_id = self
            .own_project(&target.project, target.project_domain.as_deref())
            .await?;
        // Only these may come before the project is there.
        let called = match &action {
            Action::Apply { .. } | Action::Prepare => self.called(&project_id).await?,
            Action::Destroy | Action::Cancel => None,
        };
        let place = (&known.partner.cloud_id, &*project_id, &*request.name);
        let given = self.give_order(place, called, &action, by).await?;
        let name = &known.partner.name;
        let action = format!("provision.{}", given.action);
        let detail = format!("{} of {project_id}: {}", given.stack, given.id);
        self.audit(by, &action, name, &detail).await;
        let mut view = OrderedView {
            order_id: given.id.clone(),
            host_project_id: keystone_id::project(self.identity.cloud_id(), &project_id),
            project_id,
            heard: false,
            detail: None,
            stack: None,
        };
        match self.tell_order(&known, &given).await? {
            Told::Heard(stack) => (view.heard, view.stack) = (true, stack),
            Told::Refused(why) => {
                return Err(ApiError::conflict(format!("{name} does not do it: {why}")));
            }
            Told::Later(why) => view.detail = Some(why),
        }
        Ok(view)
    }

    /// Signs and stores an order.
    async fn give_order(
        &self,
        (host, project_id, stack): (&CloudId, &str, &str),
        called: Option<Called>,
        action: &Action,
        by: &str,
    ) -> anyhow::Result<GivenOrder> {
        let provisions = self.store.provisions();
        loop {
            let least = provisions.next_number(host, project_id, stack).await?;
            let at = Timestamp::now();
            let millis = u64::try_from(at.as_millisecond()).unwrap_or_default();
            let order = ProvisionOrder {
                iss: self.identity.cloud_id().clone(),
                aud: host.clone(),
                iat: at.as_second(),
                exp: at.as_second() + ORDER_LIFETIME,
                jti: Uuid::new_v4().to_string(),
                number: least.max(millis),
                project: project_id.to_owned(),
                called: called.clone(),
                stack: stack.to_owned(),
                action: action.clone(),
            };
            let signed = statement::sign(&order, self.identity.signing_key());
            let given = GivenOrder {
                id: order.jti,
                host: host.clone(),
                project_id: order.project,
                stack: order.stack,
                number: order.number,
                action: order.action.as_str().to_owned(),
                signed: signed.context("signing an order")?,
                at: order.iat,
                by: by.to_owned(),
                heard_at: None,
                refused: None,
            };
            // Another one at the same moment has the number.
            if provisions.give(&given).await? {
                return Ok(given);
            }
        }
    }

    /// What a host would do for a plan.
    ///
    /// # Errors
    /// What is wrong with it, here or there.
    pub(crate) async fn plan_at_host(&self, request: &PlanRequest) -> Result<PlanView, ApiError> {
        let known = self.host_called(&request.target.partner)?;
        let plan = plan(&request.template)?;
        let target = &request.target;
        let project_id = self
            .own_project(&target.project, target.project_domain.as_deref())
            .await?;
        let question = PlanQuestion {
            project_id: project_id.clone(),
            stack: request.name.clone(),
            plan,
            replace: request.replace,
        };
        let answer = client(&known)?
            .provision_plan(RequestId::random(), &question)
            .await;
        let answer = answer.map_err(|error| not_told(&known, &error))?;
        Ok(PlanView {
            project_id,
            changes: answer.changes,
        })
    }

    /// How the stacks of a project of this cloud, or of all its projects, are at a host.
    ///
    /// # Errors
    /// If the host does not say.
    pub(crate) async fn stacks_at_host(
        &self,
        request: &StacksRequest,
    ) -> Result<StacksView, ApiError> {
        let known = self.host_called(&request.partner)?;
        let project = match &request.project {
            Some(project) => Some(
                self.own_project(project, request.project_domain.as_deref())
                    .await?,
            ),
            None => None,
        };
        let is_meant = |order: &GivenOrder| {
            order.host == known.partner.cloud_id
                && project.as_ref().is_none_or(|id| *id == order.project_id)
                && request
                    .name
                    .as_ref()
                    .is_none_or(|name| *name == order.stack)
        };
        let mut orders = self.store.provisions().unheard().await?;
        orders.retain(is_meant);
        if let Some(id) = &request.order {
            let one = self.store.provisions().given(id).await?;
            orders.extend(one.filter(|one| is_meant(one) && one.heard_at.is_some()));
        }
        let query = StacksQuery {
            project,
            stack: request.name.clone(),
        };
        let answer = client(&known)?.stacks(RequestId::random(), &query).await;
        let answer = answer.map_err(|error| not_told(&known, &error))?;
        Ok(StacksView {
            stacks: answer.stacks,
            orders: orders.into_iter().map(view).collect(),
        })
    }

    /// Tells hosts what they have not answered. Runs for ever.
    pub(crate) async fn follow_orders(self: Arc<Self>) {
        let mut ticks = interval(AGAIN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.tell_orders().await {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "hosts were not told what is ordered of them; it is tried again"
                );
            }
        }
    }

    pub(super) async fn tell_orders(&self) -> anyhow::Result<()> {
        let partners = self.directory.partners();
        for order in self.store.provisions().unheard().await? {
            let provisions = self.store.provisions();
            let Some(known) = partners.by_cloud(&order.host) else {
                let why = "the host is no partner any more";
                provisions.heard(&order.id, Some(why), now()).await?;
                continue;
            };
            if order.at + ORDER_LIFETIME <= now() {
                let why = "the host did not answer within a day";
                provisions.heard(&order.id, Some(why), now()).await?;
                continue;
            }
            match self.tell_order(known, &order).await? {
                Told::Heard(_) => {
                    tracing::info!(
                        partner = known.partner.name,
                        order = order.id,
                        "the host has the order now"
                    );
                }
                Told::Refused(why) => {
                    tracing::warn!(
                        partner = known.partner.name,
                        order = order.id,
                        why,
                        "the host does not carry an order out"
                    );
                }
                Told::Later(why) => {
                    tracing::debug!(partner = known.partner.name, order = order.id, why);
                }
            }
        }
        Ok(())
    }

    /// Sends an order, and notes what the host says.
    async fn tell_order(&self, known: &Known, order: &GivenOrder) -> anyhow::Result<Told> {
        let Some(client) = known.peer() else {
            return Ok(Told::Later("the partner has no Alliance".to_owned()));
        };
        let own = [self.identity.signing_key().public().to_jwk()];
        let host = &known.partner.cloud_id;
        let signed = self.current::<ProvisionOrder>(&own, host, order.signed.clone())?;
        let told = client.provision(RequestId::random(), signed).await;
        let provisions = self.store.provisions();
        match told {
            Ok(answer) => {
                provisions.heard(&order.id, None, now()).await?;
                Ok(Told::Heard(answer.stack))
            }
            Err(PeerError::Refused(problem))
                if matches!(problem.status, 400..=499) && problem.status != 429 =>
            {
                let why = if problem.code() == "no_such_route" {
                    "its daemon is of a version that takes no orders".to_owned()
                } else {
                    problem.detail
                };
                provisions.heard(&order.id, Some(&why), now()).await?;
                Ok(Told::Refused(why))
            }
            Err(error) => Ok(Told::Later(error.to_string())),
        }
    }

    /// The host of that name.
    fn host_called(&self, name: &str) -> Result<Arc<Known>, ApiError> {
        let partners = self.directory.partners();
        let known = partners
            .by_name(name)
            .ok_or_else(|| ApiError::not_found(format!("there is no partner {name:?}")))?;
        known.partner.require_host(now()).map_err(|reason| {
            ApiError::conflict(format!(
                "{name} is no active host of this cloud ({})",
                reason.code()
            ))
        })?;
        client(known)?;
        Ok(Arc::clone(known))
    }

    /// What a project of this cloud is called, if Keystone says so.
    async fn called(&self, project_id: &str) -> Result<Option<Called>, ApiError> {
        let request_id = RequestId::random().to_string();
        let query = ProjectQuery::Id(project_id);
        let found = self.keystone.projects(query, &request_id).await;
        let found = found.map_err(|error| {
            ApiError::upstream(format!(
                "Keystone did not say what the project is called: {error}"
            ))
        })?;
        Ok(found.into_iter().next().map(|project| Called {
            name: project.name,
            domain: project.domain.name,
        }))
    }

    /// The id of this cloud's project that is meant.
    async fn own_project(&self, project: &str, domain: Option<&str>) -> Result<String, ApiError> {
        let request_id = RequestId::random().to_string();
        match self.project_found(project, domain, &request_id).await? {
            ProjectFound::None => Err(ApiError::not_found(format!(
                "this cloud has no project {project:?}"
            ))),
            ProjectFound::Some {
                is_native: false, ..
            } => Err(ApiError::conflict(format!(
                "{project:?} is no project of this cloud's own"
            ))),
            ProjectFound::Some {
                enabled,
                domain_enabled,
                ..
            } if !(enabled && domain_enabled) => Err(ApiError::conflict(format!(
                "the project {project:?} is disabled"
            ))),
            ProjectFound::Some { id, .. } => Ok(id),
            ProjectFound::Unknown(why) => Err(ApiError::upstream(format!(
                "Keystone did not say which project is meant: {why}"
            ))),
        }
    }
}

fn plan(template: &TemplateRequest) -> Result<Plan, ApiError> {
    read(&template.template, &template.parameters)
        .map_err(|error| ApiError::invalid(error.to_string()))
}

fn client(known: &Known) -> Result<&Arc<PeerClient>, ApiError> {
    known.peer().ok_or_else(|| {
        let name = &known.partner.name;
        ApiError::conflict(format!("{name} has no Alliance, and takes no orders"))
    })
}

fn not_told(known: &Known, error: &PeerError) -> ApiError {
    let name = &known.partner.name;
    match error {
        PeerError::Refused(problem) if problem.code() == "no_such_route" => ApiError::conflict(
            format!("{name} has a daemon of a version that takes no orders"),
        ),
        PeerError::Refused(problem) if problem.status < 500 => {
            ApiError::conflict(format!("{name}: {}", problem.detail))
        }
        error => ApiError::upstream(format!("{name}: {error}")),
    }
}

fn view(order: GivenOrder) -> OrderView {
    OrderView {
        heard: order.heard_at.is_some(),
        order_id: order.id,
        project_id: order.project_id,
        name: order.stack,
        action: order.action,
        given_at: order.at,
        given_by: order.by,
        refused: order.refused,
    }
}
