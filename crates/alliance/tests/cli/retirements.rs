use anyhow::Result;
use serde_json::{Value, json};

use crate::daemon::FakeDaemon;
use crate::partners::{west_id, with};
use crate::run::alliance;
use crate::state::status;

fn stopped() -> Value {
    json!({
        "id": "r1", "here": true, "partner": "west", "partner_id": west_id(), "project_id": "2f3c",
        "host_project_id": "77aa", "cause": "project_deleted", "phase": "quarantine",
        "began": 1_795_000_000, "quarantine_at": 1_795_000_000, "quarantined_at": 1_795_000_009,
        "delete_at": 1_795_604_800, "held": false, "waits_since": 1_795_604_802, "remainder": 0,
        "ended_at": null, "receipt": null, "items": []
    })
}

fn partly_deleted() -> Value {
    let more = json!({
        "id": "r2", "cause": "agreement_ended", "phase": "deletion", "remainder": 1, "waits_since": null,
        "receipt": {"revision": 1, "acknowledged": false, "refusal": "not m\u{1b}ine"},
        "items": [
            {"kind": "server", "id": "s", "name": "w\u{1b}eb", "state": "deleted", "detail": null},
            {"kind": "network", "id": "n", "name": null, "state": "left", "detail": "in use"}
        ]
    });
    with(stopped(), more)
}

fn over() -> Value {
    let more = json!({
        "id": "r3", "phase": "deleted", "ended_at": 1_795_604_900, "waits_since": null,
        "receipt": {"revision": 1, "acknowledged": true, "refusal": null}
    });
    with(stopped(), more)
}

fn there() -> Value {
    with(
        over(),
        json!({"id": "r4", "here": false, "quarantine_at": null, "delete_at": null}),
    )
}

#[test]
fn retirements_are_listed_until_they_are_over_and_told() -> Result<()> {
    let all = json!([stopped(), partly_deleted(), over(), there()]);
    let daemon = FakeDaemon::answering([("GET /v1/retirements", 200, all)])?;
    insta::assert_snapshot!(alliance(&daemon, &["retirement", "list"], "")?);
    let words = ["retirement", "list", "--all", "--format", "json"];
    let listed: Value = serde_json::from_str(&alliance(&daemon, &words, "")?.out)?;
    assert_eq!(listed.as_array().map(Vec::len), Some(4));
    Ok(())
}

#[test]
fn what_is_left_is_shown_with_its_reason() -> Result<()> {
    let daemon = FakeDaemon::answering([("GET /v1/retirements/r2", 200, partly_deleted())])?;
    insta::assert_snapshot!(alliance(&daemon, &["retirement", "show", "r2"], "")?);
    Ok(())
}

#[test]
fn nothing_is_hurried_or_retired_without_a_yes() -> Result<()> {
    let orphan = json!([{
        "partner": "west", "partner_id": west_id(), "project_id": "2f3c", "name": "sci\u{1b}ence",
        "host_project_id": "77aa", "resources": 3, "last_seen": 1_795_000_000
    }]);
    let daemon = FakeDaemon::answering([
        ("GET /v1/retirements/r1", 200, stopped()),
        ("POST /v1/retirements/r1/now", 200, stopped()),
        ("POST /v1/retirements/r1/hold", 200, stopped()),
        ("GET /v1/orphans", 200, orphan),
        ("POST /v1/orphans/retire", 200, json!([stopped()])),
    ])?;
    for asks in [
        &["retirement", "now", "r1"][..],
        &["orphan", "retire", "77aa"],
        &["orphan", "retire", "--all"],
    ] {
        assert_eq!(alliance(&daemon, asks, "")?.code, Some(1), "{asks:?}");
    }
    let is_order = |request: &String| request.starts_with("POST");
    assert!(!daemon.requests().iter().any(is_order));
    insta::assert_snapshot!(alliance(&daemon, &["orphan", "list"], "")?);
    for does in [
        &["retirement", "now", "r1", "--yes"][..],
        &["retirement", "hold", "r1"],
        &["orphan", "retire", "--all", "--yes"],
    ] {
        assert_eq!(alliance(&daemon, does, "")?.code, Some(0), "{does:?}");
    }
    let seen = daemon.seen();
    let last = seen.last().map(|(_, body)| body.clone());
    assert_eq!(last, Some(json!({"host_project_ids": [], "all": true})));
    Ok(())
}

#[test]
fn the_doctor_says_what_does_not_end_by_itself() -> Result<()> {
    let idle =
        json!({"id": "r5", "quarantine_at": 100, "quarantined_at": null, "waits_since": 100});
    let daemon = FakeDaemon::answering([
        ("GET /v1/status", 200, status()),
        ("GET /v1/partners", 200, json!([])),
        ("GET /v1/agreements", 200, json!([])),
        (
            "GET /v1/retirements",
            200,
            json!([partly_deleted(), over(), there(), with(stopped(), idle)]),
        ),
    ])?;
    insta::assert_snapshot!(alliance(&daemon, &["doctor"], "")?);
    Ok(())
}
