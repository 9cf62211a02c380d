use std::sync::Arc;

use alliance_core::usage::{BATCH, Fact, Kind, Millis, Owner, Resource, Size};
use alliance_store::{Heard, Span};

use crate::daemon::Daemon;
use crate::daemon::bed::{Bed, Failure};
use crate::daemon::directory::{Known, Way};

const SPAN: Span = Span {
    from: 0,
    to: Millis::MAX,
};

fn partner(daemon: &Daemon) -> Result<Arc<Known>, Failure> {
    let partners = daemon.directory.partners();
    Ok(Arc::clone(partners.all().first().ok_or("no partner")?))
}

/// So many volumes of west's were made at east.
async fn made(east: &Bed, west: &Bed, count: usize) -> Result<(), Failure> {
    let store = east.store();
    let lease = store.leases().take("work", "one", 1_000_000).await?;
    let lease = lease.ok_or("the lease is held")?;
    let heard: Vec<_> = (0..count)
        .map(|number| Heard {
            resource: Resource {
                kind: Kind::Volume,
                id: format!("v{number}"),
            },
            owner: Some((
                west.id().clone(),
                Owner {
                    project_id: "science".into(),
                    user_id: None,
                },
            )),
            fact: Fact {
                at: 1000,
                began: Some(1000),
                size: Some(Size::of_volume(1)),
                ..Fact::default()
            },
        })
        .collect();
    store.usage().learn(&lease, "east", &heard, 1).await?;
    Ok(())
}

#[tokio::test]
async fn what_was_told_and_not_counted_is_told_again_and_counted_once() -> Result<(), Failure> {
    let [(east, _a), (west, _b)] = Bed::host_and_home().await?;
    let count = 2 * BATCH + 1;
    made(&east, &west, count).await?;
    let known = partner(&west.daemon)?;
    let Way::Peer(client) = &known.way else {
        return Err("no way".into());
    };
    // The answer is here, and its reader dies.
    let (batch, more) = west.daemon.fetch_usage(&known, client, 0).await?;
    assert_eq!((batch.events.len(), more), (BATCH, true));
    let usage = west.store().usage();
    assert_eq!(usage.received(east.id()).await?, 0);
    // It dies with one batch of three counted.
    usage.receive(east.id(), &batch.after(0)?, 7).await?;
    assert_eq!(west.daemon.count_usage(&known).await?, count - BATCH);
    assert_eq!(west.daemon.count_usage(&known).await?, 0);
    let counted = usage.records(east.id(), west.id(), SPAN).await?;
    assert_eq!(counted.len(), count);
    let noted = east.store().usage();
    let noted = noted.records(east.id(), west.id(), SPAN).await?;
    assert_eq!(counted, noted);
    let flows = east.store().usage().flows().await?;
    let [flow] = &flows[..] else {
        return Err("one partner".into());
    };
    assert_eq!((flow.unheard, flow.unheard_since), (0, None));
    Ok(())
}
