use alliance_core::partner::AuthUrl;
use anyhow::Result;
use serde_json::{Value, json};

use crate::daemon::FakeDaemon;
use crate::keystone::{FakeKeystone, with_dead_keystone};
use crate::run::{Ran, alliance, command, on_a_terminal, run};

const INSPECT: &str = "POST /v1/keystones/inspect";
const CREATE: &str = "POST /v1/keystones";

const ADD: &[&str] = &[
    "partner",
    "add-keystone",
    "north",
    "--auth-url",
    "https://north.example:5000",
    "--username",
    "alliance",
    "--password-file",
    "/etc/alliance/north-password",
    "--token-format",
    "pki,uuid",
    "--signing-keys",
    "/etc/alliance/north-keys",
];

fn adding(created: (u16, Value)) -> Result<FakeDaemon> {
    let url: AuthUrl = "https://north.example:5000/v3".parse()?;
    FakeDaemon::answering([
        (
            INSPECT,
            200,
            json!({
                "cloud_id": url.cloud_id(), "version": "v3.6", "roles": ["service"], "signing_keys": 2,
                "warnings": ["the URL is http: use https"]
            }),
        ),
        (CREATE, created.0, created.1),
    ])
}

fn told() -> (u16, Value) {
    (200, json!({"keystone_told": true, "detail": null}))
}

fn by_operator(daemon: &FakeDaemon, keystone: &FakeKeystone, arguments: &[&str]) -> Result<Ran> {
    let mut add = command(&daemon.socket());
    add.args(arguments).envs(keystone.environment());
    run(&mut add, "", &daemon.socket())
}

fn with_yes() -> Vec<&'static str> {
    [ADD, &["--yes"]].concat()
}

#[test]
fn a_keystone_is_shown_then_prepared_for_then_stored() -> Result<()> {
    let (daemon, keystone) = (adding(told())?, FakeKeystone::empty()?);
    let added = by_operator(&daemon, &keystone, &with_yes())?;
    insta::assert_snapshot!(added);
    assert_eq!(keystone.made_and_deleted(), (4, 0));
    assert_eq!(daemon.requests(), [INSPECT, CREATE]);
    let seen = daemon.seen();
    assert_eq!(seen[0].1, seen[1].1);
    assert_eq!(
        seen[1].1,
        json!({
            "name": "north",
            "access": {
                "auth_url": "https://north.example:5000/v3", "username": "alliance", "user_domain_name": "Default",
                "project_name": "service", "project_domain_name": "Default",
                "password_file": "/etc/alliance/north-password", "ca_file": null,
                "formats": ["uuid", "pki"], "signing_keys": "/etc/alliance/north-keys"
            },
            "trust_till": null, "max_users": null, "max_projects": null
        })
    );
    Ok(())
}

#[test]
fn the_daemon_finds_the_files_wherever_the_command_was_given() -> Result<()> {
    let (daemon, keystone) = (adding(told())?, FakeKeystone::empty()?);
    let here = std::env::current_dir()?;
    let mut arguments = with_yes();
    arguments[8] = "password";
    by_operator(&daemon, &keystone, &arguments)?;
    assert_eq!(
        daemon.seen()[1].1["access"]["password_file"],
        json!(here.join("password"))
    );
    Ok(())
}

#[test]
fn what_the_daemon_does_not_store_leaves_nothing_in_keystone() -> Result<()> {
    let taken = json!({"type": "urn:alliance:problem:conflict", "status": 409,
        "detail": "untagged uuid tokens are those of partner old, so they cannot be those of north too"});
    let (daemon, keystone) = (adding((409, taken))?, FakeKeystone::empty()?);
    let refused = by_operator(&daemon, &keystone, &with_yes())?;
    assert_eq!(refused.code, Some(1), "{refused}");
    insta::assert_snapshot!(refused.err.lines().last().unwrap_or_default());
    assert_eq!(keystone.made_and_deleted(), (4, 4));
    Ok(())
}

#[test]
fn adding_asks_on_a_terminal_and_refuses_without_one() -> Result<()> {
    let daemon = adding(told())?;
    let refused = alliance(&daemon, ADD, "y\n")?;
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(daemon.requests().is_empty());
    // Asked, it needs the operator's rights all the same.
    let refused = on_a_terminal(&daemon, ADD, "y\n")?;
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.out.contains("OS_AUTH_URL"), "{refused}");
    assert!(daemon.requests().is_empty());
    Ok(())
}

#[test]
fn nothing_is_stored_if_keystone_cannot_be_prepared() -> Result<()> {
    let daemon = adding(told())?;
    let refused = run(
        &mut with_dead_keystone(&daemon, &with_yes()),
        "",
        &daemon.socket(),
    )?;
    assert_eq!(refused.code, Some(1), "{refused}");
    assert_eq!(daemon.requests(), [INSPECT]);
    Ok(())
}

#[test]
fn a_change_that_keystone_does_not_know_yet_ends_with_3() -> Result<()> {
    let pending =
        json!({"keystone_told": false, "detail": "stored, but Keystone's caches were not told"});
    let (daemon, keystone) = (adding((200, pending))?, FakeKeystone::empty()?);
    let added = by_operator(&daemon, &keystone, &with_yes())?;
    assert_eq!(added.code, Some(3), "{added}");
    assert_eq!(keystone.made_and_deleted(), (4, 0));
    Ok(())
}
