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

fn terms(cores: u32, price: &str) -> Value {
    json!({
        "roles": ["member", "reader"], "services": null, "transitive": false,
        "allow": ["application-credentials", "trusts"], "since": 1_795_000_000, "till": null,
        "quota": {"cores": cores, "ram_mb": 4096}, "flavors": ["m1.small", "m1.tiny"],
        "prices": {"currency": "EUR", "per_hour": {"cores": price, "flavor:m1.small": "0.05"}},
        "retirement": {"quarantine_after": 3600, "delete_after": 259_200}
    })
}

/// An agreement of which version 1 is in force and version 2 waits for home's operator.
pub(crate) fn contract(received: bool) -> Value {
    let version = |number: u32, standing: &str, terms: Value| {
        json!({
            "number": number, "standing": standing, "terms": terms, "sha256": "ab".repeat(32),
            "made_at": 1_795_000_000 + i64::from(number), "made_by": if received { "west" } else { "eve" },
            "in_force_since": null, "said": null, "said_at": null, "said_by": null,
            "signed": "a.b.c", "reply": null
        })
    };
    let first = with(
        version(1, "agreed", terms(8, "0.01")),
        json!({
            "in_force_since": 1_795_000_001, "said": "accepted", "said_at": 1_795_000_060,
            "said_by": if received { "daemon" } else { "west" }
        }),
    );
    let agreed = with(science(), terms(8, "0.01"));
    with(
        agreed,
        json!({
            "received": received, "version": 1,
            "contract": {
                "newest": 2, "standing": "proposed", "countersigned": true,
                "versions": [first, version(2, "proposed", terms(20, "0.02"))]
            }
        }),
    )
}

#[test]
fn an_agreement_shows_what_holds_what_is_proposed_and_who_signed() -> Result<()> {
    for received in [false, true] {
        let answer = contract(received);
        let daemon = FakeDaemon::answering([("GET /v1/agreements/a", 200, answer)])?;
        insta::assert_snapshot!(alliance(&daemon, &["agreement", "show", "a"], "")?);
    }
    let faulty = with(
        contract(true),
        json!({"contract": {"newest": 1, "standing": "not_countersigned", "countersigned": false,
            "fault": "the host says that its newest version is 1, which was 2 before; was it set back?"}}),
    );
    let daemon = FakeDaemon::answering([("GET /v1/agreements/a", 200, faulty)])?;
    insta::assert_snapshot!(alliance(&daemon, &["agreement", "show", "a"], "")?);
    Ok(())
}

#[test]
fn the_history_says_who_changed_what_when() -> Result<()> {
    let daemon = FakeDaemon::answering([("GET /v1/agreements/a", 200, contract(false))])?;
    insta::assert_snapshot!(alliance(&daemon, &["agreement", "history", "a"], "")?);
    let unsigned = FakeDaemon::answering([("GET /v1/agreements/a", 200, science())])?;
    let none = alliance(&unsigned, &["agreement", "history", "a"], "")?;
    assert_eq!(none.code, Some(1), "{none}");
    Ok(())
}

#[test]
fn a_change_says_only_what_changes() -> Result<()> {
    let changed = applied(true, &[contract(false)]);
    let daemon = FakeDaemon::answering([("PATCH /v1/agreements/a", 200, changed)])?;
    let words = "agreement change a --any-service --no-till --quota cores=20,images=none --price cores=0.02 \
        --price flavor:a=b=none --currency EUR --any-flavor --region one --delete-after 3d --allow-none \
        --transitive yes --from 2027-01-31";
    let words: Vec<_> = words.split_whitespace().collect();
    let ran = alliance(&daemon, &words, "")?;
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(
        ran.out.ends_with("it waits for the operator of west\n"),
        "{ran}"
    );
    assert_eq!(
        daemon.seen()[0].1,
        json!({
            "services": null, "till": null, "transitive": true, "allow": [], "since": 1_801_353_600,
            "regions": ["one"], "flavors": null, "quota": {"cores": 20, "images": null}, "currency": "EUR",
            "prices": {"cores": "0.02", "flavor:a=b": null}, "delete_after": 259_200
        })
    );
    Ok(())
}

#[test]
fn what_home_says_goes_by_the_agreements_id() -> Result<()> {
    for (verb, body) in [
        ("accept", json!({"version": 2})),
        ("reject", json!({})),
        ("end", Value::Null),
    ] {
        let call = format!("POST /v1/agreements/a/{verb}");
        let told = with(applied(true, &[contract(true)]), json!({"host_told": true}));
        let daemon = FakeDaemon::answering([(call.as_str(), 200, told)])?;
        let mut words = vec!["agreement", verb, "a"];
        if verb == "accept" {
            words.extend(["--version", "2"]);
        }
        let ran = alliance(&daemon, &words, "")?;
        assert_eq!(ran.code, Some(0), "{ran}");
        assert_eq!(daemon.seen()[0].1, body);
        let untold = with(
            applied(true, &[contract(true)]),
            json!({"host_told": false}),
        );
        let daemon = FakeDaemon::answering([(call.as_str(), 200, untold)])?;
        let ran = alliance(&daemon, &words, "")?;
        assert_eq!(ran.code, Some(3), "{ran}");
        assert!(ran.err.contains("the host has not heard it"), "{ran}");
    }
    Ok(())
}
