use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use alliance_core::invitation::Invitation;
use alliance_core::partner::Role;
use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::daemon::FakeDaemon;
use crate::partners::{west, west_id, with};
use crate::run::{alliance, command, on_a_terminal, ran, run};

const WAIT: &str = "GET /v1/invitations/i1?wait=25";
const CONFIRM: &str = "POST /v1/invitations/i1/confirm";
const REJECT: &str = "POST /v1/invitations/i1/reject";
const WAITING: &str = "GET /v1/acceptances/i1?wait=25";

fn cloud() -> Value {
    json!({
        "cloud_id": west_id(), "name": "we\u{1b}[2Jst", "peer_url": "https://west.example:5443",
        "regions": [{"id": "RegionOne", "services": [{"type": "image", "name": "glance", "endpoints": []}]}],
        "fingerprint": "able-baker-charlie-dog-easy-fox", "domain_id": "3c403d1f458654a186ce26f020d9e9d5"
    })
}

fn invitation_in(state: &str) -> Value {
    let acceptor = (state != "open").then(cloud);
    json!({"state": state, "acceptor": acceptor, "name": "west", "role": "host"})
}

fn inviting(last: &str) -> Result<FakeDaemon> {
    FakeDaemon::answering([
        (
            "POST /v1/invitations",
            200,
            json!({"id": "i1", "invitation": "alliance1-AbC", "expires_at": 4_102_444_800_i64}),
        ),
        (WAIT, 200, invitation_in("open")),
        (WAIT, 200, invitation_in(last)),
        (CONFIRM, 200, invitation_in("confirmed")),
        (REJECT, 200, invitation_in("rejected")),
    ])
}

const INVITE: &[&str] = &["partner", "invite", "west", "--role", "host"];

#[test]
fn the_invitation_stands_alone_on_standard_output() -> Result<()> {
    let daemon = inviting("accepted")?;
    let id = west_id().to_string();
    let paired = alliance(&daemon, &[INVITE, &["--expect", &id]].concat(), "")?;
    insta::assert_snapshot!(paired);
    assert_eq!(paired.out, "alliance1-AbC\n");
    assert_eq!(
        daemon.requests(),
        ["POST /v1/invitations", WAIT, WAIT, CONFIRM]
    );
    assert_eq!(
        daemon.seen()[0].1,
        json!({"name": "west", "role": "host", "expect": id, "trust_till": null})
    );
    Ok(())
}

#[test]
fn without_a_terminal_nobody_is_let_in() -> Result<()> {
    let daemon = inviting("accepted")?;
    insta::assert_snapshot!(alliance(&daemon, INVITE, "y\n")?);
    assert_eq!(daemon.requests().last().map(String::as_str), Some(REJECT));
    Ok(())
}

#[test]
fn on_a_terminal_the_operator_decides() -> Result<()> {
    let daemon = inviting("accepted")?;
    let yes = on_a_terminal(&daemon, INVITE, "y\n")?;
    assert_eq!(yes.code, Some(0), "{yes}");
    assert!(
        yes.out
            .contains("Do the words match what the other operator sees? [y/N]")
    );
    assert_eq!(daemon.requests().last().map(String::as_str), Some(CONFIRM));

    for answer in ["n\n", "\n", "x\n"] {
        let daemon = inviting("accepted")?;
        let no = on_a_terminal(&daemon, INVITE, answer)?;
        assert_eq!(no.code, Some(1), "{no}");
        assert_eq!(daemon.requests().last().map(String::as_str), Some(REJECT));
    }
    Ok(())
}

#[test]
fn an_expected_cloud_that_is_another_is_rejected() -> Result<()> {
    let daemon = inviting("accepted")?;
    let other = "a".repeat(52);
    let refused = alliance(&daemon, &[INVITE, &["--expect", &other]].concat(), "")?;
    assert_eq!(refused.code, Some(1));
    assert_eq!(daemon.requests().last().map(String::as_str), Some(REJECT));
    Ok(())
}

#[test]
fn an_invitation_that_nobody_accepts_expires() -> Result<()> {
    let ran = alliance(&inviting("expired")?, INVITE, "")?;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.ends_with(
        "error: the invitation has expired, nobody is paired; run the command again for a new one\n"
    ));
    Ok(())
}

#[test]
fn ctrl_c_takes_the_invitation_back() -> Result<()> {
    let daemon = FakeDaemon::answering([
        (
            "POST /v1/invitations",
            200,
            json!({"id": "i1", "invitation": "alliance1-AbC", "expires_at": 4_102_444_800_i64}),
        ),
        (WAIT, 200, invitation_in("open")),
        (REJECT, 200, invitation_in("rejected")),
    ])?;
    let mut child = command(&daemon.socket())
        .args(INVITE)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // The line is there at once, although the command goes on.
    let mut line = String::new();
    let out = child.stdout.take().context("its output")?;
    BufReader::new(out).read_line(&mut line)?;
    assert_eq!(line, "alliance1-AbC\n");
    Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()?;
    let ended = ran(&child.wait_with_output()?, &daemon.socket());
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(
        ended
            .err
            .ends_with("error: interrupted: the invitation is taken back\n")
    );
    assert!(daemon.requests().contains(&REJECT.to_owned()));
    Ok(())
}

#[test]
fn a_guest_needs_the_operators_rights_in_keystone_before_anything_is_sent() -> Result<()> {
    let daemon = inviting("accepted")?;
    insta::assert_snapshot!(alliance(
        &daemon,
        &["partner", "invite", "west", "--role", "guest"],
        ""
    )?);
    assert!(daemon.requests().is_empty());
    Ok(())
}

/// The credentials of an operator whose Keystone is down.
fn with_dead_keystone(daemon: &FakeDaemon, arguments: &[&str]) -> Command {
    let mut command = command(&daemon.socket());
    command.args(arguments).envs([
        ("OS_AUTH_URL", "http://127.0.0.1:1/v3"),
        ("OS_USERNAME", "admin"),
        ("OS_PASSWORD", "hunter2"),
        ("OS_PROJECT_NAME", "admin"),
        ("OS_USER_DOMAIN_NAME", "Default"),
        ("OS_PROJECT_DOMAIN_NAME", "Default"),
    ]);
    command
}

#[test]
fn where_keystone_cannot_be_prepared_nobody_is_paired() -> Result<()> {
    let daemon = inviting("accepted")?;
    let arguments = ["partner", "invite", "west", "--role", "guest", "--yes"];
    let refused = run(
        &mut with_dead_keystone(&daemon, &arguments),
        "",
        &daemon.socket(),
    )?;
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(
        refused
            .err
            .contains("error: rejected: Keystone was not prepared"),
        "{refused}"
    );
    assert!(!refused.err.contains("hunter2"));
    assert_eq!(daemon.requests().last().map(String::as_str), Some(REJECT));
    Ok(())
}

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
    let accepted = json!({"invitation": text, "name": "west", "trust_till": null});
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
