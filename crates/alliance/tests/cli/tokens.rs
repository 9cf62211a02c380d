use anyhow::Result;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::daemon::FakeDaemon;
use crate::partners::west_id;
use crate::run::alliance;

const TOKEN: &str = "k3v3q2xa~gAAAAABnSecretSecretSecret";

fn path() -> Value {
    json!({"via": "asked", "took_ms": 12.345})
}

fn passport() -> String {
    let claims = json!({
        "iss": west_id(), "aud": west_id(), "iat": 1, "jti": "j", "token_introspection": {
            "active": true, "token_sha256": "00", "origin": west_id(), "sub": "u1", "username": "ann\u{1b}[2J",
            "user_domain": {"id": "default", "name": "Default"},
            "project": {"id": "p1", "name": "science", "domain": {"id": "default", "name": "Default"}},
            "roles": ["member", "reader"], "methods": ["password"], "audit_ids": ["a"],
            "issued_at": "2026-11-24T22:00:00.000000Z", "expires_at": "2026-11-24T23:00:00.000000Z"
        }
    });
    format!(
        "e30.{}.c2ln",
        BASE64URL_NOPAD.encode(claims.to_string().as_bytes())
    )
}

#[test]
fn a_valid_token_is_shown_with_who_and_how() -> Result<()> {
    let answer = json!({"status": "valid", "partner": {"cloud_id": west_id(), "name": "west"}, "passport": passport(), "path": path()});
    let daemon = FakeDaemon::answering([("POST /v1/tokens/validate", 200, answer)])?;
    insta::assert_snapshot!(alliance(
        &daemon,
        &["token", "validate", "-"],
        &format!("{TOKEN}\n")
    )?);
    let json = alliance(&daemon, &["token", "validate", "-", "--format=json"], TOKEN)?;
    assert_eq!(
        serde_json::from_str::<Value>(&json.out)?["status"],
        json!("valid")
    );
    let asked = json!({
        "token": TOKEN, "max_age": 0.0, "held_for": 0.0, "mode": null, "refuse_expired": true, "explain": true
    });
    assert_eq!(daemon.seen()[0].1, asked);
    Ok(())
}

#[test]
fn a_token_that_no_web_server_lets_through_is_told_the_limit_and_a_way_out() -> Result<()> {
    let daemon = FakeDaemon::answering([])?;
    let token = format!("k3v3q2xa~MII{}", "A".repeat(9000));
    let said = alliance(&daemon, &["token", "validate", "-"], &token)?;
    assert!(said.err.contains("longer than 8190 bytes"), "{}", said.err);
    assert!(said.err.contains("PKIZ"), "{}", said.err);
    assert!(daemon.seen().is_empty());
    Ok(())
}

#[test]
fn how_it_is_validated_can_be_chosen() -> Result<()> {
    let answer = json!({"status": "valid", "partner": {"cloud_id": west_id(), "name": "west"}, "attestation": passport(),
    "path": {"via": "offline", "took_ms": 0.25, "steps": [
        {"name": "format", "took_ms": 0.01}, {"name": "signature", "took_ms": 0.1}, {"name": "revocation list", "took_ms": 0.02}
    ]}});
    for (option, mode, max_age) in [
        ("--hard", "hard", 0.0),
        ("--soft", "soft", 1e6),
        ("--offline", "offline", 1e6),
    ] {
        let daemon = FakeDaemon::answering([("POST /v1/tokens/validate", 200, answer.clone())])?;
        let ran = alliance(&daemon, &["token", "validate", "-", option], TOKEN)?;
        assert_eq!(ran.code, Some(0), "{ran}");
        let asked = &daemon.seen()[0].1;
        assert_eq!(
            (&asked["mode"], &asked["max_age"]),
            (&json!(mode), &json!(max_age))
        );
        if option == "--offline" {
            insta::assert_snapshot!(ran);
        }
    }
    let daemon = FakeDaemon::answering([("-", 200, Value::Null)])?;
    let ran = alliance(
        &daemon,
        &["token", "validate", "-", "--hard", "--soft"],
        TOKEN,
    )?;
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(ran.to_string().contains("--soft"), "{ran}");
    Ok(())
}

#[test]
fn a_token_is_inspected_without_a_daemon_and_never_shown() -> Result<()> {
    let daemon = FakeDaemon::answering([("-", 200, Value::Null)])?;
    let token = "k3v3q2xa~0123456789abcdef0123456789abcdef";
    let ran = alliance(&daemon, &["token", "inspect", "-"], token)?;
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(
        ran.out.contains("uuid") && ran.out.contains("k3v3q2xa"),
        "{ran}"
    );
    assert!(!ran.to_string().contains("0123456789abcdef"), "{ran}");
    let ran = alliance(
        &daemon,
        &["token", "inspect", "-", "--format=json"],
        "no token",
    )?;
    assert_eq!(ran.code, Some(1), "{ran}");
    assert_eq!(
        serde_json::from_str::<Value>(&ran.out)?["format"],
        Value::Null
    );
    for arguments in [
        ["token", "inspect", token],
        ["token", "inspect", "no token"],
    ] {
        let ran = alliance(&daemon, &arguments, "")?;
        assert_eq!(ran.code, Some(2), "{ran}");
        assert!(!ran.to_string().contains(arguments[2]), "{ran}");
    }
    assert!(daemon.requests().is_empty());
    Ok(())
}

#[test]
fn a_refusal_is_explained() -> Result<()> {
    let answer = json!({"status": "invalid", "reason": "no_agreement", "path": {"via": "cache", "took_ms": 0.04}});
    let daemon = FakeDaemon::answering([("POST /v1/tokens/validate", 200, answer)])?;
    insta::assert_snapshot!(alliance(&daemon, &["token", "validate", "-"], TOKEN)?);
    Ok(())
}

#[test]
fn that_nobody_can_tell_is_an_answer() -> Result<()> {
    let answer = json!({"status": "indeterminate", "reason": "unreachable", "path": path()});
    let daemon = FakeDaemon::answering([("POST /v1/tokens/validate", 503, answer)])?;
    insta::assert_snapshot!(alliance(&daemon, &["token", "validate", "-"], TOKEN)?);
    Ok(())
}

#[test]
fn a_token_among_the_arguments_is_refused_and_not_repeated() -> Result<()> {
    let daemon = FakeDaemon::answering([("-", 200, Value::Null)])?;
    for arguments in [
        vec![TOKEN],
        vec!["-", TOKEN],
        vec!["-gAAAASecret"],
        vec!["--", TOKEN],
    ] {
        let arguments: Vec<_> = ["token", "validate"].into_iter().chain(arguments).collect();
        let ran = alliance(&daemon, &arguments, "")?;
        assert_eq!(ran.code, Some(2), "{ran}");
        assert!(!ran.to_string().contains("Secret"), "{ran}");
    }
    insta::assert_snapshot!(alliance(&daemon, &["token", "validate", TOKEN], "")?);
    assert!(daemon.requests().is_empty());
    Ok(())
}

#[test]
fn a_token_is_revoked() -> Result<()> {
    let told = json!({"keystone_told": true, "detail": null});
    let daemon = FakeDaemon::answering([("POST /v1/tokens/revoke", 200, told)])?;
    let revoked = alliance(&daemon, &["token", "revoke", "-"], &format!("{TOKEN}\n"))?;
    insta::assert_snapshot!(revoked);
    assert_eq!(daemon.seen()[0].1, json!({"token": TOKEN}));
    let argument = alliance(&daemon, &["token", "revoke", TOKEN], "")?;
    assert_eq!(argument.code, Some(2));
    assert!(!argument.err.contains(TOKEN), "{}", argument.err);

    let problem = json!({"type": "urn:alliance:problem:not_found", "status": 404, "detail": "that is no token of this cloud"});
    let daemon = FakeDaemon::answering([("POST /v1/tokens/revoke", 404, problem)])?;
    let unknown = alliance(&daemon, &["token", "revoke", "-"], TOKEN)?;
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("no token of this cloud"));
    Ok(())
}
