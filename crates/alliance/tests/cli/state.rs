use anyhow::Result;
use serde_json::{Value, json};

use crate::agreements::contract;
use crate::daemon::FakeDaemon;
use crate::partners::{north, west, west_id, with};
use crate::run::{alliance, command, run};

pub(crate) fn status() -> Value {
    json!({
        "cloud_id": west_id(), "name": "west", "peer_url": "https://west.example:5443", "version": "0.1.0",
        "keystone": {"ok": true, "detail": "answers"}, "doorbell": {"ok": true, "detail": "told of the newest state"},
        "warnings": []
    })
}

#[test]
fn the_id_comes_first_and_alone_on_its_line() -> Result<()> {
    let daemon = FakeDaemon::answering([("GET /v1/status", 200, status())])?;
    let id = alliance(&daemon, &["id"], "")?;
    assert_eq!(id.out, format!("{}\n{}\n", west_id(), west_id().tag()));
    let id = alliance(&daemon, &["id", "--format", "json"], "")?;
    assert_eq!(
        serde_json::from_str::<Value>(&id.out)?,
        json!({"cloud_id": west_id(), "tag": west_id().tag()})
    );
    Ok(())
}

#[test]
fn the_status_says_how_it_is() -> Result<()> {
    let ill = json!({"keystone": {"ok": false, "detail": "connection refused"}, "warnings": ["clocks differ by 70 s"]});
    let daemon = FakeDaemon::answering([("GET /v1/status", 200, with(status(), ill))])?;
    insta::assert_snapshot!(alliance(&daemon, &["status"], "")?);
    Ok(())
}

#[test]
fn regions_are_listed_with_who_sees_them() -> Result<()> {
    let answer = json!([
        {"region": "east", "partner": "east", "region_there": "RegionOne", "services": ["identity", "image"], "projects": ["*"]},
        {"region": "north", "partner": "north", "region_there": "no\u{1b}rth", "services": ["image"], "projects": ["p1", "p2"]}
    ]);
    let daemon = FakeDaemon::answering([("GET /v1/regions", 200, answer)])?;
    insta::assert_snapshot!(alliance(&daemon, &["region", "list"], "")?);
    Ok(())
}

#[test]
fn the_doctor_finds_nothing_where_all_is_well() -> Result<()> {
    let daemon = FakeDaemon::answering([
        ("GET /v1/status", 200, status()),
        ("GET /v1/partners", 200, json!([west()])),
        ("GET /v1/agreements", 200, json!([])),
        ("GET /v1/partners/west", 200, west()),
    ])?;
    insta::assert_snapshot!(alliance(&daemon, &["doctor"], "")?);
    Ok(())
}

#[test]
fn the_doctor_says_what_to_do() -> Result<()> {
    let ill = json!({
        "version": "0.0.9", "doorbell": {"ok": false, "detail": "no acknowledgement since 22:00"},
        "warnings": ["the service user has role admin; take it away"]
    });
    let west_ill = with(
        west(),
        json!({"keystone": {"ok": false, "detail": "identity provider west is disabled"}}),
    );
    let north = with(west(), json!({"name": "north", "status": "draft"}));
    let daemon = FakeDaemon::answering([
        ("GET /v1/status", 200, with(status(), ill)),
        ("GET /v1/partners", 200, json!([west(), north])),
        ("GET /v1/agreements", 200, json!([])),
        ("GET /v1/partners/west", 200, west_ill),
    ])?;
    insta::assert_snapshot!(alliance(&daemon, &["doctor"], "")?);
    let json = alliance(&daemon, &["doctor", "--format", "json"], "")?;
    assert_eq!(
        serde_json::from_str::<Value>(&json.out)?[0]["state"],
        json!("ok")
    );
    Ok(())
}

#[test]
fn the_doctor_says_which_agreements_wait_for_whom_and_end_soon() -> Result<()> {
    let ends_soon = json!({"till": 100, "state": "live", "contract": null});
    let agreements = json!([
        contract(false),
        contract(true),
        with(contract(false), ends_soon),
        with(contract(true), json!({"state": "ended"})),
    ]);
    let daemon = FakeDaemon::answering([
        ("GET /v1/status", 200, status()),
        ("GET /v1/partners", 200, json!([])),
        ("GET /v1/agreements", 200, agreements),
    ])?;
    insta::assert_snapshot!(alliance(&daemon, &["doctor"], "")?);
    Ok(())
}

#[test]
fn a_keystone_elsewhere_that_is_away_is_no_failure_of_ours() -> Result<()> {
    let away = with(
        north(),
        json!({"last_error": "Keystone at https://north.example:5000/v3 was not reached"}),
    );
    let daemon = FakeDaemon::answering([
        ("GET /v1/status", 200, status()),
        ("GET /v1/partners", 200, json!([north()])),
        ("GET /v1/agreements", 200, json!([])),
        ("GET /v1/partners/north", 200, away),
    ])?;
    let doctor = alliance(&daemon, &["doctor"], "")?;
    assert_eq!(doctor.code, Some(0), "{doctor}");
    insta::assert_snapshot!(doctor.out.lines().last().unwrap_or_default());
    Ok(())
}

#[test]
fn the_doctor_looks_at_a_dead_daemons_configuration() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (socket, file) = (folder.path().join("sock"), folder.path().join("a.toml"));
    std::fs::write(&file, "[cluod]\n")?;
    let mut command = command(&socket);
    command.arg("doctor").arg("--config").arg(&file);
    let ran = run(&mut command, "", &socket)?;
    insta::assert_snapshot!(
        ran.to_string()
            .replace(&folder.path().display().to_string(), "FOLDER")
    );
    Ok(())
}

#[test]
fn a_region_whose_partner_does_not_answer_is_told_beside_the_list() -> Result<()> {
    for (is_hidden, effect) in [
        (false, "shown nevertheless"),
        (true, "hidden until it does"),
    ] {
        let answer = json!([{
            "region": "east", "partner": "east", "region_there": "east", "services": ["image"], "projects": ["*"],
            "unreachable_since": 1_795_000_000, "is_hidden": is_hidden
        }]);
        let daemon = FakeDaemon::answering([("GET /v1/regions", 200, answer)])?;
        let listed = alliance(&daemon, &["region", "list"], "")?;
        assert!(
            listed
                .err
                .contains("east does not answer since 2026-11-18T"),
            "{listed}"
        );
        assert!(listed.err.contains(effect), "{listed}");
    }
    Ok(())
}

#[test]
fn a_difference_of_versions_is_a_warning_of_the_doctors_and_no_failure() -> Result<()> {
    let border = json!({
        "reachable_since": 0, "unreachable_since": null, "is_hidden": false, "round_trips": null, "skew": null,
        "last_change": null, "descriptor_till": null, "protocol": 1, "version": "0.0.9"
    });
    let older = with(west(), json!({"border": border}));
    let daemon = FakeDaemon::answering([
        ("GET /v1/status", 200, status()),
        ("GET /v1/partners", 200, json!([older])),
        ("GET /v1/agreements", 200, json!([])),
        ("GET /v1/partners/west", 200, older),
    ])?;
    let doctor = alliance(&daemon, &["doctor"], "")?;
    assert_eq!(doctor.code, Some(0), "{doctor}");
    assert!(
        doctor
            .out
            .contains("WARN  partner west: west runs Alliance 0.0.9"),
        "{doctor}"
    );
    Ok(())
}
