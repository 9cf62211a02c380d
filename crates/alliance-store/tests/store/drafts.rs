use alliance_core::invitation::{CONFIRMATION_TIME, InvitationState};
use alliance_store::DraftOf;

use crate::bed::{Bed, Outcome, acceptance, cloud, descriptor, invitation, on_both, pair};

on_both!(pairings_under_way_are_listed_until_they_are_decided_or_too_late);

async fn pairings_under_way_are_listed_until_they_are_decided_or_too_late(bed: &Bed) -> Outcome {
    let store = bed.open().await?;
    pair(&store, "east").await?;
    let (open, accepted, waiting) = (invitation("north"), invitation("west"), acceptance("south"));
    store.invitations().create(&open, 20).await?;
    store.invitations().create(&accepted, 20).await?;
    store
        .invitations()
        .accept(&accepted.id, &descriptor("west"), 21)
        .await?;
    store.acceptances().create(&waiting, 20).await?;

    let drafts = store.drafts(999).await?;
    let found: Vec<_> = drafts
        .into_iter()
        .map(|draft| (draft.name, draft.cloud_id, draft.of))
        .collect();
    assert_eq!(
        found,
        [
            (
                "north".to_owned(),
                None,
                DraftOf::Invitation {
                    id: open.id.clone(),
                    state: InvitationState::Open
                }
            ),
            (
                "south".to_owned(),
                Some(cloud("south")),
                DraftOf::Acceptance {
                    id: waiting.id.clone()
                }
            ),
            (
                "west".to_owned(),
                Some(cloud("west")),
                DraftOf::Invitation {
                    id: accepted.id.clone(),
                    state: InvitationState::Accepted
                }
            ),
        ]
    );
    let names = async |now| -> Result<Vec<String>, alliance_store::Error> {
        let drafts = store.drafts(now).await?;
        Ok(drafts.into_iter().map(|draft| draft.name).collect())
    };
    assert_eq!(names(1000).await?, ["south", "west"]);
    assert_eq!(names(1000 + CONFIRMATION_TIME).await?, ["south"]);
    store.invitations().confirm(&accepted.id, 30).await?;
    store.acceptances().cancel(&waiting.id, 30).await?;
    assert_eq!(names(31).await?, ["north"]);
    Ok(())
}
