//! One order: from the first resource to the last, or back again.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use alliance_cloud::provisioning::{
    Fault, Progress, Wish, find, flavor, furnish, is_gone, make, progress, remove,
};
use alliance_core::keystone_id;
use alliance_core::provision::{
    Action, Kind, Node, Plan, ProvisionOrder, StackState, What, changes, marker, reverse,
};
use alliance_core::terms::Terms;
use alliance_store::{Error, Lease, Stack, Step, StepState, Store};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::StatusCode;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::hand::{Hand, Hands};
use super::orders::{Refused, allowed, is_cancelled, require_room, verified};
use crate::daemon::now;

/// How many resources are made at once. Most of that time services are waited for.
const PARALLEL: usize = 16;
/// How long one resource may take, and how long a service may be away.
const LONGEST: Duration = Duration::from_secs(600);
/// How often a service is asked how far it is.
const LOOK: Duration = Duration::from_millis(500);
/// How often is looked whether the order still stands.
const BEAT: Duration = Duration::from_secs(1);

/// The order for one stack.
pub(super) struct Saga<'w> {
    store: &'w Store,
    lease: &'w Lease,
    hands: &'w Hands,
    stack: Stack,
    /// Whether nothing more is to be made.
    is_over: Cell<bool>,
}

/// Why an order ends before it is carried out.
enum End {
    /// The database's; it is taken up again.
    Database(Error),
    /// It failed.
    Failed(String),
    /// Home wants it so.
    Cancelled,
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl From<Refused> for End {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Database(error) => Self::Database(error),
            Refused::For(why) => Self::Failed(why),
        }
    }
}

impl<'w> Saga<'w> {
    pub(super) fn new(store: &'w Store, lease: &'w Lease, hands: &'w Hands, stack: Stack) -> Self {
        Self {
            store,
            lease,
            hands,
            stack,
            is_over: Cell::new(false),
        }
    }

    /// Carries the order out, or takes back what it made.
    ///
    /// # Errors
    /// The database's, with the stack's id; it is taken up again then.
    pub(super) async fn carry_out(mut self) -> (String, Result<(), Error>) {
        let id = self.stack.id.clone();
        // It was found a while ago: what was ordered then may have ended, and something else be ordered.
        let done = match self.store.provisions().stack(&id).await {
            Ok(Some(stack)) if stack.state.is_open() => {
                self.stack = stack;
                self.run().await
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        (id, done)
    }

    async fn run(&self) -> Result<(), Error> {
        let id = &self.stack.id;
        tracing::info!(
            stack = id,
            order = self.stack.order_id,
            action = self.stack.action,
            state = self.stack.state.as_str(),
            "an order is carried out"
        );
        if self.stack.state == StackState::Undoing {
            return self.undo().await;
        }
        let (end, state) = match self.forward().await {
            Ok(state) => (None, state),
            Err(End::Database(error)) => return Err(error),
            Err(End::Failed(why)) => (Some(why), StackState::Failed),
            Err(End::Cancelled) => {
                let why = "cancelled by home".to_owned();
                (Some(why), StackState::Cancelled)
            }
        };
        tracing::info!(
            stack = id,
            state = state.as_str(),
            why = end,
            "an order ends"
        );
        let Some(why) = end else {
            let provisions = self.store.provisions();
            return provisions
                .set_state(self.lease, (id, state), None, now())
                .await;
        };
        let provisions = self.store.provisions();
        if self.stack.action == "destroy" {
            // What is left is in the journal, for the next order.
            let end = (&**id, state);
            return provisions
                .set_state(self.lease, end, Some(&why), now())
                .await;
        }
        provisions
            .undo(self.lease, (id, state), &why, now())
            .await?;
        self.undo().await
    }

    /// Does what is ordered.
    async fn forward(&self) -> Result<StackState, End> {
        let order = verified(self.store, &self.stack, &self.stack.signed).await?;
        if self.stack.state == StackState::Ordered {
            require_timely(&order)?;
            let begun = (&*self.stack.id, StackState::Running);
            let provisions = self.store.provisions();
            provisions.set_state(self.lease, begun, None, now()).await?;
        }
        match &order.action {
            Action::Apply { plan, replace } => {
                let place = (plan, self.hands.region());
                let (home, project_id) = (&self.stack.home, &self.stack.project_id);
                let terms = allowed(self.store, home, project_id, place).await?;
                let hand = self.enter().await?;
                let done = self.apply(&hand, plan, *replace, &terms).await;
                hand.leave().await;
                done.map(|()| StackState::Complete)
            }
            Action::Destroy => {
                let steps = self.steps().await?;
                if !steps.is_empty() {
                    let hand = self.enter().await?;
                    let names = reverse(&nodes(&steps));
                    let gone = self.require_all_gone(&hand, &names).await;
                    hand.leave().await;
                    gone?;
                }
                Ok(StackState::Destroyed)
            }
            Action::Cancel | Action::Prepare => {
                Err(End::Failed("there is nothing to be made".to_owned()))
            }
        }
    }

    /// Takes back what the last order made, and ends.
    async fn undo(&self) -> Result<(), Error> {
        let provisions = self.store.provisions();
        let id = &self.stack.id;
        let stack = provisions.stack(id).await?;
        let (ends_as, mut why) = stack.map_or((None, None), |one| (one.ends_as, one.detail));
        let mut steps = self.steps().await?;
        let all = nodes(&steps);
        steps.retain(|_, step| step.order_id == self.stack.order_id);
        let mut names = reverse(&all);
        names.retain(|name| steps.contains_key(name));
        let left = if names.is_empty() {
            Vec::new()
        } else {
            match self.enter().await {
                Ok(hand) => {
                    let left = self.remove_all(&hand, &names).await;
                    hand.leave().await;
                    left?
                }
                Err(End::Database(error)) => return Err(error),
                Err(End::Failed(why)) => vec![why],
                Err(End::Cancelled) => Vec::new(),
            }
        };
        if !left.is_empty() {
            let first = why.unwrap_or_default();
            why = Some(format!("{first}; not removed: {}", left.join("; ")));
        }
        let state = ends_as.unwrap_or(StackState::Failed);
        tracing::info!(
            stack = id,
            state = state.as_str(),
            why,
            "what was made is undone"
        );
        let end = (&**id, state);
        provisions
            .set_state(self.lease, end, why.as_deref(), now())
            .await
    }

    async fn enter(&self) -> Result<Hand<'w>, End> {
        let project_id = keystone_id::project(&self.stack.home, &self.stack.project_id);
        let entered = self
            .hands
            .enter(&project_id, Instant::now() + LONGEST)
            .await;
        entered.map_err(End::Failed)
    }

    /// Makes the stack as the plan says.
    async fn apply(
        &self,
        hand: &Hand<'_>,
        plan: &Plan,
        replace: bool,
        terms: &Terms,
    ) -> Result<(), End> {
        self.require_flavors(hand, plan, terms).await?;
        let steps = self.steps().await?;
        // What this order has begun is as the plan has it.
        let changes = changes(plan, &nodes(&steps), replace)
            .map_err(|error| End::Failed(error.to_string().replace('\n', "; ")))?;
        let named = |what: fn(&What) -> bool| {
            let found = changes.iter().filter(move |change| what(&change.what));
            found
                .map(|change| change.resource.clone())
                .collect::<Vec<_>>()
        };
        let order = reverse(&nodes(&steps));
        let in_order = |names: Vec<String>| -> Vec<String> {
            let is_meant = |name: &&String| names.contains(name);
            order.iter().filter(is_meant).cloned().collect()
        };
        let replaced = in_order(named(|what| matches!(what, What::Replace { .. })));
        self.require_all_gone(hand, &replaced).await?;
        self.make_all(hand, plan).await?;
        let deleted = in_order(named(|what| *what == What::Delete));
        self.require_all_gone(hand, &deleted).await
    }

    async fn require_all_gone(&self, hand: &Hand<'_>, names: &[String]) -> Result<(), End> {
        let left = self.remove_all(hand, names).await?;
        if left.is_empty() {
            Ok(())
        } else {
            Err(End::Failed(format!("not removed: {}", left.join("; "))))
        }
    }

    async fn require_flavors(
        &self,
        hand: &Hand<'_>,
        plan: &Plan,
        terms: &Terms,
    ) -> Result<(), End> {
        let mut flavors = Vec::new();
        for (name, count) in plan.flavors() {
            let deadline = Instant::now() + LONGEST;
            let found = hand
                .ask(deadline, async |session| flavor(session, name).await)
                .await;
            flavors.push((count, found.map_err(failed)?));
        }
        require_room(flavors.into_iter(), terms).map_err(End::Failed)
    }

    /// Makes what is not there, what does not depend on each other at once. On the first failure nothing
    /// more is begun, and what is under way comes to an end.
    async fn make_all(&self, hand: &Hand<'_>, plan: &Plan) -> Result<(), End> {
        let mut ids: BTreeMap<String, String> = BTreeMap::new();
        for step in self.steps().await?.into_values() {
            if let (StepState::Done, Some(id)) = (step.state, step.resource_id) {
                ids.insert(step.resource, id);
            }
        }
        let mut waiting: Vec<&String> = plan.nodes().keys().collect();
        waiting.retain(|name| !ids.contains_key(*name));
        let mut under_way = FuturesUnordered::new();
        let mut end = None;
        let mut fallen = pin!(self.falls(plan));
        loop {
            while end.is_none() && under_way.len() < PARALLEL {
                let is_free = |name: &&String| {
                    let node = plan.nodes().get(*name);
                    node.is_some_and(|node| node.after.iter().all(|one| ids.contains_key(one)))
                };
                let Some(at) = waiting.iter().position(is_free) else {
                    break;
                };
                let name = waiting.remove(at);
                if let Some(node) = plan.nodes().get(name) {
                    under_way.push(self.make_one(hand, name, node, ids.clone()));
                }
            }
            if under_way.is_empty() {
                return end.map_or(Ok(()), Err);
            }
            tokio::select! {
                Some(made) = under_way.next() => match made {
                    Ok((name, id)) => {
                        ids.insert(name, id);
                    }
                    Err(why) => {
                        self.is_over.set(true);
                        // What is undone because of the first failure says nothing more.
                        end = end.or(Some(why));
                    }
                },
                why = &mut fallen, if end.is_none() => {
                    self.is_over.set(true);
                    end = Some(why);
                }
            }
        }
    }

    /// Ends when the order does not stand any more, and says why.
    async fn falls(&self, plan: &Plan) -> End {
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            match self.stands(plan).await {
                // A database that is away for a moment says nothing about the order.
                Ok(()) | Err(End::Database(_)) => {}
                Err(why) => return why,
            }
        }
    }

    /// Checks that home has not cancelled the order, and that the agreement still allows it.
    async fn stands(&self, plan: &Plan) -> Result<(), End> {
        if is_cancelled(self.store, &self.stack.id).await? {
            return Err(End::Cancelled);
        }
        let place = (plan, self.hands.region());
        let (home, project_id) = (&self.stack.home, &self.stack.project_id);
        allowed(self.store, home, project_id, place).await?;
        Ok(())
    }

    /// Makes one resource, or finds it. Returns its name and id.
    async fn make_one(
        &self,
        hand: &Hand<'_>,
        name: &str,
        node: &Node,
        ids: BTreeMap<String, String>,
    ) -> Result<(String, String), End> {
        let told = |why: End| match why {
            End::Failed(why) => End::Failed(format!("{name}: {why}")),
            other => other,
        };
        let deadline = Instant::now() + LONGEST;
        let known = self.steps().await?.remove(name);
        let mut step = Step {
            resource: name.to_owned(),
            order_id: self.stack.order_id.clone(),
            node: node.clone(),
            state: StepState::Started,
            resource_id: known.and_then(|step| step.resource_id),
            detail: None,
            changed_at: now(),
        };
        self.note(&step).await?;
        let wish = self.wish(name, node);
        let wish = wish.with_ids(|name| ids.get(name).cloned());
        let wish =
            wish.ok_or_else(|| End::Failed(format!("{name}: what it needs is not there")))?;
        let made = async {
            let id = self.find_or_make(hand, &wish, deadline).await?;
            step.resource_id = Some(id.clone());
            self.note(&step).await?;
            let furnished = hand.ask(deadline, async |session| {
                Ok(furnish(session, &wish, &id).await?)
            });
            furnished.await.map_err(failed)?;
            self.wait_until_ready(hand, (node.kind, &id), deadline)
                .await?;
            Ok(id)
        };
        let id = made.await.map_err(told)?;
        step.state = StepState::Done;
        step.changed_at = now();
        self.note(&step).await?;
        Ok((name.to_owned(), id))
    }

    async fn find_or_make(
        &self,
        hand: &Hand<'_>,
        wish: &Wish,
        deadline: Instant,
    ) -> Result<String, End> {
        // A service that failed, or did not answer, may have made it all the same: each time it is looked
        // for first.
        let found = hand.ask(deadline, async |session| {
            let mut found = find(session, wish).await?;
            if found.is_empty() {
                return make(session, wish).await;
            }
            let id = found.remove(0);
            for twice in found {
                remove(session, wish.kind, &twice).await?;
            }
            Ok(id)
        });
        found.await.map_err(failed)
    }

    async fn wait_until_ready(
        &self,
        hand: &Hand<'_>,
        (kind, id): (Kind, &str),
        deadline: Instant,
    ) -> Result<(), End> {
        loop {
            let seen = hand.ask(deadline, async |session| {
                Ok(progress(session, kind, id).await?)
            });
            match seen.await.map_err(failed)? {
                Progress::Ready => return Ok(()),
                Progress::Broken(why) => return Err(End::Failed(why)),
                Progress::Waiting if self.is_over.get() => {
                    return Err(End::Failed("given up".to_owned()));
                }
                Progress::Waiting if Instant::now() >= deadline => {
                    let why = format!("not ready after {} s", LONGEST.as_secs());
                    return Err(End::Failed(why));
                }
                Progress::Waiting => sleep(LOOK).await,
            }
        }
    }

    /// Removes these, one after the other. Returns what could not be removed, with the reasons.
    async fn remove_all(&self, hand: &Hand<'_>, names: &[String]) -> Result<Vec<String>, Error> {
        let mut left = Vec::new();
        for name in names {
            let steps = self.steps().await?;
            let Some(step) = steps.get(name) else {
                continue;
            };
            let ids = steps
                .values()
                .filter_map(|step| Some((step.resource.clone(), step.resource_id.clone()?)))
                .collect();
            match self.remove_one(hand, step.clone(), &ids).await {
                Ok(()) => {}
                Err(End::Database(error)) => return Err(error),
                Err(End::Failed(why)) => {
                    let mut step = step.clone();
                    step.state = StepState::Removing;
                    step.detail = Some(why.clone());
                    step.changed_at = now();
                    self.note(&step).await?;
                    left.push(format!("{name}: {why}"));
                }
                Err(End::Cancelled) => {}
            }
        }
        Ok(left)
    }

    async fn remove_one(
        &self,
        hand: &Hand<'_>,
        mut step: Step,
        ids: &BTreeMap<String, String>,
    ) -> Result<(), End> {
        let deadline = Instant::now() + LONGEST;
        step.state = StepState::Removing;
        step.changed_at = now();
        self.note(&step).await?;
        let kind = step.node.kind;
        let wish = self.wish(&step.resource, &step.node);
        let mut all = Vec::from_iter(step.resource_id.clone());
        // Without the ids of what it connects, it was never made.
        if let Some(wish) = wish.with_ids(|name| ids.get(name).cloned()) {
            let found = hand.ask(deadline, async |session| Ok(find(session, &wish).await?));
            all.extend(found.await.map_err(failed)?);
        }
        all.dedup();
        for id in all {
            loop {
                let removed = hand.ask(deadline, async |session| {
                    remove(session, kind, &id).await?;
                    Ok(is_gone(session, kind, &id).await?)
                });
                match removed.await {
                    Ok(true) => break,
                    Ok(false) if Instant::now() >= deadline => {
                        let why = format!("still there after {} s", LONGEST.as_secs());
                        return Err(End::Failed(why));
                    }
                    Ok(false) => {}
                    // It is in use by something that is about to go.
                    Err(fault) if is_in_use(&fault) && Instant::now() < deadline => {}
                    Err(fault) => return Err(failed(fault)),
                }
                sleep(LOOK).await;
            }
        }
        let provisions = self.store.provisions();
        let forgotten = provisions.forget_step(self.lease, &self.stack.id, &step.resource);
        Ok(forgotten.await?)
    }

    fn wish(&self, name: &str, node: &Node) -> Wish {
        Wish {
            kind: node.kind,
            name: format!("{}-{name}", self.stack.name),
            marker: marker(&self.stack.id, name),
            properties: node.properties.clone(),
        }
    }

    async fn steps(&self) -> Result<BTreeMap<String, Step>, Error> {
        let steps = self.store.provisions().steps(&self.stack.id).await?;
        let named = steps.into_iter().map(|step| (step.resource.clone(), step));
        Ok(named.collect())
    }

    async fn note(&self, step: &Step) -> Result<(), Error> {
        let provisions = self.store.provisions();
        provisions.note_step(self.lease, &self.stack.id, step).await
    }
}

fn nodes(steps: &BTreeMap<String, Step>) -> BTreeMap<String, Node> {
    let nodes = steps.values();
    let nodes = nodes.map(|step| (step.resource.clone(), step.node.clone()));
    nodes.collect()
}

/// An order that waited too long is not begun: home may have changed its mind.
fn require_timely(order: &ProvisionOrder) -> Result<(), End> {
    if order.exp <= now() {
        let why = "the order was not begun within a day; order again";
        return Err(End::Failed(why.to_owned()));
    }
    Ok(())
}

fn failed(fault: Fault) -> End {
    End::Failed(super::hand::chain(fault))
}

fn is_in_use(fault: &Fault) -> bool {
    let status = fault.service().and_then(|error| error.status());
    // Cinder says 400 where the others say 409.
    matches!(status, Some(StatusCode::CONFLICT | StatusCode::BAD_REQUEST))
}

#[cfg(test)]
mod tests {
    use alliance_cloud::services::Access;
    use alliance_core::cloud::CloudId;
    use alliance_store::TakenOrder;
    use secrecy::SecretString;
    use url::Url;

    use super::super::Settings;
    use super::*;
    use crate::daemon::bed::{Bed, Failure};

    #[tokio::test]
    async fn an_order_that_was_found_before_it_ended_is_not_carried_out_once_more()
    -> Result<(), Failure> {
        let bed = Bed::new().await?;
        let store = bed.store();
        let lease = store.leases().take("work", "this one", 60).await?;
        let lease = lease.ok_or("nobody else has it")?;
        let taken = TakenOrder {
            stack_id: "stack".into(),
            home: CloudId::from_spki(b"west"),
            project_id: "science".into(),
            name: "web".into(),
            id: "one".into(),
            number: 1,
            action: "apply".into(),
            signed: "no order".into(),
        };
        let provisions = store.provisions();
        provisions.take_in(&taken, 10).await?;
        let found = provisions.stack("stack").await?.ok_or("no stack")?;
        let complete = ("stack", StackState::Complete);
        provisions.set_state(&lease, complete, None, 20).await?;
        let hands = Hands::new(Settings {
            access: Access {
                auth_url: Url::parse("http://127.0.0.1:1/v3")?,
                credential_id: String::new(),
                credential_secret: SecretString::from(""),
                region: "east".into(),
                interface: "public".into(),
                timeout: Duration::from_secs(1),
            },
            password: SecretString::from(""),
        });
        let (_, done) = Saga::new(store, &lease, &hands, found).carry_out().await;
        done?;
        let after = provisions.stack("stack").await?.ok_or("no stack")?;
        assert_eq!((after.state, after.changed_at), (StackState::Complete, 20));
        Ok(())
    }
}
