use std::fs;

use anyhow::Result;
use serde_json::{Value, json};

use crate::daemon::FakeDaemon;
use crate::partners::with;
use crate::run::alliance;

const PLAN: &str = "\
heat_template_version: 2021-04-16
parameters:
  size: {type: number, default: 1}
resources:
  net: {type: OS::Neutron::Net}
  disk: {type: OS::Cinder::Volume, properties: {size: {get_param: size}}}
";

fn stack(state: &str, resources: &[(&str, &str, &str)], detail: Option<&str>) -> Value {
    let resources: Vec<Value> = resources
        .iter()
        .map(|(name, kind, state)| json!({"resource": name, "type": kind, "state": state, "id": "1"}))
        .collect();
    json!({
        "id": "s", "project_id": "2f3c", "name": "web", "state": state, "action": "apply",
        "order_id": "o", "detail": detail, "changed_at": 1_795_000_000, "resources": resources,
    })
}

fn planned() -> Value {
    json!({"project_id": "2f3c", "changes": [
        {"resource": "disk", "type": "OS::Cinder::Volume", "change": "replace", "because": "size"},
        {"resource": "net", "type": "OS::Neutron::Net", "change": "keep"},
    ]})
}

const PLACE: [&str; 4] = ["--at", "east", "--project", "science"];

#[test]
fn a_plan_is_shown_and_applied_and_followed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("web.yaml");
    fs::write(&file, PLAN)?;
    let file = file.to_string_lossy().into_owned();
    let ordered = json!({
        "order_id": "o", "project_id": "2f3c", "host_project_id": "77aa", "heard": true,
        "stack": stack("ordered", &[("net", "OS::Neutron::Net", "started")], None),
    });
    let complete = [
        ("disk", "OS::Cinder::Volume", "done"),
        ("net", "OS::Neutron::Net", "done"),
    ];
    let order = json!({
        "order_id": "o", "project_id": "2f3c", "name": "web", "action": "apply", "given_at": 1,
        "given_by": "root", "heard": true,
    });
    let seen = json!({"stacks": [stack("complete", &complete, None)], "orders": [order]});
    let question = "GET /v1/provisions?partner=east&project=2f3c&name=web&order=o";
    let daemon = FakeDaemon::answering([
        ("POST /v1/provisions/plan", 200, planned()),
        ("POST /v1/provisions", 200, ordered),
        (question, 200, seen),
    ])?;
    let words = |command, more: &[&'static str]| -> Vec<String> {
        let words = ["provision", command, &file].into_iter();
        words
            .chain(PLACE)
            .chain(more.iter().copied())
            .map(str::to_owned)
            .collect()
    };
    let run = |words: Vec<String>| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        alliance(&daemon, &words, "")
    };
    insta::assert_snapshot!("planned", run(words("plan", &[]))?);
    insta::assert_snapshot!("applied", run(words("apply", &["--parameter", "size=3"]))?);
    insta::assert_snapshot!("events", run(words("apply", &["--format", "json"]))?);
    insta::assert_snapshot!("not_waited_for", run(words("apply", &["--no-wait"]))?);
    Ok(())
}

#[test]
fn a_file_that_is_no_plan_is_never_sent() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("web.yaml");
    fs::write(&file, "a: [1\nb: 2")?;
    let daemon = FakeDaemon::answering([("-", 200, Value::Null)])?;
    let file = file.to_string_lossy().into_owned();
    let words: Vec<&str> = ["provision", "plan", &file]
        .into_iter()
        .chain(PLACE)
        .collect();
    let ran = alliance(&daemon, &words, "")?;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("is no YAML"), "{}", ran.err);
    Ok(())
}

#[test]
fn stacks_are_listed_and_one_with_its_resources() -> Result<()> {
    let failed = stack(
        "failed",
        &[("net", "OS::Neutron::Net", "removing")],
        Some("disk: Cinder answered 413\u{1b}[2J"),
    );
    let order = json!({
        "order_id": "p", "project_id": "2f3c", "name": "web", "action": "destroy", "given_at": 1,
        "given_by": "root", "heard": false,
    });
    let all = json!({"stacks": [failed], "orders": [order]});
    let daemon = FakeDaemon::answering([
        ("GET /v1/provisions?partner=east", 200, all.clone()),
        ("GET /v1/provisions?partner=east&name=web", 200, all),
    ])?;
    insta::assert_snapshot!(
        "all",
        alliance(&daemon, &["provision", "status", "--at", "east"], "")?
    );
    let one = ["provision", "status", "web", "--at", "east"];
    insta::assert_snapshot!("one", alliance(&daemon, &one, "")?);
    Ok(())
}

#[test]
fn what_is_not_there_needs_no_destruction() -> Result<()> {
    let nothing = json!({
        "order_id": "o", "project_id": "2f3c", "host_project_id": "77aa", "heard": true, "stack": null
    });
    let daemon = FakeDaemon::answering([("POST /v1/provisions", 200, nothing)])?;
    let words: Vec<&str> = ["provision", "destroy", "web"]
        .into_iter()
        .chain(PLACE)
        .collect();
    insta::assert_snapshot!(alliance(&daemon, &words, "")?);
    Ok(())
}

#[test]
fn a_project_is_prepared() -> Result<()> {
    let words: Vec<&str> = ["provision", "prepare"].into_iter().chain(PLACE).collect();
    let order = json!({
        "order_id": "o", "project_id": "2f3c", "host_project_id": "77aa", "heard": true, "stack": null
    });
    let daemon = FakeDaemon::answering([("POST /v1/provisions", 200, order.clone())])?;
    insta::assert_snapshot!("prepared", alliance(&daemon, &words, "")?);
    let later = with(
        order,
        json!({"heard": false, "detail": "east: nobody answers"}),
    );
    let daemon = FakeDaemon::answering([("POST /v1/provisions", 200, later)])?;
    insta::assert_snapshot!("prepared_later", alliance(&daemon, &words, "")?);
    Ok(())
}
