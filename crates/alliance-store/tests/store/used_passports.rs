//! Login passports that were used.

use crate::bed::{Bed, Outcome, cloud, on_both};

on_both!(
    a_passport_is_used_once_also_after_a_restart,
    of_many_who_use_it_at_once_one_is_first,
);

async fn a_passport_is_used_once_also_after_a_restart(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let west = cloud("west");
    assert!(!store.used_passports().is_used(&west, "a").await?);
    assert!(store.used_passports().use_up(&west, "a", 100).await?);
    assert!(store.used_passports().is_used(&west, "a").await?);
    store.close().await;
    let store = bed.open().await?;
    let used = store.used_passports();
    assert!(!used.use_up(&west, "a", 100).await?);
    // Neither another one, nor that of another home, nor one that differs in case.
    assert!(used.use_up(&west, "b", 200).await?);
    assert!(used.use_up(&west, "A", 200).await?);
    assert!(used.use_up(&cloud("north"), "a", 200).await?);
    assert_eq!(used.forget_expired(100).await?, 1);
    assert!(!used.use_up(&west, "b", 200).await?);
    Ok(())
}

async fn of_many_who_use_it_at_once_one_is_first(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = store.clone();
        tries.spawn(async move {
            let west = cloud("west");
            store.used_passports().use_up(&west, "a", 100).await
        });
    }
    let mut first = 0;
    while let Some(tried) = tries.join_next().await {
        first += usize::from(tried??);
    }
    assert_eq!(first, 1);
    Ok(())
}
