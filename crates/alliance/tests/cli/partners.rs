use alliance_core::cloud::CloudId;
use anyhow::Result;
use serde_json::{Value, json};

use crate::daemon::FakeDaemon;
use crate::run::{alliance, on_a_terminal};

pub(crate) fn west_id() -> CloudId {
    CloudId::from_spki(b"west")
}

/// An active partner with whom all is well.
pub(crate) fn west() -> Value {
    json!({
        "cloud_id": west_id(), "name": "west", "role": "both", "status": "active",
        "peer_url": "https://west.example:5443", "trust_since": 1_795_000_000, "trust_till": null,
        "max_users": null, "max_projects": 20, "created_at": 1_795_000_000,
        "fingerprint": "able-baker-charlie-dog-easy-fox", "calls_itself": "west", "regions": ["west", "west-2"],
        "their_status": "active", "last_seen": 0, "last_error": null,
        "keystone": {"ok": true, "detail": "domain and identity provider are in place"},
        "domain_id": "3c403d1f458654a186ce26f020d9e9d5", "agreements_given": 2, "agreements_received": 1,
        "modes": {"uuid": "soft", "fernet": "hard", "pki": "offline", "pkiz": "offline", "jws": "offline"},
        "allow_sha1": false, "access": null,
        "signing_keys": [
            {"family": "jws", "id": "0123456789abcdef".repeat(4), "retired_at": null},
            {"family": "jws", "id": "fedcba9876543210".repeat(4), "retired_at": 1_795_000_300}
        ],
        "revocation_list": {"age": 7.4, "max_age": 300.0, "events": 12}
    })
}

/// As the daemon shows a cloud that pairs.
pub(crate) fn cloud() -> Value {
    json!({
        "cloud_id": west_id(), "name": "we\u{1b}[2Jst", "peer_url": "https://west.example:5443",
        "regions": [{"id": "RegionOne", "services": [{"type": "image", "name": "glance", "endpoints": []}]}],
        "fingerprint": "able-baker-charlie-dog-easy-fox", "domain_id": "3c403d1f458654a186ce26f020d9e9d5"
    })
}

pub(crate) fn with(mut value: Value, changes: Value) -> Value {
    if let (Some(object), Value::Object(changes)) = (value.as_object_mut(), changes) {
        object.extend(changes);
    }
    value
}

/// A partner without Alliance, and with nothing wrong.
pub(crate) fn north() -> Value {
    with(
        west(),
        json!({
            "name": "north", "kind": "keystone", "role": "guest", "peer_url": "https://north.example:5000/v3",
            "fingerprint": null, "calls_itself": "", "regions": [], "their_status": null,
            "agreements_received": 0, "modes": {"uuid": "hard", "pki": "offline"}, "allow_sha1": true,
            "signing_keys": [], "revocation_list": null,
            "access": {
                "auth_url": "https://north.example:5000/v3", "username": "alliance", "user_domain_name": "Default",
                "project_name": "service", "project_domain_name": "Default",
                "password_file": "/etc/alliance/north-password", "ca_file": "/etc/ssl/north.pem",
                "formats": ["uuid", "pki"], "signing_keys": null
            }
        }),
    )
}

fn told() -> Value {
    json!({"keystone_told": true, "detail": null})
}

#[test]
fn partners_are_listed_with_what_to_look_at() -> Result<()> {
    let hostile = "e\u{1b}[2J;\nvil\u{202e}".repeat(40);
    let daemon = FakeDaemon::answering([(
        "GET /v1/partners",
        200,
        json!([
            west(),
            with(
                west(),
                json!({"name": "suspends-us", "their_status": "suspended"})
            ),
            with(west(), json!({"name": "dead", "last_error": "timeout"})),
            with(
                west(),
                json!({"name": "ends", "trust_till": 1_801_440_000, "role": "guest"})
            ),
            with(
                west(),
                json!({"name": "hostile", "status": "draft", "regions": [hostile], "role": "host"})
            ),
            north(),
        ]),
    )])?;
    insta::assert_snapshot!(alliance(&daemon, &["partner", "list"], "")?);
    let json = alliance(&daemon, &["partner", "list", "--format", "json"], "")?;
    let listed: Value = serde_json::from_str(&json.out)?;
    assert_eq!(listed[4]["regions"][0], json!(hostile));
    assert!(!json.out.contains(['\u{1b}', '\u{202e}']));
    Ok(())
}

#[test]
fn no_partners_say_how_to_get_one() -> Result<()> {
    let daemon = FakeDaemon::answering([("GET /v1/partners", 200, json!([]))])?;
    insta::assert_snapshot!(alliance(&daemon, &["partner", "list"], "")?);
    Ok(())
}

#[test]
fn a_partner_is_shown_whole() -> Result<()> {
    let daemon = FakeDaemon::answering([("GET /v1/partners/west", 200, west())])?;
    insta::assert_snapshot!(alliance(&daemon, &["partner", "show", "west"], "")?);
    Ok(())
}

#[test]
fn a_revocation_list_that_is_not_to_be_relied_on_is_told() -> Result<()> {
    for (age, told) in [
        (json!(299.0), false),
        (json!(301.0), true),
        (Value::Null, true),
    ] {
        let list = json!({"revocation_list": {"age": age, "max_age": 300.0, "events": 0}});
        let daemon = FakeDaemon::answering([("GET /v1/partners/west", 200, with(west(), list))])?;
        let shown = alliance(&daemon, &["partner", "show", "west"], "")?;
        assert_eq!(shown.out.contains("warning:"), told, "{shown}");
    }
    Ok(())
}

#[test]
fn a_plain_keystone_is_shown_with_how_it_is_asked() -> Result<()> {
    let daemon = FakeDaemon::answering([("GET /v1/partners/north", 200, north())])?;
    insta::assert_snapshot!(alliance(&daemon, &["partner", "show", "north"], "")?);
    let ill = json!({"last_error": "the password file /etc/alliance/north-password is empty"});
    let daemon =
        FakeDaemon::answering([("GET /v1/partners/north", 200, with(north(), ill.clone()))])?;
    let shown = alliance(&daemon, &["partner", "show", "north"], "")?;
    insta::assert_snapshot!(shown.out.lines().last().unwrap_or_default());
    Ok(())
}

#[test]
fn modes_and_sha1_are_set_by_name() -> Result<()> {
    let daemon = FakeDaemon::answering([("PATCH /v1/partners/west", 200, told())])?;
    let set = [
        "partner",
        "set",
        "west",
        "--mode",
        "pki=hard",
        "--mode",
        "jws=soft",
        "--allow-sha1",
        "yes",
    ];
    assert_eq!(alliance(&daemon, &set, "")?.code, Some(0));
    assert_eq!(
        daemon.seen(),
        [(
            "PATCH /v1/partners/west".to_owned(),
            json!({"modes": {"pki": "hard", "jws": "soft"}, "allow_sha1": true})
        )]
    );
    Ok(())
}

#[test]
fn whatever_keeps_a_partner_from_working_is_explained() -> Result<()> {
    let daemon = FakeDaemon::answering([(
        "GET /v1/partners/west",
        200,
        with(
            west(),
            json!({
                "their_status": "suspended", "last_error": "connection refused\u{1b}[31m",
                "keystone": {"ok": false, "detail": "identity provider west is disabled"}
            }),
        ),
    )])?;
    let shown = alliance(&daemon, &["partner", "show", "west"], "")?;
    let warnings: Vec<_> = shown
        .out
        .lines()
        .filter(|line| line.starts_with("warning"))
        .collect();
    insta::assert_snapshot!(warnings.join("\n"));
    for (status, till) in [
        ("suspended", Value::Null),
        ("expired", json!(1_795_000_000)),
        ("draft", Value::Null),
    ] {
        let view = with(west(), json!({"status": status, "trust_till": till}));
        let daemon = FakeDaemon::answering([("GET /v1/partners/west", 200, view)])?;
        let shown = alliance(&daemon, &["partner", "show", "west"], "")?;
        insta::assert_snapshot!(shown.out.lines().last().unwrap_or_default());
    }
    Ok(())
}

#[test]
fn suspending_is_over_when_keystone_knows() -> Result<()> {
    let daemon = FakeDaemon::answering([("POST /v1/partners/west/suspend", 200, told())])?;
    insta::assert_snapshot!(alliance(&daemon, &["partner", "suspend", "west"], "")?, @r"
    west is suspended: its tokens are refused
    --- standard error
    --- exit code
    0
    ");
    Ok(())
}

#[test]
fn a_change_that_keystone_does_not_know_yet_ends_with_3() -> Result<()> {
    let pending = json!({"keystone_told": false, "detail": "stored, but Keystone's caches were not told: HTTP 502. The daemon keeps trying"});
    let daemon = FakeDaemon::answering([("POST /v1/partners/west/resume", 200, pending)])?;
    insta::assert_snapshot!(alliance(&daemon, &["partner", "resume", "west"], "")?);
    let json = alliance(&daemon, &["--format=json", "partner", "resume", "west"], "")?;
    assert_eq!(json.code, Some(3));
    assert_eq!(
        serde_json::from_str::<Value>(&json.out)?["keystone_told"],
        json!(false)
    );
    Ok(())
}

#[test]
fn only_what_is_named_is_set() -> Result<()> {
    let daemon = FakeDaemon::answering([("PATCH /v1/partners/west", 200, told())])?;
    let arguments = [
        "partner",
        "set",
        "west",
        "--max-users",
        "unlimited",
        "--trust-till",
        "2100-12-31",
    ];
    assert_eq!(alliance(&daemon, &arguments, "")?.code, Some(0));
    assert_eq!(
        daemon.seen(),
        [(
            "PATCH /v1/partners/west".to_owned(),
            json!({"max_users": null, "trust_till": 4_133_980_800_i64})
        )]
    );
    Ok(())
}

#[test]
fn removing_asks_and_names_what_remains_in_keystone() -> Result<()> {
    let answers = || {
        FakeDaemon::answering([
            ("GET /v1/partners/west", 200, west()),
            ("POST /v1/partners/west/remove", 200, told()),
        ])
    };
    let daemon = answers()?;
    insta::assert_snapshot!(alliance(&daemon, &["partner", "remove", "west"], "y\n")?);
    assert_eq!(daemon.requests(), ["GET /v1/partners/west"]);

    let daemon = answers()?;
    let refused = on_a_terminal(&daemon, &["partner", "remove", "west"], "n\n")?;
    assert_eq!(refused.code, Some(1));
    assert_eq!(daemon.requests().len(), 1);

    let daemon = answers()?;
    let removed = on_a_terminal(&daemon, &["partner", "remove", "west"], "y\n")?;
    assert_eq!(removed.code, Some(0), "{removed}");
    assert_eq!(daemon.requests().len(), 2);

    insta::assert_snapshot!(alliance(
        &answers()?,
        &["partner", "remove", "west", "--yes"],
        ""
    )?);
    Ok(())
}

#[test]
fn what_needs_the_operators_own_rights_says_so_before_anything_is_sent() -> Result<()> {
    let daemon = FakeDaemon::answering([("GET /v1/partners/west", 200, west())])?;
    insta::assert_snapshot!(alliance(
        &daemon,
        &["partner", "remove", "west", "--yes", "--purge"],
        ""
    )?);
    assert!(daemon.requests().is_empty());
    Ok(())
}

#[test]
fn repairing_a_host_needs_nothing_in_keystone() -> Result<()> {
    let host = with(west(), json!({"role": "host"}));
    let problem = json!({"type": "urn:alliance:problem:upstream", "status": 502, "detail": "west does not answer"});
    let daemon = FakeDaemon::answering([
        ("GET /v1/partners/west", 200, host),
        ("POST /v1/partners/west/refresh", 502, problem),
    ])?;
    let repaired = alliance(&daemon, &["partner", "repair", "west"], "")?;
    assert_eq!(repaired.code, Some(0));
    assert!(
        repaired
            .err
            .starts_with("warning: west gave no news: west does not answer"),
        "{}",
        repaired.err
    );
    Ok(())
}

fn way(changes: Value) -> Value {
    let border = json!({
        "reachable_since": 1_795_000_000, "unreachable_since": null, "is_hidden": false,
        "round_trips": {"last": 0.0123, "least": 0.004, "most": 0.9, "count": 16},
        "skew": {"ahead": -0.25, "within": 0.51}, "last_change": 1_795_000_000,
        "descriptor_till": 4_000_000_000_i64, "protocol": 1, "version": env!("CARGO_PKG_VERSION")
    });
    with(west(), json!({"border": with(border, changes)}))
}

#[test]
fn how_the_way_to_a_partner_is_is_shown() -> Result<()> {
    let daemon = FakeDaemon::answering([("GET /v1/partners/west", 200, way(json!({})))])?;
    let shown = alliance(&daemon, &["partner", "show", "west"], "")?;
    assert!(!shown.out.contains("warning"), "{shown}");
    for line in [
        "round trip               12.3 ms; 4.0 to 900.0 ms in the last 16",
        "clock there              0.2 s behind, give or take 0.5 s",
        "last change there        2026-11-18T",
    ] {
        assert!(shown.out.contains(line), "{line} in {shown}");
    }
    Ok(())
}

#[test]
fn what_is_about_to_go_wrong_at_the_border_is_told_with_what_to_do() -> Result<()> {
    let soon = i64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_secs())? + 3 * 86_400 + 60;
    let key = |not_after| json!([{"family": "cms", "id": "ab".repeat(32), "retired_at": null, "not_after": not_after}]);
    for (view, told) in [
        (
            way(json!({"skew": {"ahead": 41.0, "within": 0.5}})),
            "compare at both: timedatectl",
        ),
        (way(json!({"version": "0.0.9"})), "upgrade the older one"),
        (
            way(json!({"descriptor_till": 1_795_000_000})),
            "alliance partner repair west",
        ),
        (
            way(json!({"is_hidden": true})),
            "[catalog] hide_unreachable",
        ),
        (
            with(way(json!({})), json!({"trust_till": soon})),
            "ends in 3 d; its tokens are refused here from then on; to go on: alliance partner set west --trust-till DATE",
        ),
        (
            with(way(json!({})), json!({"signing_keys": key(soon)})),
            "with which west signs tokens ends in 3 d",
        ),
    ] {
        let daemon = FakeDaemon::answering([("GET /v1/partners/west", 200, view.clone())])?;
        let shown = alliance(&daemon, &["partner", "show", "west"], "")?;
        let warnings: Vec<_> = shown
            .out
            .lines()
            .filter(|l| l.starts_with("warning"))
            .collect();
        assert_eq!(warnings.len(), 1, "{told}: {shown}");
        assert!(warnings[0].contains(told), "{told}: {shown}");
    }
    Ok(())
}
