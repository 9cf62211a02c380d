use alliance_core::agreement::Agreement;
use alliance_core::contract::Said;
use alliance_core::terms::Terms;
use alliance_store::{AgreementVersion, Error, ReceivedAgreement, Side, Store, StoredReply};

use crate::agreements::{agreement, rich_terms, terms};
use crate::bed::{Bed, Outcome, cloud, on_both, pair};

on_both!(
    a_version_in_force_is_what_the_agreement_says,
    a_proposal_changes_nothing_until_home_accepts_it,
    of_many_who_change_an_agreement_at_once_one_makes_the_next_version,
    what_was_accepted_after_another_change_is_not_put_in_force,
    an_agreement_that_has_ended_takes_no_version_and_no_reply,
    what_a_partner_gave_reads_back_and_ends_once,
    what_was_received_is_not_what_was_given,
    a_partner_that_is_paired_anew_starts_without_versions,
);

fn version(number: u32, in_force_since: Option<i64>, terms: Terms) -> AgreementVersion {
    AgreementVersion {
        number,
        terms,
        signed: format!("signed {number}"),
        sha256: format!("{number:0>64}"),
        made_at: 20,
        made_by: "root".into(),
        in_force_since,
        reply: None,
        heard: false,
    }
}

fn reply(said: Said) -> StoredReply {
    StoredReply {
        said,
        at: 30,
        by: "west".into(),
        jws: "signed".into(),
    }
}

/// An agreement in its first version.
async fn given(store: &Store) -> Result<Agreement, Box<dyn std::error::Error>> {
    pair(store, "west").await?;
    let made = agreement("west", "p");
    store.agreements().create(&made, 20).await?;
    let first = version(1, Some(20), terms());
    let contracts = store.contracts();
    contracts.propose(&made.partner, &made.id, &first).await?;
    Ok(made)
}

fn received(versions: Vec<AgreementVersion>) -> ReceivedAgreement {
    ReceivedAgreement {
        id: "a".into(),
        projects: "p".to_owned().into(),
        project_name: Some("science".into()),
        project_domain: None,
        version: None,
        ended_at: None,
        ended_by: None,
        ending: None,
        heard: false,
        fault: None,
        versions,
    }
}

async fn a_version_in_force_is_what_the_agreement_says(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let made = given(&store).await?;
    let second = version(2, Some(40), rich_terms()?);
    let (west, contracts) = (cloud("west"), store.contracts());
    contracts.propose(&west, &made.id, &second).await?;
    let said = store.agreements().by_id(&made.id).await?;
    let said = said.map(|agreement| (agreement.version, agreement.terms));
    assert_eq!(said, Some((Some(2), rich_terms()?)));
    let all = contracts.versions_of(Side::Given, &west, &made.id).await?;
    assert_eq!(all, [version(1, Some(20), terms()), second.clone()]);
    assert!(
        contracts
            .reply(&west, &made.id, 2, &reply(Said::Accepted), None)
            .await?
    );
    assert!(
        !contracts
            .reply(&west, &made.id, 2, &reply(Said::Accepted), None)
            .await?
    );
    let by_id = contracts.versions(Side::Given, &west).await?;
    let last = by_id.get(&made.id).and_then(|versions| versions.last());
    let answered = AgreementVersion {
        reply: Some(reply(Said::Accepted)),
        heard: true,
        ..second
    };
    assert_eq!(last, Some(&answered));
    Ok(())
}

async fn a_proposal_changes_nothing_until_home_accepts_it(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let made = given(&store).await?;
    let (west, contracts) = (cloud("west"), store.contracts());
    contracts
        .propose(&west, &made.id, &version(2, None, rich_terms()?))
        .await?;
    let said = store.agreements().by_id(&made.id).await?;
    assert_eq!(said, Some(made.clone()));
    contracts
        .reply(&west, &made.id, 2, &reply(Said::Rejected), None)
        .await?;
    assert_eq!(
        store.agreements().by_id(&made.id).await?,
        Some(made.clone())
    );
    contracts
        .reply(&west, &made.id, 2, &reply(Said::Accepted), Some(50))
        .await?;
    let said = store.agreements().by_id(&made.id).await?;
    assert_eq!(
        said.map(|said| (said.version, said.terms)),
        Some((Some(2), rich_terms()?))
    );
    let versions = contracts.versions_of(Side::Given, &west, &made.id).await?;
    assert_eq!(versions[1].in_force_since, Some(50));

    // One that nobody has agreed to says what is proposed last, and does not hold.
    let proposed = Agreement {
        version: None,
        ..agreement("west", "q")
    };
    store.agreements().create(&proposed, 20).await?;
    contracts
        .propose(&west, &proposed.id, &version(1, None, terms()))
        .await?;
    contracts
        .propose(&west, &proposed.id, &version(2, None, rich_terms()?))
        .await?;
    let said = store.agreements().by_id(&proposed.id).await?;
    assert_eq!(
        said.map(|said| (said.version, said.terms)),
        Some((None, rich_terms()?))
    );
    let live = store.agreements().live(&west, 60).await?;
    assert_eq!(live.len(), 1);
    Ok(())
}

async fn of_many_who_change_an_agreement_at_once_one_makes_the_next_version(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let made = given(&store).await?;
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (store, id) = (store.clone(), made.id.clone());
        racers.spawn(async move {
            let second = version(2, Some(40), terms());
            store
                .contracts()
                .propose(&cloud("west"), &id, &second)
                .await
        });
    }
    let done = racers.join_all().await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1);
    for refused in done.into_iter().filter_map(Result::err) {
        assert!(matches!(refused, Error::AgreementChanged(_)), "{refused:?}");
    }
    let contracts = store.contracts();
    let fourth = version(4, Some(50), terms());
    let skipped = contracts.propose(&cloud("west"), &made.id, &fourth).await;
    assert!(matches!(skipped, Err(Error::AgreementChanged(_))));
    Ok(())
}

async fn what_was_accepted_after_another_change_is_not_put_in_force(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let made = given(&store).await?;
    let (west, contracts) = (cloud("west"), store.contracts());
    contracts
        .propose(&west, &made.id, &version(2, None, rich_terms()?))
        .await?;
    contracts
        .propose(&west, &made.id, &version(3, Some(30), terms()))
        .await?;
    let late = contracts
        .reply(&west, &made.id, 2, &reply(Said::Accepted), Some(40))
        .await;
    assert!(matches!(late, Err(Error::AgreementChanged(_))), "{late:?}");
    let said = store.agreements().by_id(&made.id).await?;
    assert_eq!(
        said.map(|said| (said.version, said.terms)),
        Some((Some(3), terms()))
    );
    let versions = contracts.versions_of(Side::Given, &west, &made.id).await?;
    assert_eq!(versions[1].reply, None, "nothing of it is stored");
    Ok(())
}

async fn an_agreement_that_has_ended_takes_no_version_and_no_reply(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let made = given(&store).await?;
    let (west, contracts) = (cloud("west"), store.contracts());
    store.agreements().end(&made.id, 40).await?;
    contracts.note_ending(&made.id, "root", "signed").await?;
    let (by, word) = contracts.ending(&made.id).await?;
    assert_eq!(
        (by.as_deref(), word.as_deref()),
        (Some("root"), Some("signed"))
    );
    let next = contracts
        .propose(&west, &made.id, &version(2, Some(50), terms()))
        .await;
    assert!(matches!(next, Err(Error::NoSuchAgreement(_))), "{next:?}");
    let late = contracts
        .reply(&west, &made.id, 1, &reply(Said::Accepted), None)
        .await;
    assert!(matches!(late, Err(Error::NoSuchAgreement(_))), "{late:?}");
    Ok(())
}

async fn what_a_partner_gave_reads_back_and_ends_once(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "east").await?;
    let (east, contracts) = (cloud("east"), store.contracts());
    let first = version(1, None, terms());
    contracts
        .receive(&east, &received(vec![]), std::slice::from_ref(&first))
        .await?;
    let again = contracts
        .receive(&east, &received(vec![]), std::slice::from_ref(&first))
        .await;
    assert!(
        matches!(again, Err(Error::AgreementChanged(_))),
        "{again:?}"
    );
    contracts
        .receive(&east, &received(vec![]), &[version(2, None, rich_terms()?)])
        .await?;
    contracts
        .set_state(&east, "a", Some(1), Some("set back"), 40)
        .await?;
    contracts.set_state(&east, "a", Some(1), None, 50).await?;
    contracts.say(&east, "a", 1, &reply(Said::Accepted)).await?;
    let found = contracts.received(&east).await?;
    let expected = ReceivedAgreement {
        version: Some(1),
        versions: vec![
            AgreementVersion {
                in_force_since: Some(40),
                reply: Some(reply(Said::Accepted)),
                ..first
            },
            version(2, None, rich_terms()?),
        ],
        ..received(vec![])
    };
    assert_eq!(found, [expected]);
    assert_eq!(found[0].agreed(), Some(&terms()));
    contracts.set_heard(&east, "a", 1).await?;
    assert!(contracts.received(&east).await?[0].versions[0].heard);

    assert!(
        contracts
            .end_received(&east, "a", "root", Some("word"), 60)
            .await?
    );
    assert!(!contracts.end_received(&east, "a", "east", None, 70).await?);
    let late = contracts.say(&east, "a", 2, &reply(Said::Accepted)).await;
    assert!(matches!(late, Err(Error::NoSuchAgreement(_))), "{late:?}");
    contracts.set_ending_heard(&east, "a").await?;
    let found = contracts.received(&east).await?;
    assert_eq!((found[0].ended_at, found[0].heard), (Some(60), true));
    assert_eq!(found[0].ended_by.as_deref(), Some("root"));
    Ok(())
}

async fn what_was_received_is_not_what_was_given(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let made = given(&store).await?;
    let (west, contracts) = (cloud("west"), store.contracts());
    // West may call its own agreement as it likes.
    let theirs = ReceivedAgreement {
        id: made.id.clone(),
        ..received(vec![])
    };
    contracts
        .receive(&west, &theirs, &[version(1, None, rich_terms()?)])
        .await?;
    contracts
        .end_received(&west, &made.id, "west", None, 40)
        .await?;
    let given = contracts.versions_of(Side::Given, &west, &made.id).await?;
    assert_eq!(given, [version(1, Some(20), terms())]);
    assert_eq!(store.agreements().live(&west, 50).await?.len(), 1);
    let theirs = contracts
        .versions_of(Side::Received, &west, &made.id)
        .await?;
    assert_eq!(theirs[0].terms, rich_terms()?);
    Ok(())
}

async fn a_partner_that_is_paired_anew_starts_without_versions(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let made = given(&store).await?;
    let (west, contracts) = (cloud("west"), store.contracts());
    contracts
        .receive(&west, &received(vec![]), &[version(1, None, terms())])
        .await?;
    store.partners().remove(&west, 40).await?;
    assert!(contracts.received(&west).await?.is_empty());
    pair(&store, "west").await?;
    assert!(contracts.received(&west).await?.is_empty());
    assert!(
        contracts
            .versions_of(Side::Given, &west, &made.id)
            .await?
            .is_empty()
    );
    let old = contracts
        .reply(&west, &made.id, 1, &reply(Said::Accepted), None)
        .await;
    assert!(matches!(old, Err(Error::NoSuchAgreement(_))), "{old:?}");
    contracts
        .receive(&west, &received(vec![]), &[version(1, None, terms())])
        .await?;
    Ok(())
}
