use std::collections::BTreeSet;

use crate::bed::{Bed, Outcome, on_both};

on_both!(no_generation_is_given_twice,);

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
