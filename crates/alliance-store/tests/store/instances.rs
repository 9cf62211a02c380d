//! Which instances of a daemon there are.

use crate::bed::{Bed, Outcome, on_both};

on_both!(an_instance_is_known_from_when_its_process_began_until_it_ends);

async fn an_instance_is_known_from_when_its_process_began_until_it_ends(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let instances = store.instances();
    instances.note("one", "one/1", "0.1", 0).await?;
    bed.execute("UPDATE instances SET started_at = 7, seen_at = seen_at - 100")
        .await?;
    let silent = |found: &[alliance_store::Instance]| {
        found
            .first()
            .map(|one| (one.started_at == 7, one.silent >= 100))
    };
    assert_eq!(silent(&instances.list().await?), Some((true, true)));
    instances.note("one", "one/1", "0.1", 0).await?;
    let found = instances.list().await?;
    assert_eq!(silent(&found), Some((true, false)));
    // Its clock shows 1970.
    assert!(found[0].clock < -1_000_000_000, "{found:?}");
    instances.note("one", "one/2", "0.2", 0).await?;
    instances.note("two", "two/1", "0.1", 0).await?;
    let found = instances.list().await?;
    assert_eq!(silent(&found), Some((false, false)));
    let known: Vec<_> = found
        .iter()
        .map(|one| (one.process.as_str(), one.version.as_str()))
        .collect();
    assert_eq!(known, [("one/2", "0.2"), ("two/1", "0.1")]);
    // One that was replaced meanwhile ends.
    instances.forget("one", "one/1").await?;
    instances.forget("two", "two/1").await?;
    assert_eq!(instances.list().await?.len(), 1);
    bed.execute("UPDATE instances SET seen_at = seen_at - 100")
        .await?;
    assert_eq!(instances.forget_silent(200).await?, 0);
    assert_eq!(instances.forget_silent(50).await?, 1);
    Ok(())
}
