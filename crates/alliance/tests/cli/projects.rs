use anyhow::Result;
use serde_json::{Value, json};

use crate::daemon::FakeDaemon;
use crate::run::alliance;

fn science() -> Value {
    json!({
        "partner": "west", "project_id": "2f3c", "name": "sci\u{1b}[2Jence", "domain_name": "Default",
        "host_project_id": "77aa", "agreements": ["a1", "a2"], "users": 2, "sessions": 3,
        "first_seen": 1_795_000_000, "last_seen": 1_795_000_060
    })
}

fn never_came() -> Value {
    json!({
        "partner": "north", "project_id": "9b1d", "name": null, "domain_name": null,
        "host_project_id": "88bb", "agreements": ["a3"], "users": 0, "sessions": 0,
        "first_seen": null, "last_seen": null
    })
}

#[test]
fn partners_projects_are_listed_with_what_they_are_here() -> Result<()> {
    let both = json!([science(), never_came()]);
    let daemon = FakeDaemon::answering([("GET /v1/projects", 200, both)])?;
    insta::assert_snapshot!(alliance(&daemon, &["project", "list"], "")?);
    let words = ["project", "list", "--partner", "north", "--format", "json"];
    let listed = alliance(&daemon, &words, "")?;
    assert_eq!(
        serde_json::from_str::<Value>(&listed.out)?,
        json!([never_came()])
    );
    Ok(())
}

#[test]
fn no_projects_say_how_they_come() -> Result<()> {
    let daemon = FakeDaemon::answering([("GET /v1/projects", 200, json!([]))])?;
    insta::assert_snapshot!(alliance(&daemon, &["project", "list"], "")?);
    Ok(())
}
