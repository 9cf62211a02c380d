use alliance_core::agreement::Projects;
use alliance_core::cloud::CloudId;
use alliance_core::partner::{IllegalChange, Status};
use alliance_core::snapshot::Received;
use alliance_store::{Change, Error, StoredDescriptor};

use crate::agreements::agreement;
use crate::bed::{
    Bed, Outcome, cloud, describe, descriptor, invitation, on_both, pair, pair_until,
};

on_both!(
    a_partner_is_found_by_name_cloud_id_and_tag,
    a_removed_partner_leaves_a_record_and_nothing_else,
    suspending_and_resuming_again_and_again_is_no_error,
    a_partner_expires_once_whoever_looks,
    an_expired_partner_resumes_only_with_a_later_end,
    bounds_change_one_by_one,
    changes_of_different_bounds_at_once_are_all_kept,
    no_agreement_outlives_a_removal_that_it_raced,
    two_clouds_whose_ids_begin_alike_cannot_both_be_partners,
    what_a_partner_says_is_kept_as_it_came,
    facts_of_a_stranger_are_refused,
);

async fn a_partner_is_found_by_name_cloud_id_and_tag(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "west").await?;
    pair(&store, "north").await?;
    let partners = store.partners();
    let west = Some(cloud("west"));
    let id_of = |found: Option<alliance_store::PartnerRecord>| found.map(|r| r.partner.cloud_id);
    assert_eq!(id_of(partners.by_name("west").await?), west);
    assert_eq!(id_of(partners.by_cloud_id(&cloud("west")).await?), west);
    assert_eq!(id_of(partners.by_tag(&cloud("west").tag()).await?), west);
    assert_eq!(id_of(partners.by_name("west ").await?), None);
    assert_eq!(id_of(partners.by_cloud_id(&cloud("south")).await?), None);
    let names: Vec<_> = partners
        .list()
        .await?
        .into_iter()
        .map(|record| record.partner.name)
        .collect();
    assert_eq!(names, ["north", "west"]);
    Ok(())
}

async fn a_removed_partner_leaves_a_record_and_nothing_else(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "west").await?;
    let given = agreement("west", "p");
    store.agreements().create(&given, 20).await?;

    let removal = store.partners().remove(&cloud("west"), 30).await?;
    assert_eq!(removal.partner.status, Status::Removed);
    let ended: Vec<_> = removal
        .ended
        .into_iter()
        .map(|a| (a.id, a.ended_at))
        .collect();
    assert_eq!(ended, [(given.id, Some(30))]);
    assert!(store.partners().list().await?.is_empty());
    assert!(store.partners().by_name("west").await?.is_none());
    assert_eq!(store.partners().removed().await?, [removal.partner]);
    assert!(
        store
            .agreements()
            .live(&cloud("west"), 31)
            .await?
            .is_empty()
    );
    for again in [
        store.partners().remove(&cloud("west"), 31).await.map(drop),
        store
            .partners()
            .set_status(&cloud("west"), Status::Active, 31)
            .await
            .map(drop),
    ] {
        assert!(matches!(again, Err(Error::NoSuchPartner(_))), "{again:?}");
    }
    pair(&store, "west").await?;
    let removed = store
        .partners()
        .set_status(&cloud("west"), Status::Removed, 31)
        .await?;
    assert_eq!(removed.partner.status, Status::Removed);
    let again = store.partners().remove(&cloud("west"), 31).await;
    assert!(matches!(again, Err(Error::NoSuchPartner(_))), "{again:?}");

    let anew = pair(&store, "west").await?;
    assert_eq!(anew.status, Status::Active);
    assert!(
        store
            .agreements()
            .live(&cloud("west"), 32)
            .await?
            .is_empty()
    );
    assert_eq!(store.partners().removed().await?.len(), 2);
    Ok(())
}

async fn suspending_and_resuming_again_and_again_is_no_error(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "west").await?;
    let west = cloud("west");
    let mut was = Status::Active;
    for to in [
        Status::Suspended,
        Status::Suspended,
        Status::Active,
        Status::Active,
    ] {
        let transition = store.partners().set_status(&west, to, 20).await?;
        assert_eq!((transition.from, transition.partner.status), (was, to));
        was = to;
    }
    let back = store.partners().set_status(&west, Status::Draft, 20).await;
    assert!(
        matches!(
            back,
            Err(Error::IllegalChange(IllegalChange {
                from: Status::Active,
                to: Status::Draft
            }))
        ),
        "{back:?}"
    );
    Ok(())
}

async fn a_partner_expires_once_whoever_looks(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair_until(&store, "west", Some(100)).await?;
    pair_until(&store, "north", Some(101)).await?;
    pair(&store, "south").await?;
    let west = cloud("west");
    store
        .partners()
        .set_status(&west, Status::Suspended, 50)
        .await?;
    assert!(store.partners().expire_due(99).await?.is_empty());
    let mut sweeps = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = store.clone();
        sweeps.spawn(async move { store.partners().expire_due(100).await });
    }
    let mut expired = Vec::new();
    for sweep in sweeps.join_all().await {
        expired.extend(
            sweep?
                .into_iter()
                .map(|partner| (partner.name, partner.status)),
        );
    }
    assert_eq!(expired, [("west".to_owned(), Status::Expired)]);
    Ok(())
}

async fn an_expired_partner_resumes_only_with_a_later_end(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair_until(&store, "west", Some(100)).await?;
    let west = cloud("west");
    store.partners().expire_due(100).await?;
    let early = store
        .partners()
        .set_status(&west, Status::Active, 120)
        .await;
    assert!(matches!(early, Err(Error::TrustIsOver { .. })), "{early:?}");
    let later = Change {
        trust_till: Some(Some(500)),
        ..Change::default()
    };
    let changed = store.partners().change(&west, &later).await?;
    assert_eq!(changed.partner.status, Status::Expired);
    store
        .partners()
        .set_status(&west, Status::Active, 120)
        .await?;
    Ok(())
}

async fn bounds_change_one_by_one(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair_until(&store, "west", Some(100)).await?;
    let west = cloud("west");
    let users = Change {
        max_users: Some(Some(10)),
        ..Change::default()
    };
    let projects = Change {
        max_projects: Some(Some(3)),
        trust_till: Some(None),
        ..Change::default()
    };
    store.partners().change(&west, &users).await?;
    store.partners().change(&west, &projects).await?;
    let stored = store
        .partners()
        .by_name("west")
        .await?
        .ok_or("it is gone")?;
    let partner = stored.partner;
    assert_eq!(
        (partner.max_users, partner.max_projects, partner.trust_till),
        (Some(10), Some(3), None)
    );
    Ok(())
}

async fn two_clouds_whose_ids_begin_alike_cannot_both_be_partners(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let one: CloudId = "a".repeat(52).parse()?;
    let other: CloudId = format!("{}{}a", "a".repeat(8), "b".repeat(43)).parse()?;
    assert_eq!(one.tag(), other.tag());
    let (first, second) = (invitation("one"), invitation("other"));
    for new in [&first, &second] {
        store.invitations().create(new, 1).await?;
    }
    let accept = async |id, cloud: &CloudId| {
        let described = describe(cloud.clone(), "any");
        store.invitations().accept(id, &described, 2).await
    };
    accept(&first.id, &one).await?;
    store.invitations().confirm(&first.id, 3).await?;
    let collision = accept(&second.id, &other).await;
    assert!(
        matches!(&collision, Err(Error::TagCollision { name, tag }) if name == "one" && *tag == one.tag()),
        "{collision:?}"
    );
    Ok(())
}

async fn what_a_partner_says_is_kept_as_it_came(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "west").await?;
    let west = cloud("west");
    let mut newer = StoredDescriptor {
        jws: "x".repeat(300_000),
        ..descriptor("west")
    };
    newer.claims.peer_url = "https://moved.example:5443".into();
    let received = vec![Received {
        id: Some("a".into()),
        version: Some(2),
        project_id: Projects::All,
        roles: ["member".to_owned()].into(),
        services: Some(["image".to_owned()].into()),
        till: Some(99),
        transitive: false,
    }];
    let partners = store.partners();
    let before = descriptor("west").jws;
    assert!(partners.set_descriptor(&newer, Some(&before)).await?);
    let told = partners.set_received(&west, &received, Some("v2"), None);
    assert!(told.await?);
    // Who had asked before that has slept, and does no harm.
    let late = descriptor("west");
    assert!(!partners.set_descriptor(&late, Some(&before)).await?);
    let told = partners.set_received(&west, &[], Some("v1"), None);
    assert!(!told.await?);
    partners.set_failed(&west, "no route to host").await?;
    let failing = partners.by_name("west").await?.ok_or("it is gone")?;
    assert_eq!(failing.partner.peer_url, "https://moved.example:5443");
    assert_eq!(failing.facts.descriptor, Some(newer));
    assert_eq!(failing.facts.received, received);
    assert_eq!(failing.facts.received_etag.as_deref(), Some("v2"));
    assert_eq!(
        failing.facts.last_error.as_deref(),
        Some("no route to host")
    );

    partners
        .set_seen(&west, Some(Status::Suspended), 77)
        .await?;
    partners.set_seen(&west, None, 78).await?;
    let told = partners.set_received(&west, &[], None, Some("v2"));
    assert!(told.await?);
    let facts = partners.by_name("west").await?.ok_or("it is gone")?.facts;
    assert_eq!(
        (facts.last_seen, facts.last_error, facts.their_status),
        (Some(78), None, Some(Status::Suspended))
    );
    assert!(facts.received.is_empty() && facts.received_etag.is_none());
    Ok(())
}

async fn facts_of_a_stranger_are_refused(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let partners = store.partners();
    let west = cloud("west");
    for refused in [
        partners.set_seen(&west, None, 1).await,
        partners.set_failed(&west, "").await,
    ] {
        assert!(matches!(refused, Err(Error::NoSuchPartner(_))));
    }
    assert!(!partners.set_descriptor(&descriptor("west"), None).await?);
    assert!(!partners.set_received(&west, &[], None, None).await?);
    Ok(())
}

async fn changes_of_different_bounds_at_once_are_all_kept(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let west = pair(&store, "west").await?.cloud_id;
    let changes = [
        Change {
            trust_till: Some(Some(900)),
            ..Change::default()
        },
        Change {
            max_users: Some(Some(5)),
            ..Change::default()
        },
        Change {
            max_projects: Some(Some(7)),
            ..Change::default()
        },
    ];
    let mut changing = tokio::task::JoinSet::new();
    for change in changes {
        let (store, west) = (bed.open().await?, west.clone());
        changing.spawn(async move { store.partners().change(&west, &change).await });
    }
    for changed in changing.join_all().await {
        changed?;
    }
    let stored = store
        .partners()
        .by_name("west")
        .await?
        .ok_or("it is gone")?;
    let partner = stored.partner;
    assert_eq!(
        (partner.trust_till, partner.max_users, partner.max_projects),
        (Some(900), Some(5), Some(7))
    );
    Ok(())
}

async fn no_agreement_outlives_a_removal_that_it_raced(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let (creating, removing) = (bed.open().await?, bed.open().await?);
    for _ in 0..10 {
        let west = pair(&store, "west").await?.cloud_id;
        let create = tokio::spawn({
            let store = creating.clone();
            async move { store.agreements().create(&agreement("west", "p"), 20).await }
        });
        let removal = removing.partners().remove(&west, 20).await?;
        match create.await? {
            Ok(()) => assert_eq!(removal.ended.len(), 1),
            Err(error) => assert!(matches!(error, Error::NoSuchPartner(_)), "{error:?}"),
        }
        let left = "SELECT COUNT(*) FROM agreements WHERE live_key IS NOT NULL";
        assert_eq!(bed.count(left).await?, 0);
    }
    Ok(())
}
