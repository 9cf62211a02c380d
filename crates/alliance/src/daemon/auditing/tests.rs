use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use alliance_core::partner::Role;
use alliance_peer::service::{Call, PeerService};
use serde_json::Value;

use super::*;
use crate::daemon::bed::{Bed, Failure, descriptor};
use crate::daemon::home::PeerSide;
use crate::daemon::metrics::{Metrics, Readings};
use crate::wire::ValidateRequest;

type Outcome = Result<(), Failure>;

fn config(folder: &Path, audit: &str) -> Result<Config, Failure> {
    let text = format!(
        r#"
        [cloud]
        name = "east"
        state_dir = {folder:?}
        [peer]
        url = "https://127.0.0.1:1"
        [keystone]
        auth_url = "http://127.0.0.1:1/v3"
        password = "none"
        {audit}
        "#
    );
    Ok(Config::parse(&text, Path::new("alliance.toml"))?)
}

/// With a file, and nothing else.
async fn auditor(file: &Path, metrics: &AuditMetrics) -> Result<(Auditor, Store), Failure> {
    let folder = file.parent().ok_or("no folder")?;
    let id = CloudId::from_spki(b"east");
    let url = format!("sqlite://{}", folder.join("db").display());
    let store = Store::open(&url, &id).await?;
    let config = config(folder, &format!("[audit]\nfile = {file:?}"))?;
    Ok((Auditor::start(&config, &id, &store, metrics), store))
}

fn refused(auditor: &Auditor, partner: Option<&Known>, reason: Reason, token: &str) {
    auditor.decided(Some(reason), || Case {
        matter: Matter::Token,
        partner,
        person: Person {
            token: Some(token.to_owned()),
            ..Person::default()
        },
        via: Some(Via::Local),
        request_id: None,
    });
}

fn events(file: &Path) -> Result<Vec<Value>, Failure> {
    let text = fs::read_to_string(file)?;
    let events = text.lines().map(serde_json::from_str);
    Ok(events.collect::<Result<_, _>>()?)
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Outcome {
    for _ in 0..2000 {
        if is_so() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(format!("never: {what}").into())
}

#[tokio::test]
async fn junk_of_strangers_is_an_event_and_a_sum() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("audit.log");
    let (auditor, _store) = auditor(&file, &AuditMetrics::default()).await?;
    for number in 0..50_000 {
        refused(
            &auditor,
            None,
            Reason::UnknownPartner,
            &format!("#{number}"),
        );
    }
    refused(&auditor, None, Reason::Malformed, "#");
    auditor.finish().await;
    let events = events(&file)?;
    let codes: Vec<_> = events
        .iter()
        .map(|event| event["reason"]["reasonCode"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(codes, ["unknown_partner", "malformed", "unknown_partner"]);
    assert_eq!(events[2]["measurements"][0]["result"], "49999");
    let mode = fs::metadata(&file)?.permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    Ok(())
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_made_anew() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (file, moved) = (folder.path().join("audit.log"), folder.path().join("moved"));
    // Somebody died here within a line.
    fs::write(&file, "{\"half\"")?;
    let (auditor, _store) = auditor(&file, &AuditMetrics::default()).await?;
    refused(&auditor, None, Reason::Malformed, "#1");
    until("the first is written", || {
        fs::read_to_string(&file).is_ok_and(|text| text.ends_with("}\n"))
    })
    .await?;
    fs::rename(&file, &moved)?;
    refused(&auditor, None, Reason::UnknownPartner, "#2");
    auditor.finish().await;
    let before = fs::read_to_string(&moved)?;
    let lines: Vec<_> = before.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, "{\"half\""));
    assert_eq!(events(&file)?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_written_is_kept_for_later_and_said_in_metrics() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("absent/audit.log");
    fs::create_dir(folder.path().join("absent"))?;
    let metrics = Metrics::new();
    let (auditor, _store) = auditor(&file, &metrics.audit).await?;
    fs::rename(
        folder.path().join("absent"),
        folder.path().join("db-is-open"),
    )?;
    refused(&auditor, None, Reason::Malformed, "#");
    let fails = |metrics: &Metrics| {
        let text = metrics.text(&Readings::default()).unwrap_or_default();
        text.contains("alliance_audit_failing_since_seconds{to=\"file\"} 1")
    };
    until("it fails", || fails(&metrics)).await?;
    fs::create_dir(folder.path().join("absent"))?;
    until("it is written again", || !fails(&metrics)).await?;
    auditor.finish().await;
    assert_eq!(events(&file)?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_does_not_fit_into_the_queue_is_counted_and_said() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("audit.log");
    let metrics = Metrics::new();
    let (auditor, _store) = auditor(&file, &metrics.audit).await?;
    let desk = auditor.0.as_ref().ok_or("nothing is written")?;
    // Nobody empties the queue while this runs: there is one thread.
    for _ in 0..10_000 {
        desk.say(|stamp, observer| Event::lost(stamp, observer, 0));
    }
    auditor.finish().await;
    let events = events(&file)?;
    let lost: Vec<_> = events
        .iter()
        .filter_map(|event| event["measurements"][0]["result"].as_str())
        .filter(|count| *count != "0")
        .collect();
    let text = metrics.text(&Readings::default())?;
    assert_eq!(lost.len(), 1);
    let count: usize = lost[0].parse()?;
    assert_eq!(events.len() + count, 10_001);
    let sample = format!("alliance_audit_events_total{{to=\"file\",result=\"lost\"}} {count}");
    assert!(text.contains(&sample), "{text}");
    Ok(())
}

#[tokio::test]
async fn what_is_for_the_bus_waits_in_the_database() -> Outcome {
    let folder = tempfile::tempdir()?;
    let id = CloudId::from_spki(b"east");
    let url = format!("sqlite://{}", folder.path().join("db").display());
    let store = Store::open(&url, &id).await?;
    let metrics = AuditMetrics::default();
    let bus = config(
        folder.path(),
        "[audit]\nbus = true\n[notify]\nexchange = \"a\"",
    )?;
    let auditor = Auditor::start(&bus, &id, &store, &metrics);
    refused(&auditor, None, Reason::Malformed, "#");
    auditor.finish().await;
    let waiting = store.audit_events().oldest(10).await?;
    let event: Value = serde_json::from_str(&waiting.first().ok_or("nothing waits")?.event)?;
    assert_eq!(event["id"], waiting[0].id);
    assert_eq!(event["name"], "alliance.token.refused");
    // Where nobody would say it, nothing is kept.
    let nobody = config(folder.path(), "[audit]\nbus = true")?;
    assert!(Auditor::start(&nobody, &id, &store, &metrics).0.is_none());
    Ok(())
}

#[tokio::test]
async fn what_the_daemon_decides_and_does_is_written() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("audit.log");
    let east = Bed::audited(&file).await?;
    let west = Bed::new().await?;
    let told = descriptor(west.identity(), west.identity(), "https://127.0.0.1:1")?;
    east.knows("west", told, Role::Guest).await?;
    let daemon = &east.daemon;
    daemon
        .audit("operator", "partner.suspended", "west", west.id().as_str())
        .await;
    let request = |explain| ValidateRequest {
        token: format!("{}~{}", west.id().tag(), "ab".repeat(16)),
        max_age: 0.0,
        held_for: 0.0,
        mode: None,
        refuse_expired: false,
        explain,
    };
    let id = RequestId::random();
    daemon.host.validate(&request(false), id).await;
    // An operator asks what would be.
    daemon.host.validate(&request(true), id).await;
    daemon.auditor.finish().await;
    let events = events(&file)?;
    let names: Vec<_> = events.iter().map(|event| event["name"].as_str()).collect();
    assert_eq!(
        names,
        [
            Some("alliance.partner.suspended"),
            Some("alliance.token.undecided")
        ]
    );
    assert_eq!(events[0]["target"]["cloud_id"], west.id().as_str());
    assert_eq!(events[0]["initiator"]["name"], "operator");
    assert_eq!(events[1]["outcome"], "unknown");
    assert_eq!(events[1]["reason"]["reasonCode"], "unreachable");
    let tag = format!("correlation_id?value={id}");
    assert_eq!(events[1]["tags"][1], tag);
    assert!(!fs::read_to_string(&file)?.contains(&"ab".repeat(16)));
    Ok(())
}

#[tokio::test]
async fn a_partner_that_asks_for_what_is_not_its_to_ask_is_an_event() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("audit.log");
    let (east, west) = (Bed::audited(&file).await?, Bed::new().await?);
    let told = descriptor(west.identity(), west.identity(), "https://127.0.0.1:1")?;
    east.knows("west", told, Role::Host).await?;
    let call = Call {
        caller: west.id().clone(),
        request_id: RequestId::random(),
    };
    // Only partners whose users come here order anything.
    let side = PeerSide(Arc::clone(&east.daemon));
    let answer = side.provision(&call, "an order".to_owned()).await;
    assert_eq!(answer.err().map(|error| error.code()), Some("not_a_guest"));
    east.daemon.auditor.finish().await;
    let [event] = &events(&file)?[..] else {
        return Err("it is not one event".into());
    };
    assert_eq!(event["name"], "alliance.caller.refused");
    assert_eq!(event["reason"]["reasonCode"], "not_a_guest");
    Ok(())
}
