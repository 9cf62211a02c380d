//! Projects that are retired: one at a time, as the daemon plans and `alliance work` does.

use alliance_core::agreement::{Agreement, Projects};
use alliance_core::retirement::{Cause, Fate, Item, Phase, Plan, Receipt, Standing, Word};
use alliance_core::terms::{self, Terms};
use alliance_store::{Error, GuestStanding, ItemState, Lease, Retirement, RetirementItem, Store};

use crate::bed::{Bed, Outcome, cloud, on_both, pair, this_cloud};

on_both!(
    a_project_is_retired_once_at_a_time,
    who_plans_on_old_news_changes_nothing,
    an_order_is_carried_out_by_who_holds_the_lease_alone,
    what_a_living_agreement_covers_is_not_touched,
    what_was_called_off_is_done_by_nobody,
    each_remainder_is_reported_once,
    receipts_are_numbered_and_taken_in_in_order,
    how_projects_stood_survives_a_restart,
);

const POLICY: terms::Retirement = terms::Retirement {
    quarantine_after: 0,
    delete_after: 100,
};

async fn begun(store: &Store, cause: Cause) -> Result<Retirement, Box<dyn std::error::Error>> {
    let plan = Plan::begin(cause, POLICY, 10);
    let retirements = store.retirements();
    assert!(
        retirements
            .begin("r", &cloud("west"), "p", &plan, 10)
            .await?
    );
    found(store).await
}

async fn found(store: &Store) -> Result<Retirement, Box<dyn std::error::Error>> {
    let found = store.retirements().by_id("r").await?;
    Ok(found.ok_or("it is gone")?)
}

/// In that phase.
async fn in_phase(
    store: &Store,
    cause: Cause,
    phase: Phase,
) -> Result<Retirement, Box<dyn std::error::Error>> {
    let before = begun(store, cause).await?;
    let plan = Plan {
        phase,
        ..before.plan
    };
    assert!(store.retirements().replan(&before, &plan, 20).await?);
    found(store).await
}

/// Whoever had it before has lost it.
async fn lease(store: &Store, holder: &str) -> Result<Lease, Box<dyn std::error::Error>> {
    if let Some(last) = store.leases().holder("work").await? {
        store.leases().take("work", &last, 0).await?;
    }
    let lease = store.leases().take("work", holder, 15).await?;
    Ok(lease.ok_or("somebody has it")?)
}

fn server(state: ItemState) -> RetirementItem {
    RetirementItem {
        kind: "server".into(),
        id: "s".into(),
        name: Some("web".into()),
        state,
        detail: None,
    }
}

async fn a_project_is_retired_once_at_a_time(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let first = begun(&store, Cause::AgreementEnded).await?;
    let (west, retirements) = (cloud("west"), store.retirements());
    assert!(
        !retirements
            .begin("again", &west, "p", &first.plan, 11)
            .await?
    );
    assert!(
        retirements
            .begin("other", &west, "q", &first.plan, 11)
            .await?
    );
    assert!(retirements.is_under_way(&west, "p").await?);
    let over = Plan {
        phase: Phase::Restored,
        ..first.plan
    };
    assert!(retirements.replan(&first, &over, 12).await?);
    assert_eq!(found(&store).await?.ended_at, Some(12));
    assert!(!retirements.is_under_way(&west, "p").await?);
    assert!(
        retirements
            .begin("again", &west, "p", &first.plan, 13)
            .await?
    );
    assert_eq!(retirements.list().await?.len(), 3);
    assert_eq!(retirements.not_over_since(11).await?.len(), 3);
    assert_eq!(retirements.not_over_since(12).await?.len(), 2);
    Ok(())
}

async fn who_plans_on_old_news_changes_nothing(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let before = in_phase(&store, Cause::AgreementEnded, Phase::Quarantine).await?;
    let lease = lease(&store, "a").await?;
    let retirements = store.retirements();
    retirements
        .advance(&lease, &before, Some(0), true, 21, 21)
        .await?;
    let plan = Plan {
        phase: Phase::Deletion,
        ..before.plan
    };
    assert!(!retirements.replan(&before, &plan, 22).await?);
    let now = found(&store).await?;
    assert_eq!(
        (now.plan.phase, now.plan.quarantined_at),
        (Phase::Quarantine, Some(21))
    );
    Ok(())
}

async fn an_order_is_carried_out_by_who_holds_the_lease_alone(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let order = in_phase(&store, Cause::AgreementEnded, Phase::Deletion).await?;
    let lost = lease(&store, "a").await?;
    let held = lease(&store, "b").await?;
    let retirements = store.retirements();
    let noted = retirements
        .note(&lost, "r", &[server(ItemState::Deleting)])
        .await;
    assert!(matches!(noted, Err(Error::LeaseLost(_))), "{noted:?}");
    let advanced = retirements
        .advance(&lost, &order, Some(0), true, 41, 41)
        .await;
    assert!(matches!(advanced, Err(Error::LeaseLost(_))), "{advanced:?}");
    retirements
        .note(&held, "r", &[server(ItemState::Deleting)])
        .await?;
    retirements
        .note(&held, "r", &[server(ItemState::Deleted)])
        .await?;
    assert_eq!(retirements.items("r").await?, [server(ItemState::Deleted)]);
    retirements
        .advance(&held, &order, Some(0), true, 41, 41)
        .await?;
    let done = found(&store).await?;
    assert_eq!((done.plan.phase, done.ended_at), (Phase::Deleted, Some(41)));
    assert!(done.to_report);
    Ok(())
}

async fn what_a_living_agreement_covers_is_not_touched(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "west").await?;
    let order = in_phase(&store, Cause::AgreementEnded, Phase::Deletion).await?;
    let retirements = store.retirements();
    assert_eq!(retirements.orders(19).await?, [], "not yet");
    assert_eq!(retirements.orders(20).await?, std::slice::from_ref(&order));
    assert!(retirements.still_holds(&order, 20).await?);
    let agreement = Agreement {
        id: "a".into(),
        partner: cloud("west"),
        projects: Projects::All,
        project_name: None,
        project_domain: None,
        version: Some(1),
        terms: Terms::granting(["member".to_owned()], 50),
        ended_at: None,
    };
    store.agreements().create(&agreement, 20).await?;
    assert!(!retirements.still_holds(&order, 20).await?);
    store.agreements().end("a", 21).await?;
    assert!(retirements.still_holds(&order, 21).await?);
    Ok(())
}

async fn what_was_called_off_is_done_by_nobody(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let order = in_phase(&store, Cause::ProjectDeleted, Phase::Deletion).await?;
    let retirements = store.retirements();
    assert!(retirements.still_holds(&order, 20).await?);
    let held = Plan {
        is_held: true,
        ..order.plan
    };
    assert!(retirements.replan(&order, &held, 21).await?);
    assert!(!retirements.still_holds(&order, 21).await?);
    assert_eq!(retirements.orders(99).await?, []);
    let held = found(&store).await?;
    let restoring = Plan {
        phase: Phase::Restoration,
        ..held.plan
    };
    assert!(retirements.replan(&held, &restoring, 22).await?);
    assert!(!retirements.still_holds(&order, 22).await?);
    let order = found(&store).await?;
    assert_eq!(retirements.orders(22).await?, std::slice::from_ref(&order));
    let lease = lease(&store, "a").await?;
    retirements
        .advance(&lease, &order, Some(0), true, 23, 23)
        .await?;
    let done = found(&store).await?;
    assert_eq!((done.plan.phase, done.to_report), (Phase::Restored, false));
    Ok(())
}

async fn each_remainder_is_reported_once(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let order = in_phase(&store, Cause::AgreementEnded, Phase::Deletion).await?;
    let lease = lease(&store, "a").await?;
    let retirements = store.retirements();
    for (remainder, is_final, is_news) in [
        (Some(2), false, false),
        (None, true, false),
        (Some(2), true, true),
        (Some(2), true, false),
        (Some(1), true, true),
        (Some(0), false, true),
    ] {
        retirements
            .advance(&lease, &order, remainder, is_final, 30, 30)
            .await?;
        let now = found(&store).await?;
        assert_eq!(now.to_report, is_news, "{remainder:?} {is_final}");
        if is_news {
            assert!(retirements.report(&now, &[page(1, 1)]).await?);
            assert!(!retirements.report(&now, &[page(1, 1)]).await?, "once");
        }
    }
    assert_eq!(found(&store).await?.revision, 3);
    assert_eq!(store.retirements().receipts().await?.len(), 3);
    Ok(())
}

fn page(page: u32, pages: u32) -> Receipt {
    Receipt {
        retirement: "r".into(),
        revision: 1,
        page,
        pages,
        project_id: "p".into(),
        cause: Cause::AgreementEnded,
        began: 10,
        at: 30,
        items: vec![Item {
            kind: "server".into(),
            id: "s".into(),
            name: None,
            fate: Fate::Deleted,
            reason: None,
        }],
    }
}

async fn receipts_are_numbered_and_taken_in_in_order(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let order = in_phase(&store, Cause::AgreementEnded, Phase::Deletion).await?;
    let lease = lease(&store, "a").await?;
    let retirements = store.retirements();
    retirements
        .advance(&lease, &order, Some(0), true, 30, 30)
        .await?;
    let done = found(&store).await?;
    assert!(retirements.report(&done, &[page(1, 2), page(2, 2)]).await?);
    let west = cloud("west");
    assert_eq!(retirements.outgoing(&west, 1).await?, Some((2, page(2, 2))));
    assert_eq!(retirements.outgoing(&west, 2).await?, None);
    for (seq, refusal, expected) in [
        (1, Some("no"), (1, Some("no".to_owned()))),
        (3, None, (1, Some("no".to_owned()))),
        (2, None, (2, None)),
    ] {
        retirements.acknowledge(&west, seq, refusal).await?;
        assert_eq!(retirements.acknowledged(&west).await?, expected);
    }
    let north = cloud("north");
    assert!(
        !retirements.receive(&north, 2, &page(2, 2), "jws").await?,
        "a gap"
    );
    assert!(retirements.receive(&north, 1, &page(1, 2), "jws").await?);
    assert!(
        !retirements.receive(&north, 1, &page(1, 2), "jws").await?,
        "again"
    );
    assert_eq!(retirements.received(&north).await?, 1);
    let all = retirements.receipts().await?;
    let of_north: Vec<_> = all.iter().filter(|one| one.host == north).collect();
    assert_eq!(of_north.len(), 1);
    assert_eq!(of_north[0].home, this_cloud());
    assert_eq!(of_north[0].signed.as_deref(), Some("jws"));
    Ok(())
}

async fn how_projects_stood_survives_a_restart(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let kept = GuestStanding {
        cloud_id: cloud("west"),
        project_id: "p".into(),
        is_kept: true,
        policy: POLICY,
        word: None,
    };
    store
        .guest_standings()
        .note(std::slice::from_ref(&kept))
        .await?;
    let ended = GuestStanding {
        is_kept: false,
        word: Some(Word {
            standing: Standing::Deleted,
            asked_at: 7,
        }),
        ..kept
    };
    store
        .guest_standings()
        .note(std::slice::from_ref(&ended))
        .await?;
    store.close().await;
    let store = bed.open().await?;
    assert_eq!(store.guest_standings().list().await?, [ended]);
    Ok(())
}
