//! Projects of partners whose users were here.

use alliance_store::GuestProject;

use crate::bed::{Bed, Outcome, cloud, on_both};

on_both!(a_project_that_was_here_is_known_by_its_newest_name_after_a_restart);

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
