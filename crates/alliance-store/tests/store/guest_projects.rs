//! Projects of partners whose users were here.

use alliance_store::GuestProject;

use crate::bed::{Bed, Outcome, cloud, on_both};

on_both!(
    a_project_that_was_here_is_known_by_its_newest_name_after_a_restart,
    what_another_instance_has_seen_is_not_forgotten,
);

async fn a_project_that_was_here_is_known_by_its_newest_name_after_a_restart(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let science = GuestProject {
        cloud_id: cloud("west"),
        project_id: "p".into(),
        name: Some("science".into()),
        domain_name: None,
        first_seen: 10,
        last_seen: 10,
    };
    let elsewhere = GuestProject {
        cloud_id: cloud("north"),
        name: None,
        ..science.clone()
    };
    let both = [science.clone(), elsewhere.clone()];
    store.guest_projects().note(&both).await?;
    let renamed = GuestProject {
        name: Some("sciences".into()),
        domain_name: Some("Default".into()),
        last_seen: 90,
        ..science
    };
    store
        .guest_projects()
        .note(std::slice::from_ref(&renamed))
        .await?;
    store.close().await;
    let mut found = bed.open().await?.guest_projects().list().await?;
    found.sort_by_key(|project| project.first_seen + project.last_seen);
    assert_eq!(found, [elsewhere, renamed]);
    Ok(())
}

async fn what_another_instance_has_seen_is_not_forgotten(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    let seen = |name: Option<&str>, first_seen, last_seen| GuestProject {
        cloud_id: cloud("west"),
        project_id: "p".into(),
        name: name.map(str::to_owned),
        domain_name: None,
        first_seen,
        last_seen,
    };
    for one in [seen(Some("science"), 10, 70), seen(None, 20, 50)] {
        store.guest_projects().note(&[one]).await?;
    }
    let found = store.guest_projects().list().await?;
    assert_eq!(found, [seen(Some("science"), 10, 70)]);
    Ok(())
}
