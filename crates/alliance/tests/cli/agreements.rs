use anyhow::Result;
use serde_json::{Value, json};

use crate::daemon::FakeDaemon;
use crate::partners::{west_id, with};
use crate::run::alliance;

fn science() -> Value {
    json!({
        "id": "8d3f7a52-93f0-4d7c-a2a4-5a6f7b0c1d2e", "partner": west_id(),
        "projects": "5b2c8f00d1e24b3a9c6d7e8f90a1b2c3", "project_name": "science", "project_domain": "Default",
        "roles": ["member", "reader"], "services": null, "transitive": false, "allow": ["application-credentials", "trusts"],
        "since": 1_795_000_000, "till": null, "ended_at": null,
        "partner_name": "west", "state": "live", "host_project_id": "ede820c58f225c44aeaae305c0a372ae", "received": false
    })
}

fn applied(told: bool, agreements: &[Value]) -> Value {
    let detail = (!told).then_some("stored, but Keystone's caches were not told");
    json!({"agreements": agreements, "keystone_told": told, "detail": detail})
}

#[test]
fn an_agreement_shows_names_and_the_ids_that_they_were_resolved_to() -> Result<()> {
    let daemon =
        FakeDaemon::answering([("POST /v1/agreements", 200, applied(true, &[science()]))])?;
    let arguments = [
        "agreement",
        "create",
        "west",
        "--project",
        "science",
        "--role",
        "member",
        "--role",
        "reader",
        "--till",
        "2100-01-01T00:00:00Z",
        "--service",
        "image",
        "--allow",
        "trusts,application-credentials",
    ];
    insta::assert_snapshot!(alliance(&daemon, &arguments, "")?);
    assert_eq!(
        daemon.seen()[0].1,
        json!({
            "partner": "west", "project": "science", "project_domain": null, "roles": ["member", "reader"],
            "services": ["image"], "till": 4_102_444_800_i64, "transitive": false,
            "allow": ["application-credentials", "trusts"]
        })
    );
    Ok(())
}

#[test]
fn an_agreement_that_keystone_does_not_know_yet_ends_with_3() -> Result<()> {
    let ended = with(
        science(),
        json!({"state": "ended", "ended_at": 1_795_000_100}),
    );
    let daemon =
        FakeDaemon::answering([("POST /v1/agreements/end", 200, applied(false, &[ended]))])?;
    insta::assert_snapshot!(alliance(
        &daemon,
        &["agreement", "end", "west", "--project", "science"],
        ""
    )?);
    let json = alliance(
        &daemon,
        &[
            "agreement",
            "end",
            "west",
            "--project",
            "*",
            "--format",
            "json",
        ],
        "",
    )?;
    assert_eq!(json.code, Some(3));
    assert!(serde_json::from_str::<Value>(&json.out)?["agreements"].is_array());
    Ok(())
}

#[test]
fn agreements_are_listed_given_and_received() -> Result<()> {
    let answer = json!([
        science(),
        with(
            science(),
            json!({"id": "2", "projects": "*", "project_name": null, "project_domain": null, "received": true, "host_project_id": null})
        ),
        with(science(), json!({"id": "3", "state": "ended"})),
        with(
            science(),
            json!({"id": "4", "project_name": "x;\u{1b}]0;evil\u{7}", "till": 1_801_440_000, "services": ["image"]})
        ),
        with(science(), json!({"id": "5", "partner_name": "north"})),
    ]);
    let daemon = FakeDaemon::answering([("GET /v1/agreements", 200, answer)])?;
    insta::assert_snapshot!(alliance(&daemon, &["agreement", "list"], "")?);
    let all = alliance(
        &daemon,
        &[
            "agreement",
            "list",
            "--all",
            "--partner",
            "west",
            "--format=json",
        ],
        "",
    )?;
    assert_eq!(serde_json::from_str::<Vec<Value>>(&all.out)?.len(), 4);
    Ok(())
}

#[test]
fn an_agreement_is_shown_by_its_id() -> Result<()> {
    let daemon = FakeDaemon::answering([("GET /v1/agreements/a%2Fb%20c", 200, science())])?;
    let shown = alliance(&daemon, &["agreement", "show", "a/b c"], "")?;
    assert_eq!(shown.code, Some(0), "{shown}");
    Ok(())
}
