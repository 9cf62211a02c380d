use alliance_core::invitation::{CONFIRMATION_TIME, InvitationState};
use alliance_core::partner::{Role, Status};
use alliance_core::token::Login;
use alliance_store::{Error, Holder, NewInvitation};

use crate::bed::{Bed, Outcome, acceptance, cloud, descriptor, invitation, on_both, pair};

on_both!(
    a_confirmed_invitation_is_a_partner,
    of_two_that_accept_at_once_exactly_one_wins,
    who_accepted_may_say_it_again_and_nobody_else_may,
    an_invitation_for_one_cloud_is_for_that_cloud_only,
    an_expired_invitation_cannot_be_accepted_and_frees_its_name,
    what_was_accepted_in_time_can_be_confirmed_a_while_longer,
    a_confirmation_that_fails_half_way_changes_nothing,
    confirming_many_times_at_once_makes_one_partner,
    a_rejected_invitation_is_over_and_frees_its_name,
    nothing_is_confirmed_that_nobody_accepted,
    a_cloud_that_is_a_partner_already_cannot_accept,
    a_name_is_taken_whatever_holds_it_and_in_any_case,
    an_unknown_invitation_is_an_error,
    expiry_is_reported_once,
);

async fn a_confirmed_invitation_is_a_partner(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let new = NewInvitation {
        trust_till: Some(5000),
        login: Login::Passport,
        role: Role::Both,
        expected: Some(cloud("west")),
        ..invitation("west")
    };
    store.invitations().create(&new, 100).await?;
    let stored = store
        .invitations()
        .by_id(&new.id)
        .await?
        .ok_or("it is gone")?;
    assert_eq!(
        (stored.state, stored.acceptor, stored.created_at),
        (InvitationState::Open, None, 100)
    );
    assert_eq!(stored.new, new);

    let accepted = store
        .invitations()
        .accept(&new.id, &descriptor("west"), 200)
        .await?;
    let acceptor = accepted.acceptor.ok_or("nobody accepted")?;
    assert_eq!(
        (acceptor.cloud_id, acceptor.at, acceptor.descriptor),
        (cloud("west"), 200, descriptor("west"))
    );
    assert!(store.partners().list().await?.is_empty());

    let partner = store.invitations().confirm(&new.id, 300).await?.partner;
    assert_eq!(partner.status, Status::Active);
    assert_eq!(partner.trust_since, Some(300));
    assert_eq!(partner.trust_till, Some(5000));
    let record = store.partners().by_cloud_id(&partner.cloud_id).await?;
    let login = record.map(|record| record.policy.login);
    assert_eq!(login, Some(Login::Passport));
    assert_eq!(partner.peer_url, "https://west.example:5443");
    let record = store
        .partners()
        .by_cloud_id(&cloud("west"))
        .await?
        .ok_or("it is gone")?;
    assert_eq!(record.partner, partner);
    assert_eq!(record.facts.descriptor, Some(descriptor("west")));
    Ok(())
}

async fn of_two_that_accept_at_once_exactly_one_wins(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    for round in 0..10 {
        let new = invitation(&format!("east{round}"));
        store.invitations().create(&new, 1).await?;
        let mut racers = tokio::task::JoinSet::new();
        for name in ["west", "north"] {
            let (store, id) = (bed.open().await?, new.id.clone());
            racers.spawn(async move {
                let accepted = store.invitations().accept(&id, &descriptor(name), 2).await;
                (name, accepted)
            });
        }
        let mut winner = None;
        for (name, accepted) in racers.join_all().await {
            match accepted {
                Ok(_) => assert_eq!(winner.replace(name), None, "both won"),
                Err(error) => assert!(matches!(error, Error::AlreadyUsed), "{error:?}"),
            }
        }
        let stored = store.invitations().by_id(&new.id).await?;
        let acceptor = stored.and_then(|stored| stored.acceptor);
        assert_eq!(acceptor.map(|one| one.cloud_id), winner.map(cloud));
    }
    Ok(())
}

async fn who_accepted_may_say_it_again_and_nobody_else_may(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let new = invitation("west");
    store.invitations().create(&new, 1).await?;
    let accept = async |name, now| {
        store
            .invitations()
            .accept(&new.id, &descriptor(name), now)
            .await
    };
    accept("west", 2).await?;
    let again = accept("west", 3).await?;
    assert_eq!(again.acceptor.map(|one| one.at), Some(2));
    assert!(matches!(accept("north", 3).await, Err(Error::AlreadyUsed)));
    store.invitations().confirm(&new.id, 4).await?;
    let again = accept("west", 5).await?;
    assert_eq!(again.state, InvitationState::Confirmed);
    assert!(matches!(accept("north", 5).await, Err(Error::AlreadyUsed)));
    Ok(())
}

async fn an_invitation_for_one_cloud_is_for_that_cloud_only(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let new = NewInvitation {
        expected: Some(cloud("west")),
        ..invitation("west")
    };
    store.invitations().create(&new, 1).await?;
    let other = store
        .invitations()
        .accept(&new.id, &descriptor("north"), 2)
        .await;
    assert!(matches!(other, Err(Error::NotExpected { .. })), "{other:?}");
    store
        .invitations()
        .accept(&new.id, &descriptor("west"), 2)
        .await?;
    Ok(())
}

async fn an_expired_invitation_cannot_be_accepted_and_frees_its_name(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let new = invitation("west");
    store.invitations().create(&new, 1).await?;
    let late = store
        .invitations()
        .accept(&new.id, &descriptor("west"), 1000)
        .await;
    assert!(
        matches!(late, Err(Error::InvitationIs(InvitationState::Expired))),
        "{late:?}"
    );
    store
        .invitations()
        .create(&invitation("west"), 1000)
        .await?;
    let old = store.invitations().by_id(&new.id).await?;
    assert_eq!(old.map(|old| old.state), Some(InvitationState::Expired));
    Ok(())
}

async fn what_was_accepted_in_time_can_be_confirmed_a_while_longer(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    for (name, at, in_time) in [
        ("west", 1000 + CONFIRMATION_TIME - 1, true),
        ("north", 1000 + CONFIRMATION_TIME, false),
    ] {
        let new = invitation(name);
        store.invitations().create(&new, 1).await?;
        store
            .invitations()
            .accept(&new.id, &descriptor(name), 999)
            .await?;
        let confirmed = store.invitations().confirm(&new.id, at).await;
        assert_eq!(confirmed.is_ok(), in_time, "{confirmed:?}");
    }
    Ok(())
}

async fn a_confirmation_that_fails_half_way_changes_nothing(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let (first, second) = (invitation("west"), invitation("west2"));
    for new in [&first, &second] {
        store.invitations().create(new, 1).await?;
        store
            .invitations()
            .accept(&new.id, &descriptor("west"), 2)
            .await?;
    }
    store.invitations().confirm(&first.id, 3).await?;
    let failed = store.invitations().confirm(&second.id, 3).await;
    assert!(
        matches!(&failed, Err(Error::CloudTaken { name }) if name == "west"),
        "{failed:?}"
    );
    let stored = store.invitations().by_id(&second.id).await?;
    assert_eq!(stored.map(|one| one.state), Some(InvitationState::Accepted));
    assert_eq!(store.partners().list().await?.len(), 1);
    let taken = store.invitations().create(&invitation("west2"), 4).await;
    assert!(
        matches!(&taken, Err(Error::NameTaken { holder: Holder::Invitation { id }, .. }) if *id == second.id),
        "{taken:?}"
    );
    Ok(())
}

async fn confirming_many_times_at_once_makes_one_partner(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let new = invitation("west");
    store.invitations().create(&new, 1).await?;
    store
        .invitations()
        .accept(&new.id, &descriptor("west"), 2)
        .await?;
    let mut racers = tokio::task::JoinSet::new();
    for now in 3..9 {
        let (store, id) = (store.clone(), new.id.clone());
        racers.spawn(async move { store.invitations().confirm(&id, now).await });
    }
    let (mut since, mut new) = (None, 0);
    for confirmed in racers.join_all().await {
        let confirmed = confirmed?;
        let partner = confirmed.partner;
        new += u32::from(confirmed.is_new);
        assert_eq!(
            *since.get_or_insert(partner.trust_since),
            partner.trust_since
        );
    }
    assert_eq!(bed.count("SELECT COUNT(*) FROM partners").await?, 1);
    assert_eq!(new, 1, "one of them has made it");
    Ok(())
}

async fn a_rejected_invitation_is_over_and_frees_its_name(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let new = invitation("west");
    store.invitations().create(&new, 1).await?;
    store
        .invitations()
        .accept(&new.id, &descriptor("west"), 2)
        .await?;
    store.invitations().reject(&new.id, 3).await?;
    store.invitations().reject(&new.id, 4).await?;
    for over in [
        store.invitations().confirm(&new.id, 5).await.map(drop),
        store
            .invitations()
            .accept(&new.id, &descriptor("west"), 5)
            .await
            .map(drop),
    ] {
        assert!(
            matches!(over, Err(Error::InvitationIs(InvitationState::Rejected))),
            "{over:?}"
        );
    }
    pair(&store, "west").await?;
    Ok(())
}

async fn nothing_is_confirmed_that_nobody_accepted(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let new = invitation("west");
    store.invitations().create(&new, 1).await?;
    let early = store.invitations().confirm(&new.id, 2).await;
    assert!(
        matches!(early, Err(Error::InvitationIs(InvitationState::Open))),
        "{early:?}"
    );
    Ok(())
}

async fn a_cloud_that_is_a_partner_already_cannot_accept(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "west").await?;
    let new = invitation("other");
    store.invitations().create(&new, 11).await?;
    let again = store
        .invitations()
        .accept(&new.id, &descriptor("west"), 12)
        .await;
    assert!(
        matches!(&again, Err(Error::CloudTaken { name }) if name == "west"),
        "{again:?}"
    );
    let expecting = NewInvitation {
        expected: Some(cloud("west")),
        ..invitation("third")
    };
    let again = store.invitations().create(&expecting, 12).await;
    assert!(matches!(again, Err(Error::CloudTaken { .. })), "{again:?}");
    Ok(())
}

async fn a_name_is_taken_whatever_holds_it_and_in_any_case(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "west").await?;
    let open = invitation("north");
    store.invitations().create(&open, 11).await?;
    let waiting = acceptance("south");
    store.acceptances().create(&waiting, 11).await?;
    for (name, holder) in [
        ("West", Holder::Partner),
        ("NORTH", Holder::Invitation { id: open.id }),
        ("south", Holder::Acceptance { id: waiting.id }),
    ] {
        let invited = store.invitations().create(&invitation(name), 12).await;
        let accepted = store.acceptances().create(&acceptance(name), 12).await;
        for taken in [invited, accepted.map(drop)] {
            // A partner's own acceptance is refused for its cloud id before its name.
            if matches!(taken, Err(Error::CloudTaken { .. })) {
                continue;
            }
            assert!(
                matches!(&taken, Err(Error::NameTaken { holder: found, .. }) if *found == holder),
                "{name}: {taken:?}"
            );
        }
    }
    Ok(())
}

async fn an_unknown_invitation_is_an_error(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    assert_eq!(store.invitations().by_id("none").await?, None);
    for unknown in [
        store.invitations().confirm("none", 1).await.map(drop),
        store.invitations().reject("none", 1).await,
        store
            .invitations()
            .accept("none", &descriptor("west"), 1)
            .await
            .map(drop),
    ] {
        assert!(matches!(unknown, Err(Error::NoSuchInvitation(_))));
    }
    Ok(())
}

async fn expiry_is_reported_once(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    store.invitations().create(&invitation("west"), 1).await?;
    assert!(store.invitations().expire_due(999).await?.is_empty());
    let mut sweeps = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = store.clone();
        sweeps.spawn(async move { store.invitations().expire_due(1000).await });
    }
    let mut reported = 0;
    for expired in sweeps.join_all().await {
        reported += expired?.len();
    }
    assert_eq!(reported, 1);
    assert!(store.drafts(1000).await?.is_empty());
    Ok(())
}
