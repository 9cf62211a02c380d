use std::collections::BTreeSet;

use crate::bed::{Bed, Outcome, on_both};

on_both!(
    no_generation_is_given_twice,
    a_pending_ring_is_kept_until_it_is_taken_back,
);

async fn no_generation_is_given_twice(bed: &Bed) -> Outcome {
    let (one, other) = (bed.open().await?, bed.open().await?);
    let mut takers = tokio::task::JoinSet::new();
    for store in [&one, &other].into_iter().cycle().take(20) {
        let store = store.clone();
        takers.spawn(async move { store.meta().next_generation().await });
    }
    let mut given = BTreeSet::new();
    for taken in takers.join_all().await {
        assert!(given.insert(taken?));
    }
    let highest = *given.last().ok_or("none")?;
    assert_eq!(one.meta().next_generation().await?, highest + 1);
    Ok(())
}

async fn a_pending_ring_is_kept_until_it_is_taken_back(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    assert_eq!(store.meta().pending_ring().await?, None);
    for ring in ["aa", "bb"] {
        store.meta().set_pending_ring(Some(ring)).await?;
        let again = bed.open().await?;
        assert_eq!(again.meta().pending_ring().await?.as_deref(), Some(ring));
    }
    store.meta().set_pending_ring(None).await?;
    assert_eq!(store.meta().pending_ring().await?, None);
    Ok(())
}
