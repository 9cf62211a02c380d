use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::daemon::FakeDaemon;
use crate::keystone::{FakeKeystone, with_dead_keystone};
use crate::partners::{cloud, west_id};
use crate::run::{alliance, command, on_a_terminal, ran, run};

const WAIT: &str = "GET /v1/invitations/i1?wait=25";
const CONFIRM: &str = "POST /v1/invitations/i1/confirm";
const REJECT: &str = "POST /v1/invitations/i1/reject";

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
    let invite = [INVITE, &["--expect", &id, "--login", "passport"]].concat();
    let paired = alliance(&daemon, &invite, "")?;
    insta::assert_snapshot!(paired);
    assert_eq!(paired.out, "alliance1-AbC\n");
    assert_eq!(
        daemon.requests(),
        ["POST /v1/invitations", WAIT, WAIT, CONFIRM]
    );
    assert_eq!(
        daemon.seen()[0].1,
        json!({"name": "west", "role": "host", "expect": id, "trust_till": null, "login": "passport"})
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

#[test]
fn what_keystone_needs_for_guests_is_made_before_the_confirmation() -> Result<()> {
    let (keystone, daemon) = (FakeKeystone::empty()?, inviting("accepted")?);
    let arguments = ["partner", "invite", "west", "--role", "guest", "--yes"];
    let mut invite = command(&daemon.socket());
    invite.args(arguments).envs(keystone.environment());
    let paired = run(&mut invite, "", &daemon.socket())?;
    insta::assert_snapshot!(paired);
    assert_eq!(keystone.made_and_deleted(), (4, 0));
    Ok(())
}

#[test]
fn a_confirmation_that_fails_leaves_nothing_in_keystone() -> Result<()> {
    let problem = json!({"type": "urn:alliance:problem:conflict", "status": 409, "detail": "the invitation has expired"});
    let keystone = FakeKeystone::empty()?;
    let daemon = FakeDaemon::answering([
        (
            "POST /v1/invitations",
            200,
            json!({"id": "i1", "invitation": "alliance1-AbC", "expires_at": 4_102_444_800_i64}),
        ),
        (WAIT, 200, invitation_in("accepted")),
        (CONFIRM, 409, problem),
    ])?;
    let arguments = ["partner", "invite", "west", "--role", "guest", "--yes"];
    let mut invite = command(&daemon.socket());
    invite.args(arguments).envs(keystone.environment());
    let failed = run(&mut invite, "", &daemon.socket())?;
    assert_eq!(failed.code, Some(1), "{failed}");
    assert!(
        failed.err.ends_with(
            "error: the pairing was not confirmed\n  because: the invitation has expired\n"
        ),
        "{failed}"
    );
    assert_eq!(keystone.made_and_deleted(), (4, 4));
    Ok(())
}
