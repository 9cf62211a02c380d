use std::task::{Context, Waker};
use std::time::Instant;

use alliance_store::SeenToken;
use futures_util::future::maybe_done;

use crate::bed::{Bed, Outcome, cloud, on_both};

on_both!(
    a_partners_tokens_are_known_until_they_expire,
    many_at_once_are_written_together_and_none_is_lost,
    what_one_request_noted_is_kept_though_others_are_given_up,
    what_the_database_did_not_take_is_known_all_the_same,
);

fn seen(number: u32, partner: &str, expires_at: i64) -> SeenToken {
    SeenToken {
        token_sha256: format!("{number:064x}"),
        cloud_id: cloud(partner),
        user_id: "u".into(),
        project_id: (number.is_multiple_of(2)).then(|| "p".into()),
        expires_at,
        session: None,
        origin: None,
    }
}

async fn a_partners_tokens_are_known_until_they_expire(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let tokens = store.seen_tokens();
    tokens.note(seen(1, "west", 100)).await?;
    tokens.note(seen(1, "west", 100)).await?;
    tokens.note(seen(2, "west", 200)).await?;
    tokens.note(seen(3, "north", 200)).await?;
    let west = cloud("west");
    assert_eq!(tokens.of_partner(&west, 99).await?.len(), 2);
    assert_eq!(
        tokens.of_partner(&west, 100).await?,
        [seen(2, "west", 200).token_sha256]
    );
    assert_eq!(tokens.forget_expired(100).await?, 1);
    assert_eq!(tokens.forget_expired(200).await?, 2);
    assert_eq!(tokens.forget_expired(200).await?, 0);
    Ok(())
}

async fn many_at_once_are_written_together_and_none_is_lost(bed: &Bed) -> Outcome {
    const MANY: u32 = 1000;
    let store = bed.open().await?;
    let begin = Instant::now();
    let mut notes = tokio::task::JoinSet::new();
    for number in 0..MANY {
        let store = store.clone();
        notes.spawn(async move { store.seen_tokens().note(seen(number, "west", 100)).await });
    }
    for noted in notes.join_all().await {
        noted?;
    }
    // One commit each would take longer than this on any disk that keeps its word.
    assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
    let known = store.seen_tokens().of_partner(&cloud("west"), 1).await?;
    assert_eq!(known.len(), MANY as usize);
    Ok(())
}

async fn what_one_request_noted_is_kept_though_others_are_given_up(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let tokens = store.seen_tokens();
    let mut first = Box::pin(tokens.note(seen(1, "west", 100)));
    let mut second = Box::pin(tokens.note(seen(2, "west", 100)));
    let mut third = Box::pin(maybe_done(tokens.note(seen(3, "west", 100))));
    let mut moment = Context::from_waker(Waker::noop());
    // The first writes, the others wait; then the second writes for the third. A quick database may
    // have taken it before anybody is given up.
    let _ = first.as_mut().poll(&mut moment);
    let is_done = second.as_mut().poll(&mut moment).is_ready();
    let _ = third.as_mut().poll(&mut moment);
    drop(first);
    let _ = !is_done && second.as_mut().poll(&mut moment).is_ready();
    drop(second);
    third.as_mut().await;
    third.as_mut().take_output().ok_or("it has no end")??;
    let known = store.seen_tokens().of_partner(&cloud("west"), 1).await?;
    assert!(known.contains(&seen(3, "west", 100).token_sha256));
    Ok(())
}

async fn what_the_database_did_not_take_is_known_all_the_same(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let tokens = store.seen_tokens();
    bed.execute("ALTER TABLE seen_tokens RENAME TO elsewhere")
        .await?;
    assert!(tokens.note(seen(1, "west", 100)).await.is_err());
    bed.execute("ALTER TABLE elsewhere RENAME TO seen_tokens")
        .await?;
    let west = cloud("west");
    let known = [seen(1, "west", 100).token_sha256];
    assert_eq!(tokens.of_partner(&west, 99).await?, known);
    assert!(tokens.of_partner(&cloud("north"), 99).await?.is_empty());
    let on_disk = "SELECT COUNT(*) FROM seen_tokens";
    assert_eq!(bed.count(on_disk).await?, 0);
    tokens.write_waiting().await?;
    assert_eq!(bed.count(on_disk).await?, 1);
    assert_eq!(tokens.of_partner(&west, 99).await?, known);
    Ok(())
}
