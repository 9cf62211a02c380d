use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::daemon::FakeDaemon;
use crate::partners::west;
use crate::run::{alliance, command, ran, run};

#[test]
fn no_daemon_ends_with_4_and_says_where_it_was_looked_for() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("sock");
    let missing = run(command(&socket).arg("status"), "", &socket)?;
    insta::assert_snapshot!(missing, @r"
    --- standard error
    error: there is no socket SOCKET: the daemon is not running, or --socket / ALLIANCE_SOCKET must name another place
    --- exit code
    4
    ");
    drop(UnixListener::bind(&socket)?);
    let deserted = run(command(&socket).arg("status"), "", &socket)?;
    insta::assert_snapshot!(deserted, @r"
    --- standard error
    error: nobody listens on SOCKET: the daemon is not running; start it with `alliance serve`
    --- exit code
    4
    ");
    fs::remove_file(&socket)?;
    fs::write(&socket, "")?;
    let file = run(command(&socket).arg("status"), "", &socket)?;
    assert_eq!(file.code, Some(4));
    Ok(())
}

#[test]
fn a_daemon_that_hangs_is_given_up() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("sock");
    // The kernel accepts, nobody answers.
    let _listener = UnixListener::bind(&socket)?;
    let hung = run(command(&socket).arg("status"), "", &socket)?;
    insta::assert_snapshot!(hung, @r"
    --- standard error
    error: the daemon on SOCKET gave no answer within 10 s; is it stopped or overloaded? See its log
    --- exit code
    4
    ");
    Ok(())
}

#[test]
fn what_is_no_alliance_daemon_is_called_so() -> Result<()> {
    let daemon = FakeDaemon::answering([("GET /v1/status", 200, json!({"hello": "world"}))])?;
    let strange = alliance(&daemon, &["status"], "")?;
    insta::assert_snapshot!(strange, @r"
    --- standard error
    error: SOCKET answers, but not as this version of the daemon (HTTP status 200 OK): is it an Alliance daemon, of version 0.1.0?
    --- exit code
    4
    ");
    Ok(())
}

#[test]
fn a_refusal_is_the_daemons_own_sentence() -> Result<()> {
    let problem = json!({
        "type": "urn:alliance:problem:not_an_operator", "status": 403,
        "detail": "uid 1000 may not command this daemon; run the command as root"
    });
    let daemon = FakeDaemon::answering([("GET /v1/partners", 403, problem)])?;
    insta::assert_snapshot!(alliance(&daemon, &["partner", "list"], "")?, @r"
    --- standard error
    error: uid 1000 may not command this daemon; run the command as root
    --- exit code
    1
    ");
    Ok(())
}

#[test]
fn a_failure_inside_the_daemon_names_the_request_in_its_log() -> Result<()> {
    let problem =
        json!({"type": "urn:alliance:problem:internal", "status": 500, "detail": "disk full"});
    let daemon = FakeDaemon::answering([("GET /v1/partners", 500, problem)])?;
    let failed = alliance(&daemon, &["partner", "list"], "")?;
    assert_eq!(failed.code, Some(1));
    assert!(
        failed.err.starts_with("error: disk full (request req-"),
        "{}",
        failed.err
    );
    Ok(())
}

#[test]
fn a_reader_that_closes_the_pipe_ends_the_output_quietly() -> Result<()> {
    let many: Vec<Value> = (0..5000).map(|_| west()).collect();
    let daemon = FakeDaemon::answering([("GET /v1/partners", 200, json!(many))])?;
    let mut child = command(&daemon.socket())
        .args(["partner", "list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut first = String::new();
    BufReader::with_capacity(64, child.stdout.take().context("its output")?)
        .read_line(&mut first)?;
    let ended = ran(&child.wait_with_output()?, &daemon.socket());
    assert!(first.starts_with("NAME"));
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    Ok(())
}

#[test]
fn a_full_disk_is_told() -> Result<()> {
    let daemon = FakeDaemon::answering([("GET /v1/partners", 200, json!([west()]))])?;
    let full = fs::OpenOptions::new().write(true).open("/dev/full")?;
    let output = command(&daemon.socket())
        .args(["partner", "list"])
        .stdout(full)
        .output()?;
    insta::assert_snapshot!(ran(&output, &daemon.socket()), @r"
    --- standard error
    error: cannot write the results: No space left on device (os error 28)
    --- exit code
    1
    ");
    Ok(())
}
