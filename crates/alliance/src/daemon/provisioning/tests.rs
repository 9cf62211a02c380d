use std::sync::Arc;

use alliance_core::cloud::CloudId;
use alliance_core::provision::{
    Action, ORDER_LIFETIME, Parameters, ProvisionOrder, StackState, read,
};
use alliance_core::statement::{Named, Project};
use alliance_core::terms::{Resource, Terms};
use alliance_peer::statement;
use alliance_peer::wire::{PlanQuestion, ProvisionAnswer, StacksQuery};
use alliance_store::GivenOrder;
use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::daemon::bed::{Bed, Failure, Served};
use crate::daemon::clock::now;
use crate::daemon::directory::Known;

type Outcome = Result<(), Failure>;

fn apply(resources: Value) -> Result<Action, Failure> {
    let template = json!({"heat_template_version": "x", "resources": resources});
    Ok(Action::Apply {
        plan: read(&template, &Parameters::new())?,
        replace: false,
    })
}

fn disk(size: u64) -> Result<Action, Failure> {
    apply(json!({"disk": {"type": "OS::Cinder::Volume", "properties": {"size": size}}}))
}

/// A host that grants the project `science` two gigabytes, and the home.
async fn clouds() -> Result<[(Bed, Served); 2], Failure> {
    let clouds = Bed::host_and_home().await?;
    let [(east, _), (west, _)] = &clouds;
    let mut terms = Terms::granting(["member".to_owned()], now() - 10);
    terms.quota.set(Resource::Gigabytes, Some(2))?;
    east.grants(west.id(), terms).await?;
    let domain = Named {
        id: String::new(),
        name: "Default".into(),
    };
    let known = Project {
        id: "science".into(),
        name: "Science".into(),
        domain,
    };
    east.daemon.host.note_prepared(west.id(), &known);
    Ok(clouds)
}

fn order(home: &CloudId, host: &CloudId, number: u64, action: Action) -> ProvisionOrder {
    ProvisionOrder {
        iss: home.clone(),
        aud: host.clone(),
        iat: now(),
        exp: now() + ORDER_LIFETIME,
        jti: format!("order {number}"),
        number,
        project: "science".into(),
        called: None,
        stack: "web".into(),
        action,
    }
}

fn partner(daemon: &Daemon) -> Result<Arc<Known>, Failure> {
    let partners = daemon.directory.partners();
    Ok(Arc::clone(partners.all().first().ok_or("no partner")?))
}

/// What east says to an order that west signs: how the stack is then, or the refusal.
async fn said(east: &Bed, west: &Bed, order: &ProvisionOrder) -> Result<String, Failure> {
    let signed = statement::sign(order, west.daemon.identity.signing_key())?;
    let known = partner(&east.daemon)?;
    let taken = east.daemon.take_order(&known, signed).await;
    Ok(match taken {
        Ok(ProvisionAnswer { stack: Some(stack) }) => {
            let waiting = stack.resources.iter().map(|one| one.state.as_str());
            format!("{} {:?}", stack.state, waiting.collect::<Vec<_>>())
        }
        Ok(ProvisionAnswer { stack: None }) => "nothing".to_owned(),
        Err(error) => error.problem().code().to_owned() + ": " + &error.problem().detail,
    })
}

#[tokio::test]
async fn a_host_takes_orders_in_that_an_agreement_allows_one_at_a_time() -> Outcome {
    let [(east, _a), (west, _b)] = clouds().await?;
    let new = |number, action| order(west.id(), east.id(), number, action);
    assert_eq!(
        said(&east, &west, &new(1, Action::Destroy)).await?,
        "nothing"
    );
    let waiting = r#"ordered ["waiting"]"#;
    assert_eq!(said(&east, &west, &new(2, disk(2)?)).await?, waiting);
    // The same again, by the same order and by another.
    assert_eq!(said(&east, &west, &new(2, disk(2)?)).await?, waiting);
    assert_eq!(said(&east, &west, &new(3, disk(2)?)).await?, waiting);
    assert_eq!(said(&east, &west, &new(1, disk(2)?)).await?, waiting);
    let busy = said(&east, &west, &new(4, disk(1)?)).await?;
    assert!(busy.starts_with("order_conflict: another order"), "{busy}");
    let old = said(&east, &west, &new(1, disk(1)?)).await?;
    assert!(old.starts_with("order_conflict: a later order"), "{old}");
    let open = east.daemon.store.provisions().open().await?;
    let ids: Vec<_> = open.iter().map(|stack| stack.order_id.as_str()).collect();
    assert_eq!(ids, ["order 2"]);
    assert_eq!(said(&east, &west, &new(5, Action::Cancel)).await?, waiting);
    Ok(())
}

#[tokio::test]
async fn a_host_refuses_what_was_not_agreed_or_not_said_to_it_now() -> Outcome {
    let [(east, _a), (west, _b)] = clouds().await?;
    let good = order(west.id(), east.id(), 1, disk(2)?);
    let other = |change: &dyn Fn(&mut ProvisionOrder)| {
        let mut order = good.clone();
        change(&mut order);
        order
    };
    for (order, expected) in [
        (
            order(west.id(), east.id(), 1, disk(3)?),
            "not_allowed: the plan asks for 3 gigabytes, the agreement grants 2",
        ),
        (
            other(&|order| order.project = "arts".into()),
            "not_allowed: no agreement",
        ),
        (
            other(&|order| order.project = "a/\u{e4}".into()),
            "malformed_request: that is no project's id",
        ),
        (
            other(&|order| order.stack = "a b".into()),
            "malformed_request: expected a name",
        ),
        (
            other(&|order| order.exp = now()),
            "malformed_request: the order is dated wrongly",
        ),
        (
            other(&|order| order.exp += 10),
            "malformed_request: the order is dated wrongly",
        ),
        (
            other(&|order| order.iat = now() + 1000),
            "malformed_request: the order is dated wrongly",
        ),
        (
            other(&|order| order.aud = west.id().clone()),
            "malformed_request: the order is not the caller's",
        ),
        (
            other(&|order| order.iss = east.id().clone()),
            "malformed_request: the order is not the caller's",
        ),
    ] {
        let refused = said(&east, &west, &order).await?;
        assert!(refused.starts_with(expected), "{refused}");
    }
    // Signed by somebody else.
    let refused = said(&east, &east, &good).await?;
    assert!(refused.starts_with("home_error"), "{refused}");
    assert!(east.daemon.store.provisions().open().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn nothing_is_taken_in_for_a_project_that_keystone_has_not_made() -> Outcome {
    let [(east, _a), (west, _b)] = clouds().await?;
    east.daemon.host.note_next_visit(west.id(), "science");
    for action in [disk(2)?, Action::Prepare] {
        let refused = said(&east, &west, &order(west.id(), east.id(), 1, action)).await?;
        assert_eq!(refused, "not_yet: Keystone has not made the project yet");
    }
    assert!(east.daemon.store.provisions().open().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn home_tells_the_host_until_it_has_answered() -> Outcome {
    let [(east, served), (west, _b)] = clouds().await?;
    let give = async |number, action: Action| {
        let order = order(west.id(), east.id(), number, action);
        let given = GivenOrder {
            id: order.jti.clone(),
            host: order.aud.clone(),
            project_id: order.project.clone(),
            stack: order.stack.clone(),
            number,
            action: order.action.as_str().to_owned(),
            signed: statement::sign(&order, west.daemon.identity.signing_key())?,
            at: order.iat,
            by: "root".into(),
            heard_at: None,
            refused: None,
        };
        assert!(west.daemon.store.provisions().give(&given).await?);
        Ok::<_, Failure>(())
    };
    give(1, disk(1)?).await?;
    give(2, disk(3)?).await?;
    west.daemon.tell_orders().await?;
    let provisions = west.daemon.store.provisions();
    assert!(provisions.unheard().await?.is_empty());
    let refused = provisions
        .given("order 2")
        .await?
        .and_then(|one| one.refused);
    assert!(refused.is_some_and(|why| why.starts_with("the plan asks for 3 gigabytes")));
    let heard = provisions.given("order 1").await?.ok_or("no order")?;
    assert!(heard.heard_at.is_some() && heard.refused.is_none());
    let client = partner(&west.daemon)?;
    let client = client.peer().ok_or("no way")?;
    let id = alliance_peer::request_id::RequestId::random();
    let all = client.stacks(id, &StacksQuery::default()).await?.stacks;
    assert_eq!(all.len(), 1);
    assert_eq!(all.first().map(|one| one.state), Some(StackState::Ordered));

    drop(served);
    give(3, Action::Destroy).await?;
    west.daemon.tell_orders().await?;
    let waiting = provisions.unheard().await?;
    assert_eq!(waiting.first().map(|one| one.id.as_str()), Some("order 3"));
    Ok(())
}

#[tokio::test]
async fn a_host_says_what_it_would_do() -> Outcome {
    let [(east, _a), (west, _b)] = clouds().await?;
    let question = |action| match action {
        Action::Apply { plan, replace } => Ok::<_, Failure>(PlanQuestion {
            project_id: "science".into(),
            stack: "web".into(),
            plan,
            replace,
        }),
        _ => Err("no plan".into()),
    };
    let known = partner(&west.daemon)?;
    let client = known.peer().ok_or("no way")?;
    let id = alliance_peer::request_id::RequestId::random();
    let answer = client.provision_plan(id, &question(disk(1)?)?).await?;
    let names: Vec<_> = answer.changes.iter().map(|one| one.what.as_str()).collect();
    assert_eq!(names, ["create"]);
    let refused = client.provision_plan(id, &question(disk(3)?)?).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("3 gigabytes")));
    assert!(east.daemon.store.provisions().open().await?.is_empty());
    Ok(())
}
