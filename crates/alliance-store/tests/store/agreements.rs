use std::error::Error;
use std::slice;

use alliance_core::agreement::{Agreement, Door};
use alliance_core::terms::{Quota, Resource, Retirement, Terms};
use alliance_store::Error as StoreError;
use uuid::Uuid;

use crate::bed::{Bed, Outcome, cloud, on_both, pair};

on_both!(
    an_agreement_reads_back_as_it_was_made,
    of_one_project_there_is_one_agreement_at_a_time,
    of_many_made_at_once_about_one_project_one_is_kept,
    an_agreement_that_ran_out_makes_room,
    an_agreement_ends_once,
    the_star_ends_alone,
    without_the_partner_there_is_no_agreement,
);

pub(crate) fn agreement(partner: &str, project: &str) -> Agreement {
    Agreement {
        id: Uuid::new_v4().to_string(),
        partner: cloud(partner),
        projects: project.to_owned().into(),
        project_name: Some("science".into()),
        project_domain: Some("Default".into()),
        version: Some(1),
        terms: terms(),
        ended_at: None,
    }
}

pub(crate) fn terms() -> Terms {
    Terms::granting(["member".to_owned(), "reader".to_owned()], 20)
}

/// Terms in which nothing is left out.
pub(crate) fn rich_terms() -> Result<Terms, Box<dyn Error>> {
    let prices = r#"{"currency": "EUR", "per_hour": {"cores": "0.01"}}"#;
    let mut quota = Quota::default();
    quota.set(Resource::Cores, Some(8))?;
    Ok(Terms {
        services: Some(["image".to_owned()].into()),
        transitive: true,
        allow: [Door::ApplicationCredentials, Door::Trusts].into(),
        regions: Some(["one".to_owned()].into()),
        flavors: Some(["m1.small".to_owned()].into()),
        quota,
        since: 21,
        till: Some(90),
        prices: Some(serde_json::from_str(prices)?),
        retirement: Retirement {
            quarantine_after: 3600,
            delete_after: 0,
        },
        ..terms()
    })
}

async fn an_agreement_reads_back_as_it_was_made(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "west").await?;
    pair(&store, "north").await?;
    let plain = agreement("west", "p");
    let rich = Agreement {
        project_name: None,
        terms: rich_terms()?,
        ..agreement("west", "*")
    };
    let other = agreement("north", "p");
    for one in [&plain, &rich, &other] {
        store.agreements().create(one, 20).await?;
    }
    let west = cloud("west");
    let agreements = store.agreements();
    assert_eq!(agreements.by_id(&rich.id).await?, Some(rich.clone()));
    assert_eq!(
        agreements.list(Some(&west)).await?,
        [plain.clone(), rich.clone()]
    );
    assert_eq!(agreements.list(None).await?.len(), 3);
    assert_eq!(agreements.live(&west, 20).await?, slice::from_ref(&plain));
    assert_eq!(agreements.live(&west, 89).await?, [plain.clone(), rich]);
    assert_eq!(agreements.live(&west, 90).await?, [plain]);
    Ok(())
}

async fn of_one_project_there_is_one_agreement_at_a_time(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "west").await?;
    let first = agreement("west", "p");
    store.agreements().create(&first, 20).await?;
    let second = store.agreements().create(&agreement("west", "p"), 21).await;
    assert!(
        matches!(&second, Err(StoreError::AgreementExists(found)) if **found == first),
        "{second:?}"
    );
    store
        .agreements()
        .create(&agreement("west", "*"), 21)
        .await?;
    store
        .agreements()
        .create(&agreement("west", "q"), 21)
        .await?;
    Ok(())
}

async fn of_many_made_at_once_about_one_project_one_is_kept(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "west").await?;
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        racers.spawn(async move { store.agreements().create(&agreement("west", "p"), 20).await });
    }
    let mut made = 0;
    for created in racers.join_all().await {
        match created {
            Ok(()) => made += 1,
            Err(error) => assert!(matches!(error, StoreError::AgreementExists(_)), "{error:?}"),
        }
    }
    assert_eq!(made, 1);
    assert_eq!(store.agreements().list(None).await?.len(), 1);
    Ok(())
}

async fn an_agreement_that_ran_out_makes_room(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "west").await?;
    let short = Agreement {
        terms: Terms {
            till: Some(30),
            ..terms()
        },
        ..agreement("west", "p")
    };
    store.agreements().create(&short, 20).await?;
    let early = store.agreements().create(&agreement("west", "p"), 29).await;
    assert!(
        matches!(early, Err(StoreError::AgreementExists(_))),
        "{early:?}"
    );
    store
        .agreements()
        .create(&agreement("west", "p"), 30)
        .await?;
    // It ran out, nobody ended it.
    assert_eq!(store.agreements().by_id(&short.id).await?, Some(short));
    Ok(())
}

async fn an_agreement_ends_once(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "west").await?;
    let one = agreement("west", "p");
    store.agreements().create(&one, 20).await?;
    let ended = store.agreements().end(&one.id, 40).await?;
    assert_eq!(ended.ended_at, Some(40));
    assert_eq!(store.agreements().by_id(&one.id).await?, Some(ended));
    for id in [one.id.as_str(), "none"] {
        let again = store.agreements().end(id, 41).await;
        assert!(
            matches!(again, Err(StoreError::NoSuchAgreement(_))),
            "{again:?}"
        );
    }
    store
        .agreements()
        .create(&agreement("west", "p"), 41)
        .await?;
    Ok(())
}

async fn the_star_ends_alone(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "west").await?;
    let (star, one) = (agreement("west", "*"), agreement("west", "p"));
    for new in [&star, &one] {
        store.agreements().create(new, 20).await?;
    }
    let west = cloud("west");
    let ended = store.agreements().end(&star.id, 30).await?;
    assert_eq!(ended.id, star.id);
    let again = store.agreements().end(&star.id, 31).await;
    assert!(
        matches!(again, Err(StoreError::NoSuchAgreement(_))),
        "{again:?}"
    );
    assert_eq!(store.agreements().live(&west, 31).await?, [one]);
    Ok(())
}

async fn without_the_partner_there_is_no_agreement(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let orphan = store.agreements().create(&agreement("west", "p"), 20).await;
    assert!(
        matches!(orphan, Err(StoreError::NoSuchPartner(_))),
        "{orphan:?}"
    );
    assert!(store.agreements().list(None).await?.is_empty());
    Ok(())
}
