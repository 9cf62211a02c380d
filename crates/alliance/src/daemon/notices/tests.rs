use std::sync::Arc;

use alliance_core::cloud::CloudId;
use alliance_core::limits::{Found, Held};
use alliance_core::notice::{Condition, Kind, Notice, NoticeBatch, State};
use alliance_core::retirement::{Cause, Plan};
use alliance_core::terms::{Resource, Retirement, Terms};
use alliance_peer::client::PeerError;
use alliance_peer::request_id::RequestId;
use alliance_peer::statement;
use alliance_store::{Filter, ProjectLimits};

use crate::daemon::bed::{Bed, Failure, Served};
use crate::daemon::clock::now;
use crate::daemon::directory::Known;

type Outcome = Result<(), Failure>;

const DAY: i64 = 86_400;

/// A host that grants the project `science` something for so long, and the home.
async fn clouds(till: Option<i64>) -> Result<[(Bed, Served); 2], Failure> {
    let clouds = Bed::host_and_home().await?;
    let [(east, _), (west, _)] = &clouds;
    let mut terms = Terms::granting(["member".to_owned()], now() - 10);
    terms.till = till;
    east.grants(west.id(), terms).await?;
    east.daemon
        .sign_unsigned()
        .await
        .map_err(|error| format!("{error:?}"))?;
    Ok(clouds)
}

fn partner(bed: &Bed, name: &str) -> Result<Arc<Known>, Failure> {
    let partners = bed.daemon.directory.partners();
    Ok(Arc::clone(partners.by_name(name).ok_or("no such partner")?))
}

fn failed(home: &CloudId, server: &str, project: &str) -> Condition {
    let mut notice = Notice::new(Kind::ServerFailed, server, 5);
    notice.project_id = Some(project.into());
    Condition::new(home.clone(), "", State::Holds, 5, notice)
}

async fn subjects(bed: &Bed) -> Result<Vec<(Kind, String)>, Failure> {
    let here = bed.store().notices().list(&Filter::default(), 100).await?;
    let here = here
        .into_iter()
        .map(|one| (one.notice.kind, one.notice.subject));
    Ok(here.collect())
}

#[tokio::test]
async fn what_a_host_tells_is_here_once() -> Outcome {
    let [(east, _east), (west, _west)] = clouds(None).await?;
    let host = partner(&west, "east")?;
    let seen: Vec<_> = (0..450)
        .map(|n| failed(west.id(), &format!("s{n}"), "science"))
        .collect();
    east.store().notices().watch(None, &seen, now()).await?;
    assert_eq!(west.daemon.take_notices(&host).await?, 450);
    assert_eq!(west.daemon.take_notices(&host).await?, 0);
    // Home's database is an older one.
    let unheard = |bed: &Bed| {
        let store = bed.store().clone();
        async move { store.notices().positions().await }
    };
    assert_eq!(
        unheard(&east).await?.first().map(|one| one.unheard),
        Some(0)
    );
    assert_eq!(
        unheard(&west).await?.first().map(|one| one.refused),
        Some(0)
    );
    Ok(())
}

#[tokio::test]
async fn a_project_for_which_the_host_has_given_nothing_is_none_of_its_business() -> Outcome {
    let [(east, _east), (west, _west)] = clouds(None).await?;
    let seen = [
        failed(west.id(), "one", "art"),
        failed(west.id(), "other", "science"),
    ];
    east.store().notices().watch(None, &seen, now()).await?;
    // West had not heard of the agreement yet.
    assert!(
        west.store()
            .contracts()
            .received(east.id())
            .await?
            .is_empty()
    );
    assert_eq!(west.daemon.take_notices(&partner(&west, "east")?).await?, 1);
    assert_eq!(
        subjects(&west).await?,
        [(Kind::ServerFailed, "other".into())]
    );
    let positions = west.store().notices().positions().await?;
    assert_eq!(positions.first().map(|one| one.refused), Some(1));
    Ok(())
}

#[tokio::test]
async fn who_has_no_users_here_is_told_nothing() -> Outcome {
    let [(east, _east), (_west, _served)] = clouds(None).await?;
    // East is no guest of west's.
    let known = partner(&east, "west")?;
    let client = known.peer().ok_or("no daemon")?;
    let refused = client.notices(RequestId::random(), 0).await;
    assert!(matches!(refused, Err(PeerError::Refused(_))), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn what_was_signed_for_another_or_long_ago_is_not_heard() -> Outcome {
    let [(east, _east), (west, _west)] = clouds(None).await?;
    let host = partner(&west, "east")?;
    let batch = |aud: &CloudId, iat| NoticeBatch {
        iss: east.id().clone(),
        aud: aud.clone(),
        iat,
        after: 0,
        last: 0,
        events: Vec::new(),
    };
    let key = east.identity().signing_key();
    let heard = |batch: &NoticeBatch, key| -> Result<bool, Failure> {
        let signed = statement::sign(batch, key)?;
        Ok(host.hear::<NoticeBatch>(&signed, west.id()).is_ok())
    };
    assert!(heard(&batch(west.id(), now()), key)?);
    assert!(!heard(&batch(east.id(), now()), key)?);
    assert!(!heard(&batch(west.id(), now() - 3600), key)?);
    assert!(!heard(
        &batch(west.id(), now()),
        west.identity().signing_key()
    )?);
    Ok(())
}

#[tokio::test]
async fn an_agreement_is_said_to_end_a_week_and_a_day_before() -> Outcome {
    let till = now() + 8 * DAY;
    let [(east, _east), (west, _west)] = clouds(Some(till)).await?;
    let mut told = Vec::new();
    for days in [8, 7, 6, 2, 1, 1, 0] {
        told.push(east.daemon.notice_once(till - days * DAY).await?);
    }
    assert_eq!(told, [0, 1, 0, 0, 1, 0, 0]);
    west.daemon.take_notices(&partner(&west, "east")?).await?;
    let here = west.store().notices().list(&Filter::default(), 100).await?;
    let here: Vec<_> = here
        .iter()
        .map(|one| (one.notice.kind, one.notice.till))
        .collect();
    assert_eq!(here, [(Kind::AgreementEnding, Some(till)); 2]);
    Ok(())
}

#[tokio::test]
async fn a_quota_that_is_nearly_used_is_said_once_until_it_is_far_from_it() -> Outcome {
    let [(east, _east), (west, _west)] = clouds(None).await?;
    let lease = east.store().leases().take("work", "one", 60).await?;
    let lease = lease.ok_or("the lease is held")?;
    let mut told = Vec::new();
    for (used, at) in [(8, 1), (9, 2), (10, 3), (8, 4), (9, 5), (7, 6), (9, 7)] {
        let held = Held {
            agreed: Some(10),
            set: Some(10),
            found: Found {
                limit: Some(10),
                used,
            },
        };
        let seen = ProjectLimits {
            cloud_id: west.id().clone(),
            project_id: "science".into(),
            region: "RegionOne".into(),
            limits: [(Resource::Cores, held)].into(),
            problem: None,
            at,
        };
        east.store().project_limits().note(&lease, &seen).await?;
        told.push(east.daemon.notice_once(at).await?);
    }
    assert_eq!(told, [0, 1, 0, 0, 0, 0, 1]);
    west.daemon.take_notices(&partner(&west, "east")?).await?;
    let here = west.store().notices().list(&Filter::default(), 100).await?;
    let here: Vec<_> = here
        .iter()
        .map(|one| {
            (
                one.notice.subject.as_str(),
                one.notice.used,
                one.notice.allowed,
            )
        })
        .collect();
    assert_eq!(here, [("cores", Some(9), Some(10)); 2]);
    Ok(())
}

#[tokio::test]
async fn a_retirement_is_said_when_it_begins_and_when_it_is_held() -> Outcome {
    let [(east, _east), (west, _west)] = clouds(None).await?;
    let plan = Plan::begin(Cause::ProjectDisabled, Retirement::default(), now());
    let retirements = east.store().retirements();
    retirements
        .begin("r", west.id(), "science", &plan, now())
        .await?;
    assert_eq!(east.daemon.notice_once(now()).await?, 1);
    let held = Plan {
        is_held: true,
        ..plan
    };
    let begun = retirements.by_id("r").await?.ok_or("it is not there")?;
    assert!(retirements.replan(&begun, &held, now()).await?);
    for expected in [1, 0] {
        assert_eq!(east.daemon.notice_once(now()).await?, expected);
    }
    west.daemon.take_notices(&partner(&west, "east")?).await?;
    let expected = [Kind::RetirementBegan, Kind::RetirementHeld].map(|kind| (kind, "r".into()));
    assert_eq!(subjects(&west).await?, expected);
    Ok(())
}
