//! Audit events on their way to the message bus.

use alliance_store::AuditEvent;

use crate::bed::{Bed, Outcome, on_both};

on_both!(
    events_are_read_oldest_first_until_they_are_deleted,
    what_is_written_twice_is_there_once,
    the_oldest_go_where_nobody_reads_them,
);

fn event(id: &str, at: i64) -> AuditEvent {
    AuditEvent {
        id: id.into(),
        at,
        event: format!("{{\"id\": \"{id}\", \"who\": \"Änn\"}}"),
    }
}

async fn events_are_read_oldest_first_until_they_are_deleted(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let events = store.audit_events();
    let [a, b, c] = [event("a", 1), event("b", 2), event("c", 3)];
    events.append(&[c.clone(), b.clone()]).await?;
    // Another instance is late.
    events.append(std::slice::from_ref(&a)).await?;
    assert_eq!(events.oldest(2).await?, [a, b]);
    events.forget(&["a".into(), "b".into()]).await?;
    assert_eq!(events.oldest(2).await?, [c]);
    Ok(())
}

async fn what_is_written_twice_is_there_once(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let events = store.audit_events();
    let some: Vec<_> = (0..250).map(|n| event(&format!("{n:03}"), n)).collect();
    events.append(&some).await?;
    events.append(&some).await?;
    assert_eq!(events.oldest(1000).await?, some);
    let ids: Vec<_> = some.into_iter().map(|event| event.id).collect();
    events.forget(&ids).await?;
    assert!(events.oldest(1).await?.is_empty());
    Ok(())
}

async fn the_oldest_go_where_nobody_reads_them(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let events = store.audit_events();
    let some: Vec<_> = (0..10).map(|n| event(&n.to_string(), n)).collect();
    events.append(&some).await?;
    assert_eq!(events.keep(10).await?, 0);
    assert_eq!(events.keep(4).await?, 6);
    assert_eq!(events.oldest(100).await?, some[6..]);
    Ok(())
}
