use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use alliance_core::invitation::Invitation;
use alliance_core::partner::Role;
use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::daemon::FakeDaemon;
use crate::keystone::{FakeKeystone, with_dead_keystone};
use crate::partners::{cloud, west, west_id, with};
use crate::run::{alliance, command, on_a_terminal, run};

const WAITING: &str = "GET /v1/acceptances/i1?wait=25";

fn invitation(role: Role) -> String {
    Invitation {
        v: 1,
        id: "i1".to_owned(),
        url: "https://west.example:5443".to_owned(),
        cloud: west_id(),
        name: "west".to_owned(),
        secret: "c2VjcmV0".to_owned(),
        role,
        expected: None,
        exp: 4_102_444_800,
    }
    .to_string()
}

fn accepting(last: &str, partners: Value) -> Result<FakeDaemon> {
    let inviter = with(cloud(), json!({"name": "west"}));
    let state = |state: &str| json!({"id": "i1", "state": state});
    FakeDaemon::answering([
        (
            "POST /v1/acceptances/inspect",
            200,
            json!({"id": "i1", "inviter": inviter, "role": "host", "expires_at": 4_102_444_800_i64}),
        ),
        ("GET /v1/partners", 200, partners),
        ("POST /v1/acceptances", 200, state("waiting")),
        (WAITING, 200, state("waiting")),
        (WAITING, 200, state(last)),
        ("POST /v1/acceptances/i1/cancel", 200, state("cancelled")),
    ])
}

#[test]
fn accepting_shows_who_invites_and_waits_for_the_confirmation() -> Result<()> {
    let daemon = accepting("paired", json!([]))?;
    let text = invitation(Role::Guest);
    let paired = alliance(
        &daemon,
        &["partner", "accept", "-", "--yes"],
        &format!("{text}\n"),
    )?;
    insta::assert_snapshot!(paired);
    let accepted = json!({"invitation": text, "name": "west", "trust_till": null, "login": "both"});
    assert_eq!(
        daemon.seen()[2],
        ("POST /v1/acceptances".to_owned(), accepted)
    );
    Ok(())
}

#[test]
fn accepting_asks_on_a_terminal_and_refuses_without_one() -> Result<()> {
    let text = invitation(Role::Guest);
    let daemon = accepting("paired", json!([]))?;
    let accept = ["partner", "accept", &text];
    insta::assert_snapshot!(alliance(&daemon, &accept, "y\n")?);
    assert!(daemon.requests().is_empty());

    assert_eq!(on_a_terminal(&daemon, &accept, "y\n")?.code, Some(0));
    let daemon = accepting("paired", json!([]))?;
    assert_eq!(on_a_terminal(&daemon, &accept, "n\n")?.code, Some(1));
    assert_eq!(daemon.requests().len(), 2);
    Ok(())
}

#[test]
fn a_rejection_by_the_inviter_is_told() -> Result<()> {
    for end in ["rejected", "expired", "cancelled"] {
        let daemon = accepting(end, json!([]))?;
        let ran = alliance(
            &daemon,
            &["partner", "accept", &invitation(Role::Guest), "--yes"],
            "",
        )?;
        assert_eq!(ran.code, Some(1));
        insta::assert_snapshot!(ran.err.lines().last().unwrap_or_default());
    }
    Ok(())
}

#[test]
fn a_name_that_is_taken_or_no_name_asks_for_another() -> Result<()> {
    let taken = with(west(), json!({"cloud_id": "a".repeat(52)}));
    let daemon = accepting("paired", json!([taken]))?;
    let accept = ["partner", "accept", &invitation(Role::Guest), "--yes"];
    let refused = alliance(&daemon, &accept, "")?;
    insta::assert_snapshot!(refused.err);
    assert_eq!(daemon.requests().len(), 2);
    let other = alliance(&daemon, &[&accept[..], &["--name", "west-2"]].concat(), "")?;
    assert_eq!(other.code, Some(0), "{other}");

    let daemon = FakeDaemon::answering([(
        "POST /v1/acceptances/inspect",
        200,
        json!({"id": "i1", "inviter": cloud(), "role": "host", "expires_at": 4_102_444_800_i64}),
    )])?;
    insta::assert_snapshot!(alliance(&daemon, &accept, "")?.err);
    Ok(())
}

#[test]
fn a_damaged_invitation_is_refused_before_anything_is_sent() -> Result<()> {
    let daemon = accepting("paired", json!([]))?;
    let text = invitation(Role::Guest);
    for wrong in [
        &text[..text.len() - 3],
        "west",
        "",
        &text.replace("1-e", "1-f"),
    ] {
        let ran = alliance(&daemon, &["partner", "accept", "-", "--yes"], wrong)?;
        assert_eq!(ran.code, Some(1), "{ran}");
        insta::assert_snapshot!(ran.err);
    }
    assert!(daemon.requests().is_empty());
    Ok(())
}

#[test]
fn an_inviter_whose_users_come_here_needs_the_operators_rights() -> Result<()> {
    let daemon = accepting("paired", json!([]))?;
    let accept = ["partner", "accept", &invitation(Role::Host), "--yes"];
    let refused = alliance(&daemon, &accept, "")?;
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(daemon.requests().is_empty());
    let refused = run(
        &mut with_dead_keystone(&daemon, &accept),
        "",
        &daemon.socket(),
    )?;
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(
        !daemon
            .requests()
            .contains(&"POST /v1/acceptances".to_owned())
    );
    Ok(())
}

#[test]
fn an_acceptance_that_is_rejected_leaves_nothing_in_keystone() -> Result<()> {
    for (end, made_and_left) in [
        ("rejected", (4, 4)),
        ("expired", (4, 4)),
        ("paired", (4, 0)),
    ] {
        let (keystone, daemon) = (FakeKeystone::empty()?, accepting(end, json!([]))?);
        let mut accept = command(&daemon.socket());
        accept
            .args(["partner", "accept", &invitation(Role::Host), "--yes"])
            .envs(keystone.environment());
        let ran = run(&mut accept, "", &daemon.socket())?;
        assert_eq!(keystone.made_and_deleted(), made_and_left, "{ran}");
        assert_eq!(ran.code, Some(i32::from(end != "paired")), "{ran}");
    }
    Ok(())
}

#[test]
fn ctrl_c_cancels_an_acceptance_and_leaves_nothing_in_keystone() -> Result<()> {
    let (keystone, daemon) = (FakeKeystone::empty()?, accepting("waiting", json!([]))?);
    let mut child = command(&daemon.socket())
        .args(["partner", "accept", &invitation(Role::Host), "--yes"])
        .envs(keystone.environment())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut err = BufReader::new(child.stderr.take().context("its remarks")?);
    let mut remarks = String::new();
    while !remarks.contains("Ctrl-C cancels") {
        assert_ne!(err.read_line(&mut remarks)?, 0, "{remarks}");
    }
    Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()?;
    err.read_to_string(&mut remarks)?;
    assert_eq!(child.wait()?.code(), Some(1), "{remarks}");
    assert!(
        remarks.ends_with("error: cancelled; nothing is paired\n"),
        "{remarks}"
    );
    assert!(
        daemon
            .requests()
            .contains(&"POST /v1/acceptances/i1/cancel".to_owned())
    );
    assert_eq!(keystone.made_and_deleted(), (4, 4));
    Ok(())
}
