//! What has ended here, and who has heard of it.

use alliance_core::sign_out::{Change, LookAgain};
use alliance_store::{Behind, NewSignOut, Store};

use crate::bed::{Bed, Outcome, cloud, on_both};

on_both!(
    each_host_hears_everything_once_and_in_order,
    what_was_said_twice_is_noted_once,
    a_host_is_not_told_what_was_before_it_came,
    numbers_go_on_when_old_ones_are_forgotten,
    numbers_go_on_beyond_two_thousand_million,
    people_are_shown_the_newest_and_who_has_heard_them,
);

fn change(user: &str) -> Change {
    Change::LookAgain(LookAgain {
        user_id: Some(user.into()),
        ..LookAgain::default()
    })
}

fn new(user: &str, digest: Option<&str>) -> NewSignOut {
    NewSignOut {
        digest: digest.map(str::to_owned),
        change: change(user),
    }
}

async fn unheard(
    store: &Store,
    host: &str,
    limit: usize,
) -> Result<Vec<u64>, alliance_store::Error> {
    let noted = store.sign_outs().unheard(&cloud(host), 0, limit).await?;
    Ok(noted.into_iter().map(|noted| noted.seq).collect())
}

async fn each_host_hears_everything_once_and_in_order(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let many: Vec<_> = (0..250)
        .map(|number| new(&number.to_string(), None))
        .collect();
    assert_eq!(store.sign_outs().append(&many, 10).await?, 250);
    let first = unheard(&store, "east", 100).await?;
    assert_eq!(first.len(), 100);
    assert_eq!(unheard(&store, "east", 100).await?, first, "not heard yet");
    let last = first.last().copied().unwrap_or_default();
    assert_eq!(store.sign_outs().hears(&cloud("east"), last).await?, 0);
    store.close().await;

    let store = bed.open().await?;
    let rest = unheard(&store, "east", 1000).await?;
    assert_eq!(rest.len(), 150);
    assert!(rest.iter().all(|seq| *seq > last) && rest.is_sorted());
    assert_eq!(unheard(&store, "north", 1000).await?.len(), 250);
    // Neither back nor beyond what there is.
    let before = store.sign_outs().hears(&cloud("east"), last - 1).await?;
    assert_eq!(before, last, "it had heard more");
    store.sign_outs().hears(&cloud("east"), 10_000).await?;
    store.sign_outs().hears(&cloud("east"), u64::MAX).await?;
    assert_eq!(unheard(&store, "east", 1000).await?, rest);
    let behind = Behind {
        host: cloud("east"),
        unheard: 150,
        unheard_since: Some(10),
    };
    assert_eq!(
        store.sign_outs().behind().await?,
        std::slice::from_ref(&behind)
    );
    for (since, unheard, unheard_since) in [(10, 250, Some(10)), (11, 0, None)] {
        let host = cloud("north");
        let untold = Behind {
            host: host.clone(),
            unheard,
            unheard_since,
        };
        assert_eq!(store.sign_outs().untold(&host, since).await?, untold);
    }
    let noted = store.sign_outs().unheard(&cloud("east"), 0, 1).await?;
    assert_eq!(
        noted.first().map(|noted| &noted.change),
        Some(&change("100"))
    );
    let newest = rest.last().copied().unwrap_or_default();
    store.sign_outs().hears(&cloud("east"), newest).await?;
    let behind = Behind {
        unheard: 0,
        unheard_since: None,
        ..behind
    };
    assert_eq!(store.sign_outs().behind().await?, [behind]);
    Ok(())
}

async fn what_was_said_twice_is_noted_once(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let sign_outs = store.sign_outs();
    let (a, b) = (new("ann", Some("a")), new("bob", Some("b")));
    assert_eq!(sign_outs.append(&[a.clone(), a.clone()], 10).await?, 1);
    assert_eq!(sign_outs.append(&[a, b], 11).await?, 1);
    let again = [new("ann", None), new("ann", None)];
    assert_eq!(sign_outs.append(&again, 12).await?, 2);
    assert_eq!(unheard(&store, "east", 10).await?.len(), 4);
    Ok(())
}

async fn a_host_is_not_told_what_was_before_it_came(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let sign_outs = store.sign_outs();
    sign_outs.append(&[new("ann", None)], 10).await?;
    sign_outs.append(&[new("bob", None)], 20).await?;
    let told = sign_outs.unheard(&cloud("east"), 15, 10).await?;
    assert_eq!(told.len(), 1);
    sign_outs
        .hears(&cloud("east"), told.first().map_or(0, |noted| noted.seq))
        .await?;
    sign_outs.append(&[new("cat", None)], 12).await?;
    // A clock that was set back keeps nothing from a host that listens.
    assert_eq!(sign_outs.unheard(&cloud("east"), 15, 10).await?.len(), 1);
    Ok(())
}

async fn numbers_go_on_when_old_ones_are_forgotten(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let sign_outs = store.sign_outs();
    sign_outs
        .append(&[new("ann", Some("a")), new("bob", None)], 10)
        .await?;
    let last = unheard(&store, "east", 10)
        .await?
        .last()
        .copied()
        .unwrap_or_default();
    sign_outs.hears(&cloud("east"), last).await?;
    assert_eq!(sign_outs.forget_before(1000).await?, 1);
    assert_eq!(sign_outs.append(&[new("cat", None)], 1000).await?, 1);
    let next = unheard(&store, "east", 10).await?;
    assert_eq!(next.len(), 1);
    assert!(next.iter().all(|seq| *seq > last));
    Ok(())
}

async fn numbers_go_on_beyond_two_thousand_million(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    bed.execute("INSERT INTO sign_outs (seq, what, at) VALUES (2147483647, '{}', 1)")
        .await?;
    bed.execute(
        "INSERT INTO audit (seq, at, actor, action, subject, detail) \
         VALUES (2147483647, 1, 'somebody', 'did', 'something', '')",
    )
    .await?;
    store.sign_outs().append(&[new("ann", None)], 10).await?;
    let noted = store.sign_outs().unheard(&cloud("east"), 5, 10).await?;
    let [ann] = &noted[..] else {
        return Err(format!("{noted:?}").into());
    };
    assert!(ann.seq > 2_147_483_647, "{}", ann.seq);
    store.sign_outs().hears(&cloud("east"), ann.seq).await?;
    assert_eq!(unheard(&store, "east", 10).await?, Vec::<u64>::new());
    bed.execute(
        "INSERT INTO audit (at, actor, action, subject, detail) VALUES (2, 'ann', 'did', 'it', '')",
    )
    .await
}

async fn people_are_shown_the_newest_and_who_has_heard_them(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let sign_outs = store.sign_outs();
    assert_eq!(sign_outs.recent(2).await?, []);
    for (at, user) in [(10, "ann"), (20, "bob"), (30, "eve")] {
        sign_outs.append(&[new(user, None)], at).await?;
    }
    let shown = sign_outs.recent(2).await?;
    let shown: Vec<_> = shown.iter().map(|one| (one.at, &one.change)).collect();
    assert_eq!(shown, [(30, &change("eve")), (20, &change("bob"))]);
    assert_eq!(sign_outs.heard_by().await?, []);
    let first = unheard(&store, "east", 1).await?;
    let first = first.first().copied().unwrap_or_default();
    sign_outs.hears(&cloud("east"), first).await?;
    assert_eq!(sign_outs.heard_by().await?, [(cloud("east"), first)]);
    store.close().await;
    Ok(())
}
