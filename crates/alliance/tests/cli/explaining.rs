use anyhow::Result;
use serde_json::{Value, json};

use crate::daemon::FakeDaemon;
use crate::run::{alliance, command, run};

const WORDS: [&str; 5] = ["explain", "--project", "science", "--region", "east"];

fn explanation(holds: bool) -> Value {
    let state = if holds { "holds" } else { "broken" };
    let mend = json!({"who": "partners_operator", "what": "alliance agreement create west --project p --role member"});
    json!({
        "holds": holds, "project_id": "p", "partner": "east",
        "conditions": [
            {"name": "project", "state": "holds", "detail": "science (p) is here and enabled"},
            {"name": "their_status", "state": if holds { "holds" } else { "unknown" }, "detail": "ea\u{1b}[2Jst"},
            {"name": "agreement", "state": state, "detail": "east grants this project nothing", "mend": if holds { Value::Null } else { mend }},
            {"name": "service", "service": "dns", "state": "left_out", "detail": "the agreement does not name it",
             "mend": {"who": "this_operator", "what": "nothing"}}
        ]
    })
}

#[test]
fn what_does_not_hold_is_marked_with_who_mends_it_and_ends_with_5() -> Result<()> {
    let daemon = FakeDaemon::answering([("POST /v1/explain", 200, explanation(false))])?;
    let told = alliance(&daemon, &WORDS, "")?;
    assert_eq!(told.code, Some(5), "{told}");
    insta::assert_snapshot!(told);
    let (_, body) = &daemon.seen()[0];
    assert_eq!(
        *body,
        json!({"project": "science", "project_domain": null, "region": "east", "service": null, "user": null, "probe": false})
    );
    let json = alliance(&daemon, &[&WORDS[..], &["--format", "json"]].concat(), "")?;
    assert_eq!(json.code, Some(5), "{json}");
    let found: Value = serde_json::from_str(&json.out)?;
    assert_eq!(found["conditions"][2]["state"], "broken");
    Ok(())
}

#[test]
fn where_all_holds_the_code_is_0_and_signs_are_for_those_who_can_read_them() -> Result<()> {
    let daemon = FakeDaemon::answering([("POST /v1/explain", 200, explanation(true))])?;
    let socket = daemon.socket();
    for (locale, mark) in [("C.UTF-8", "✔  project"), ("C", "OK    project")] {
        let mut command = command(&socket);
        command.args(WORDS).env("LC_ALL", locale);
        let told = run(&mut command, "", &socket)?;
        assert_eq!(told.code, Some(0), "{told}");
        assert!(told.out.starts_with(mark), "{told}");
    }
    Ok(())
}
