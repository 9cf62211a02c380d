use alliance_cloud::bus::{BusError, Hosts};
use alliance_cloud::publishing::Settings;
use alliance_core::cloud::CloudId;
use alliance_core::usage::{Kind, Numbered, Owner, Part, Record, Resource, Size};
use alliance_store::AuditEvent;

use super::*;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The hour that is due.
const DUE: u64 = 500_000;
const NOW: Seconds = 500_000 * 3600 + 600;

/// A home to which a host has told of this many volumes that last.
async fn home(folder: &tempfile::TempDir, count: u64) -> anyhow::Result<Store> {
    let url = format!("sqlite://{}", folder.path().join("db").display());
    let store = Store::open(&url, &CloudId::from_spki(b"west")).await?;
    tell(&store, count).await?;
    Ok(store)
}

/// The host tells of so many, numbered from 1 on.
async fn tell(store: &Store, count: u64) -> anyhow::Result<()> {
    let record = |number: u64| Record {
        part: Part {
            resource: Resource {
                kind: Kind::Volume,
                id: number.to_string(),
            },
            part: 0,
        },
        owner: Owner {
            project_id: "science".into(),
            user_id: None,
        },
        region: "RegionOne".into(),
        size: Size::of_volume(1),
        from: 7,
        to: None,
    };
    let told: Vec<Numbered> = (1..=count).map(|one| (one, Some(record(one)))).collect();
    let east = CloudId::from_spki(b"east");
    store.usage().receive(&east, &told, 7).await?;
    Ok(())
}

/// Whether each step says something, and how far it leads.
fn seen(steps: &[Step]) -> Vec<(bool, u64)> {
    let seen = steps.iter();
    seen.map(|step| (step.notification.is_some(), step.reaches))
        .collect()
}

#[tokio::test]
async fn all_that_there_was_at_an_hour_is_said_before_the_hour_is_over() -> Outcome {
    let folder = tempfile::tempdir()?;
    let store = home(&folder, AT_ONCE as u64 + 1).await?;
    let mut hours = Hours::default();
    let steps = hours.next(&store, DUE - 1, NOW).await?;
    assert_eq!(seen(&steps), [(true, DUE - 1); AT_ONCE]);
    let steps = hours.next(&store, DUE - 1, NOW).await?;
    assert_eq!(seen(&steps), [(true, DUE - 1), (false, DUE)]);
    assert!(hours.next(&store, DUE, NOW).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_hour_is_said_ten_minutes_later_and_a_day_of_them_made_up_for() -> Outcome {
    let folder = tempfile::tempdir()?;
    let store = home(&folder, 0).await?;
    let mut hours = Hours::default();
    assert_eq!(Hours::beginning(NOW), DUE);
    assert!(hours.next(&store, DUE - 1, NOW - 1).await?.is_empty());
    let first = hours.next(&store, DUE - 1000, NOW).await?;
    assert_eq!(seen(&first), [(false, DUE - 23)]);
    Ok(())
}

/// Who says it, with nobody at the other end.
fn speaker(store: &Store) -> Result<Speaker<'_>, BusError> {
    Ok(Speaker {
        settings: Settings {
            hosts: Hosts::of("amqp://127.0.0.1:1/")?,
            exchange: "alliance".into(),
            topic: "notifications".into(),
        },
        store,
        publisher: None,
    })
}

#[tokio::test]
async fn what_is_not_said_is_noted_where_it_failed_and_nowhere_else() -> Outcome {
    let folder = tempfile::tempdir()?;
    let store = home(&folder, 0).await?;
    let mut speaker = speaker(&store)?;
    // The first look says that nothing before is said.
    assert!(speaker.turn(&mut Usage, true).await == Turn::Nothing);
    tell(&store, 1).await?;
    assert!(speaker.turn(&mut Usage, true).await == Turn::Failed);
    assert!(speaker.turn(&mut Notices, true).await == Turn::Nothing);
    let deliveries = store.deliveries();
    let usage = deliveries.state(Receiver::BusUsage).await?;
    let usage = usage.unwrap_or_default();
    assert_eq!((usage.number, usage.waiting), (0, 1));
    assert!(usage.failing_since.is_some() && usage.problem.is_some());
    let notices = deliveries.state(Receiver::Bus).await?;
    assert_eq!(notices.unwrap_or_default().failing_since, None);
    Ok(())
}

#[tokio::test]
async fn an_hour_that_failed_half_way_begins_anew() -> Outcome {
    let folder = tempfile::tempdir()?;
    let store = home(&folder, 2 * AT_ONCE as u64).await?;
    let before = Hours::beginning(now()) - 1;
    store.deliveries().begin(Receiver::BusHours, before).await?;
    let mut hours = Hours::default();
    assert!(speaker(&store)?.turn(&mut hours, true).await == Turn::Failed);
    assert_eq!(hours.record, 0);
    let reached = store.deliveries().reached(Receiver::BusHours).await?;
    assert_eq!(reached, Some(before));
    Ok(())
}

fn event(id: &str, at: i64) -> AuditEvent {
    AuditEvent {
        id: id.into(),
        at,
        event: format!(
            r#"{{"id": "{id}", "name": "alliance.token.refused", "observer": {{"name": "west"}}}}"#
        ),
    }
}

#[tokio::test]
async fn an_audit_event_is_said_until_somebody_has_it() -> Outcome {
    let folder = tempfile::tempdir()?;
    let store = home(&folder, 0).await?;
    let events = store.audit_events();
    events.append(&[event("a", 1), event("b", 2)]).await?;
    let mut audit = Audit::default();
    assert!(speaker(&store)?.turn(&mut audit, true).await == Turn::Failed);
    let state = store.deliveries().state(Receiver::BusAudit).await?;
    assert!(state.is_some_and(|state| state.failing_since.is_some()));
    let steps = audit.next(&store, 0, NOW).await?;
    assert_eq!(seen(&steps), [(true, 1), (true, 2)]);
    let said = steps[0].notification.as_ref().ok_or("nothing is said")?;
    assert_eq!(
        (said.id.as_str(), said.publisher.as_str()),
        ("a", "alliance.west")
    );
    assert_eq!(said.event_type, "alliance.token.refused");
    assert_eq!(said.payload["id"], "a");
    // Another instance was late; what was said is not said again.
    events.append(&[event("c", 0)]).await?;
    let steps = audit.next(&store, 2, NOW).await?;
    assert_eq!(seen(&steps), [(true, 3)]);
    assert!(audit.next(&store, 3, NOW).await?.is_empty());
    assert!(events.oldest(10).await?.is_empty());
    Ok(())
}
