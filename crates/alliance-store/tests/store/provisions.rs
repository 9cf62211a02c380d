//! What was ordered, once, and how far it is.

use std::collections::BTreeSet;

use alliance_core::provision::{Kind, Node, StackState};
use alliance_store::{Error, GivenOrder, Lease, Stack, Step, StepState, Store, Taken, TakenOrder};

use crate::bed::{Bed, Outcome, cloud, on_both};

on_both!(
    an_order_waits_until_the_host_has_answered,
    two_orders_of_one_number_are_refused,
    an_order_is_taken_in_once,
    what_is_under_way_is_finished_before_the_next_order,
    a_cancellation_ends_what_is_under_way_and_nothing_else,
    the_journal_knows_what_is_there,
    who_has_lost_the_lease_writes_nothing,
);

fn given(id: &str, number: u64) -> GivenOrder {
    GivenOrder {
        id: id.into(),
        host: cloud("east"),
        project_id: "science".into(),
        stack: "web".into(),
        number,
        action: "apply".into(),
        signed: "signed".into(),
        at: 5,
        by: "root".into(),
        heard_at: None,
        refused: None,
    }
}

fn taken(id: &str, number: u64, action: &str) -> TakenOrder {
    TakenOrder {
        stack_id: "stack".into(),
        home: cloud("west"),
        project_id: "science".into(),
        name: "web".into(),
        id: id.into(),
        number,
        action: action.into(),
        signed: format!("signed {id}"),
    }
}

async fn stack(store: &Store) -> Result<Stack, Box<dyn std::error::Error>> {
    let stack = store.provisions().stack("stack").await?;
    Ok(stack.ok_or("no stack")?)
}

async fn lease(store: &Store) -> Result<Lease, Box<dyn std::error::Error>> {
    let lease = store.leases().take("work", "me", 10).await?;
    Ok(lease.ok_or("no lease")?)
}

async fn an_order_waits_until_the_host_has_answered(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let provisions = store.provisions();
    let host = cloud("east");
    assert_eq!(provisions.next_number(&host, "science", "web").await?, 1);
    provisions.give(&given("b", 8)).await?;
    provisions.give(&given("a", 7)).await?;
    assert_eq!(provisions.next_number(&host, "science", "web").await?, 9);
    assert_eq!(provisions.next_number(&host, "science", "db").await?, 1);
    let again = bed.open().await?;
    let waiting = again.provisions().unheard().await?;
    assert_eq!(waiting, [given("a", 7), given("b", 8)]);
    provisions.heard("a", Some("no"), 9).await?;
    provisions.heard("a", None, 10).await?;
    assert_eq!(provisions.unheard().await?, [given("b", 8)]);
    let given = provisions.given("a").await?.ok_or("no order")?;
    assert_eq!(
        (given.heard_at, given.refused.as_deref()),
        (Some(9), Some("no"))
    );
    Ok(())
}

async fn two_orders_of_one_number_are_refused(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    assert!(store.provisions().give(&given("a", 7)).await?);
    assert!(!store.provisions().give(&given("b", 7)).await?);
    Ok(())
}

async fn an_order_is_taken_in_once(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let provisions = store.provisions();
    for nothing in ["destroy", "cancel"] {
        let order = taken("x", 1, nothing);
        assert_eq!(provisions.take_in(&order, 5).await?, Taken::Nothing);
    }
    let order = taken("a", 7, "apply");
    assert_eq!(provisions.take_in(&order, 5).await?, Taken::New);
    assert_eq!(provisions.take_in(&order, 6).await?, Taken::Known);
    assert_eq!(stack(&store).await?.ordered_at, 5);
    for old in [6, 7] {
        let order = taken("old", old, "apply");
        assert_eq!(provisions.take_in(&order, 6).await?, Taken::Old);
    }
    assert_eq!(provisions.open().await?.len(), 1);
    assert_eq!(provisions.counts().await?, [(StackState::Ordered, 1)]);
    assert_eq!(provisions.changed_since(4).await?.len(), 1);
    assert_eq!(provisions.changed_since(5).await?.len(), 0);
    let west = cloud("west");
    assert_eq!(
        provisions.stacks(Some(&west), Some("science")).await?.len(),
        1
    );
    assert_eq!(provisions.stacks(Some(&west), Some("arts")).await?.len(), 0);
    assert_eq!(
        provisions.stacks(Some(&cloud("north")), None).await?.len(),
        0
    );
    Ok(())
}

async fn what_is_under_way_is_finished_before_the_next_order(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let (provisions, lease) = (store.provisions(), lease(&store).await?);
    provisions.take_in(&taken("a", 7, "apply"), 5).await?;
    for (number, action) in [(8, "apply"), (9, "destroy")] {
        let taken = provisions.take_in(&taken("b", number, action), 6).await?;
        let Taken::Busy(with) = taken else {
            return Err(format!("{taken:?}").into());
        };
        assert_eq!(with.order_id, "a");
    }
    let end = ("stack", StackState::Complete);
    provisions.set_state(&lease, end, None, 7).await?;
    assert!(provisions.open().await?.is_empty());
    assert_eq!(
        provisions.take_in(&taken("c", 10, "destroy"), 8).await?,
        Taken::New
    );
    let found = stack(&store).await?;
    assert_eq!((&*found.action, &*found.signed), ("destroy", "signed c"));
    let end = ("stack", StackState::Destroyed);
    provisions.set_state(&lease, end, None, 9).await?;
    assert_eq!(
        provisions.take_in(&taken("d", 11, "destroy"), 9).await?,
        Taken::Nothing
    );
    assert_eq!(
        provisions.take_in(&taken("e", 12, "apply"), 9).await?,
        Taken::New
    );
    Ok(())
}

async fn a_cancellation_ends_what_is_under_way_and_nothing_else(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let (provisions, lease) = (store.provisions(), lease(&store).await?);
    provisions.take_in(&taken("a", 7, "apply"), 5).await?;
    let cancel = taken("b", 8, "cancel");
    assert_eq!(provisions.take_in(&cancel, 6).await?, Taken::New);
    assert_eq!(provisions.take_in(&cancel, 6).await?, Taken::Known);
    assert_eq!(
        provisions.take_in(&taken("c", 9, "cancel"), 6).await?,
        Taken::Nothing
    );
    let found = stack(&store).await?;
    assert_eq!(
        (found.order_id, found.cancel),
        ("a".into(), Some("signed b".into()))
    );
    let ends_as = ("stack", StackState::Cancelled);
    provisions.undo(&lease, ends_as, "as ordered", 7).await?;
    let found = stack(&store).await?;
    assert_eq!(
        (found.state, found.ends_as),
        (StackState::Undoing, Some(StackState::Cancelled))
    );
    provisions
        .set_state(&lease, ends_as, Some("as ordered"), 8)
        .await?;
    assert_eq!(
        provisions.take_in(&taken("d", 10, "cancel"), 9).await?,
        Taken::Nothing
    );
    // What comes next is not cancelled with it.
    assert_eq!(
        provisions.take_in(&taken("e", 11, "apply"), 9).await?,
        Taken::New
    );
    let found = stack(&store).await?;
    assert_eq!(
        (found.cancel, found.ends_as, found.detail),
        (None, None, None)
    );
    Ok(())
}

fn step(resource: &str, state: StepState, resource_id: Option<&str>) -> Step {
    Step {
        resource: resource.into(),
        order_id: "a".into(),
        node: Node {
            kind: Kind::Net,
            properties: serde_json::Map::new(),
            after: BTreeSet::new(),
        },
        state,
        resource_id: resource_id.map(str::to_owned),
        detail: None,
        changed_at: 5,
    }
}

async fn the_journal_knows_what_is_there(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let (provisions, lease) = (store.provisions(), lease(&store).await?);
    for step in [
        step("net", StepState::Started, None),
        step("net", StepState::Done, Some("id")),
        step("more", StepState::Started, None),
    ] {
        provisions.note_step(&lease, "stack", &step).await?;
    }
    provisions
        .note_step(&lease, "other", &step("net", StepState::Done, None))
        .await?;
    let expected = [
        step("more", StepState::Started, None),
        step("net", StepState::Done, Some("id")),
    ];
    assert_eq!(provisions.steps("stack").await?, expected);
    provisions.forget_step(&lease, "stack", "more").await?;
    provisions.forget_step(&lease, "stack", "net").await?;
    assert!(provisions.steps("stack").await?.is_empty());
    assert_eq!(provisions.steps("other").await?.len(), 1);
    Ok(())
}

async fn who_has_lost_the_lease_writes_nothing(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let (provisions, old) = (store.provisions(), lease(&store).await?);
    provisions.take_in(&taken("a", 7, "apply"), 5).await?;
    // Its time is over, and another takes it.
    store.leases().take("work", "me", 0).await?;
    store.leases().take("work", "another", 10).await?;
    let end = ("stack", StackState::Complete);
    let lost = [
        provisions.set_state(&old, end, None, 7).await,
        provisions.undo(&old, end, "", 7).await,
        provisions
            .note_step(&old, "stack", &step("net", StepState::Done, None))
            .await,
        provisions.forget_step(&old, "stack", "net").await,
    ];
    for lost in lost {
        assert!(matches!(lost, Err(Error::LeaseLost(_))), "{lost:?}");
    }
    assert_eq!(stack(&store).await?.state, StackState::Ordered);
    Ok(())
}
