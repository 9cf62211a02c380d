use std::cmp::Ordering;

use alliance_core::invitation::{AcceptanceState, CONFIRMATION_TIME};
use alliance_core::partner::{Role, Status};
use alliance_core::token::Login;
use alliance_store::{Error, NewAcceptance, Store};

use crate::bed::{
    Bed, Outcome, acceptance, cloud, descriptor, invitation, name_of_a_cloud, on_both, pair,
};

on_both!(
    a_pairing_that_the_inviter_confirmed_is_a_partner_and_has_no_secret,
    a_pairing_under_way_goes_on_after_a_restart,
    every_way_out_wipes_the_secret_and_frees_the_name,
    the_same_invitation_again_waits_on_and_begins_anew_after_a_cancellation,
    a_pairing_that_fails_half_way_changes_nothing,
    another_clouds_descriptor_pairs_nobody,
    this_side_waits_a_little_longer_than_the_inviter,
    pairing_many_times_at_once_makes_one_partner,
    an_invitation_without_an_end_ends_nothing_else,
    two_clouds_that_accept_each_others_invitation_pair_by_that_of_the_smaller_id,
    who_was_accepted_by_a_cloud_accepts_nothing_of_it,
    an_acceptance_and_being_accepted_at_once_never_both_happen,
);

async fn a_pairing_that_the_inviter_confirmed_is_a_partner_and_has_no_secret(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let new = NewAcceptance {
        trust_till: Some(7000),
        login: Login::Bearer,
        ..acceptance("west")
    };
    let waiting = store.acceptances().create(&new, 1).await?;
    assert_eq!(waiting.state, AcceptanceState::Waiting);
    assert_eq!(waiting.secret.as_deref(), Some("c2VjcmV0"));
    assert_eq!(waiting.inviter, cloud("west"));
    assert!(!format!("{waiting:?}{new:?}").contains("c2VjcmV0"));

    let partner = store
        .acceptances()
        .pair(&new.id, &descriptor("west"), 50)
        .await?;
    assert!(partner.is_new);
    let partner = partner.partner;
    assert_eq!(
        (
            partner.role,
            partner.status,
            partner.trust_since,
            partner.trust_till
        ),
        (Role::Host, Status::Active, Some(50), Some(7000))
    );
    let record = store.partners().by_cloud_id(&partner.cloud_id).await?;
    assert_eq!(
        record.map(|record| record.policy.login),
        Some(Login::Bearer)
    );
    let again = store
        .acceptances()
        .pair(&new.id, &descriptor("west"), 60)
        .await?;
    assert_eq!((again.partner, again.is_new), (partner, false));
    require_wiped(bed, &store, &new.id, AcceptanceState::Paired).await
}

async fn a_pairing_under_way_goes_on_after_a_restart(bed: &Bed) -> Outcome {
    let new = acceptance("west");
    let store = bed.open().await?;
    store.acceptances().create(&new, 1).await?;
    store.close().await;

    let store = bed.open().await?;
    let waiting = store.acceptances().waiting().await?;
    let secrets: Vec<_> = waiting
        .into_iter()
        .map(|one| (one.id, one.secret))
        .collect();
    assert_eq!(secrets, [(new.id, Some(new.secret))]);
    Ok(())
}

async fn every_way_out_wipes_the_secret_and_frees_the_name(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    for state in [
        AcceptanceState::Rejected,
        AcceptanceState::Expired,
        AcceptanceState::Cancelled,
    ] {
        let new = acceptance("west");
        store.acceptances().create(&new, 1).await?;
        for _ in 0..2 {
            match state {
                AcceptanceState::Rejected => store.acceptances().reject(&new.id, 2).await?,
                AcceptanceState::Expired => store.acceptances().expire(&new.id, 2).await?,
                _ => store.acceptances().cancel(&new.id, 2).await?,
            }
        }
        require_wiped(bed, &store, &new.id, state).await?;
        let over = store
            .acceptances()
            .pair(&new.id, &descriptor("west"), 3)
            .await;
        assert!(
            matches!(over, Err(Error::AcceptanceIs(found)) if found == state),
            "{over:?}"
        );
    }
    pair(&store, "west").await?;
    Ok(())
}

async fn the_same_invitation_again_waits_on_and_begins_anew_after_a_cancellation(
    bed: &Bed,
) -> Outcome {
    let store = bed.open().await?;
    let new = acceptance("west");
    store.acceptances().create(&new, 1).await?;
    let again = store.acceptances().create(&new, 2).await?;
    assert_eq!(again.created_at, 1);

    let renamed = NewAcceptance {
        name: "other".into(),
        ..new.clone()
    };
    let twice = store.acceptances().create(&renamed, 3).await;
    assert!(
        matches!(twice, Err(Error::AcceptanceIs(AcceptanceState::Waiting))),
        "{twice:?}"
    );

    store.acceptances().cancel(&new.id, 4).await?;
    let anew = store.acceptances().create(&renamed, 5).await?;
    assert_eq!((anew.name.as_str(), anew.created_at), ("other", 5));

    store
        .acceptances()
        .pair(&new.id, &descriptor("west"), 6)
        .await?;
    let used = store.acceptances().create(&new, 7).await;
    assert!(
        matches!(used, Err(Error::AcceptanceIs(AcceptanceState::Paired))),
        "{used:?}"
    );
    Ok(())
}

async fn a_pairing_that_fails_half_way_changes_nothing(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let inviter = name_of_a_cloud(Ordering::Greater);
    let new = NewAcceptance {
        name: "west2".into(),
        ..acceptance(&inviter)
    };
    store.acceptances().create(&new, 1).await?;
    pair(&store, &inviter).await?;
    let failed = store
        .acceptances()
        .pair(&new.id, &descriptor(&inviter), 20)
        .await;
    assert!(
        matches!(failed, Err(Error::CloudTaken { .. })),
        "{failed:?}"
    );
    let waiting = store.acceptances().waiting().await?;
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].secret, Some(new.secret));
    assert_eq!(store.partners().list().await?.len(), 1);
    Ok(())
}

async fn another_clouds_descriptor_pairs_nobody(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let new = acceptance("west");
    store.acceptances().create(&new, 1).await?;
    let other = store
        .acceptances()
        .pair(&new.id, &descriptor("north"), 2)
        .await;
    assert!(matches!(other, Err(Error::NotExpected { .. })), "{other:?}");
    assert!(store.partners().list().await?.is_empty());
    Ok(())
}

async fn this_side_waits_a_little_longer_than_the_inviter(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let new = acceptance("west");
    store.acceptances().create(&new, 1).await?;
    let inviter_gives_up = 1000 + CONFIRMATION_TIME;
    assert!(
        store
            .acceptances()
            .expire_due(inviter_gives_up)
            .await?
            .is_empty()
    );
    let expired = store
        .acceptances()
        .expire_due(inviter_gives_up + 600)
        .await?;
    assert_eq!(expired.len(), 1);
    assert!(store.acceptances().waiting().await?.is_empty());
    require_wiped(bed, &store, &new.id, AcceptanceState::Expired).await
}

async fn pairing_many_times_at_once_makes_one_partner(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let new = acceptance("west");
    store.acceptances().create(&new, 1).await?;
    let mut racers = tokio::task::JoinSet::new();
    for now in 2..8 {
        let (store, id) = (store.clone(), new.id.clone());
        racers.spawn(async move {
            store
                .acceptances()
                .pair(&id, &descriptor("west"), now)
                .await
        });
    }
    for paired in racers.join_all().await {
        paired?;
    }
    assert_eq!(bed.count("SELECT COUNT(*) FROM partners").await?, 1);
    Ok(())
}

async fn require_wiped(bed: &Bed, store: &Store, id: &str, state: AcceptanceState) -> Outcome {
    let stored = store.acceptances().by_id(id).await?.ok_or("it is gone")?;
    assert_eq!((stored.state, stored.secret), (state, None));
    let kept = "SELECT COUNT(*) FROM acceptances WHERE secret IS NOT NULL";
    assert_eq!(bed.count(kept).await?, 0);
    Ok(())
}

async fn an_invitation_without_an_end_ends_nothing_else(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let endless = alliance_store::NewAcceptance {
        expires_at: i64::MAX,
        ..acceptance("west")
    };
    store.acceptances().create(&endless, 10).await?;
    assert!(store.acceptances().expire_due(20).await?.is_empty());
    assert_eq!(store.drafts(20).await?.len(), 1);
    Ok(())
}

async fn two_clouds_that_accept_each_others_invitation_pair_by_that_of_the_smaller_id(
    bed: &Bed,
) -> Outcome {
    let store = bed.open().await?;
    for order in [Ordering::Less, Ordering::Greater] {
        let other = name_of_a_cloud(order);
        let (theirs, ours) = (acceptance(&other), invitation(&format!("{other}-ours")));
        store.acceptances().create(&theirs, 1).await?;
        store.invitations().create(&ours, 1).await?;
        let accepted = store
            .invitations()
            .accept(&ours.id, &descriptor(&other), 2)
            .await;
        if order == Ordering::Greater {
            assert!(accepted.is_ok(), "{accepted:?}");
            continue;
        }
        assert!(
            matches!(&accepted, Err(Error::PairingUnderWay { name }) if *name == theirs.name),
            "{accepted:?}"
        );
        store.acceptances().cancel(&theirs.id, 3).await?;
        store
            .invitations()
            .accept(&ours.id, &descriptor(&other), 4)
            .await?;
    }
    Ok(())
}

async fn who_was_accepted_by_a_cloud_accepts_nothing_of_it(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let (ours, theirs) = (invitation("ours"), acceptance("west"));
    store.invitations().create(&ours, 1).await?;
    store
        .invitations()
        .accept(&ours.id, &descriptor("west"), 2)
        .await?;
    let over = ours.expires_at + CONFIRMATION_TIME;
    for at in [3, over - 1] {
        let refused = store.acceptances().create(&theirs, at).await;
        assert!(
            matches!(&refused, Err(Error::PairingUnderWay { name }) if name == "ours"),
            "{refused:?}"
        );
    }
    store.acceptances().create(&acceptance("north"), 3).await?;
    store.acceptances().create(&theirs, over).await?;
    Ok(())
}

async fn an_acceptance_and_being_accepted_at_once_never_both_happen(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let other = name_of_a_cloud(Ordering::Less);
    for round in 0..20 {
        let ours = invitation(&format!("ours-{round}"));
        let theirs = NewAcceptance {
            name: format!("theirs-{round}"),
            ..acceptance(&other)
        };
        store.invitations().create(&ours, 1).await?;
        let (acceptances, invitations) = (store.acceptances(), store.invitations());
        let description = descriptor(&other);
        let (accepting, accepted) = tokio::join!(
            acceptances.create(&theirs, 2),
            invitations.accept(&ours.id, &description, 2),
        );
        assert!(
            accepting.is_ok() != accepted.is_ok(),
            "{accepting:?} {accepted:?}"
        );
        invitations.reject(&ours.id, 3).await?;
        if accepting.is_ok() {
            acceptances.cancel(&theirs.id, 3).await?;
        }
    }
    Ok(())
}
