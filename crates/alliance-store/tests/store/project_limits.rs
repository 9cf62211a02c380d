use alliance_core::limits::{Found, Held, Limits};
use alliance_core::terms::Resource;
use alliance_store::{Error, ProjectLimits};

use crate::bed::{Bed, Outcome, cloud, on_both};

on_both!(
    the_last_word_on_a_projects_limits_counts,
    who_has_lost_the_lease_notes_no_limits,
);

fn seen(used: i64, at: i64) -> ProjectLimits {
    let held = Held {
        agreed: Some(4),
        set: Some(4),
        found: Found {
            limit: Some(4),
            used,
        },
    };
    ProjectLimits {
        cloud_id: cloud("west"),
        project_id: "science".to_owned(),
        region: "RegionOne".to_owned(),
        limits: Limits::from([(Resource::Cores, held)]),
        problem: Some("Nova was not reached".to_owned()),
        at,
    }
}

async fn the_last_word_on_a_projects_limits_counts(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let lease = store.leases().take("work", "one", 60).await?;
    let lease = lease.ok_or("the lease is held")?;
    let limits = store.project_limits();
    limits.note(&lease, &seen(1, 1)).await?;
    let last = ProjectLimits {
        problem: None,
        ..seen(2, 2)
    };
    limits.note(&lease, &last).await?;
    assert_eq!(limits.list().await?, [last]);
    Ok(())
}

async fn who_has_lost_the_lease_notes_no_limits(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let lost = store.leases().take("work", "one", 60).await?;
    let lost = lost.ok_or("the lease is held")?;
    store.leases().take("work", "one", 0).await?;
    store.leases().take("work", "two", 60).await?;
    let noted = store.project_limits().note(&lost, &seen(1, 1)).await;
    assert!(matches!(noted, Err(Error::LeaseLost(_))), "{noted:?}");
    assert_eq!(store.project_limits().list().await?, []);
    Ok(())
}
