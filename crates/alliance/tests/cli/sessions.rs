use anyhow::Result;
use serde_json::{Value, json};

use crate::daemon::FakeDaemon;
use crate::run::alliance;

fn with_id(id: &str) -> Value {
    json!({
        "id": id, "partner": "west", "user_id": "u1", "project_id": "2f3c", "issued_at": 1_795_000_000,
        "expires_at": 1_795_003_600, "tokens": 3, "ended": false
    })
}

#[test]
fn an_id_may_begin_with_hyphens() -> Result<()> {
    for id in [
        "-K4iLZm5WqWytuFNEnUZLA",
        "--4iLZm5WqWytuFNEnUZLA",
        "-h4iLZm5WqWytuFNEnUZLA",
    ] {
        let daemon = FakeDaemon::answering([("GET /v1/sessions", 200, json!([with_id(id)]))])?;
        let ran = alliance(&daemon, &["session", "show", id, "--format", "json"], "")?;
        assert_eq!(
            serde_json::from_str::<Value>(&ran.out)?["id"],
            json!(id),
            "{}",
            ran.err
        );
    }
    let daemon = FakeDaemon::answering([("GET /v1/sessions", 200, json!([]))])?;
    let helped = alliance(&daemon, &["session", "end", "-h"], "")?;
    assert!(helped.out.contains("End a session here"), "{}", helped.err);
    Ok(())
}
