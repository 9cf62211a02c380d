use anyhow::Result;
use serde_json::Value;

use crate::daemon::FakeDaemon;
use crate::run::alliance;

/// Every command, without the words that lead to it.
const COMMANDS: &[&str] = &[
    "",
    "serve",
    "init",
    "config",
    "config sample",
    "config check",
    "id",
    "partner",
    "partner invite",
    "partner accept",
    "partner add-keystone",
    "partner list",
    "partner show",
    "partner suspend",
    "partner resume",
    "partner set",
    "partner repair",
    "partner remove",
    "agreement",
    "agreement create",
    "agreement change",
    "agreement list",
    "agreement show",
    "agreement history",
    "agreement accept",
    "agreement reject",
    "agreement end",
    "token",
    "token validate",
    "project",
    "project list",
    "provision",
    "provision plan",
    "provision apply",
    "provision status",
    "provision cancel",
    "provision destroy",
    "region",
    "region list",
    "retirement",
    "retirement list",
    "retirement show",
    "retirement hold",
    "retirement resume",
    "retirement now",
    "orphan",
    "orphan list",
    "orphan retire",
    "explain",
    "status",
    "doctor",
];

#[test]
fn the_help_of_every_command() -> Result<()> {
    let daemon = FakeDaemon::answering([("-", 200, Value::Null)])?;
    let mut pages = String::new();
    for command in COMMANDS {
        let mut words: Vec<_> = command.split_whitespace().collect();
        words.push("--help");
        let ran = alliance(&daemon, &words, "")?;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{command}");
        pages.push_str(&format!("======== alliance {command}\n{}\n", ran.out));
    }
    insta::assert_snapshot!(pages.replace("SOCKET", "/run/alliance/delegate.sock"));
    Ok(())
}

#[test]
fn wrong_arguments_end_with_2() -> Result<()> {
    let daemon = FakeDaemon::answering([("-", 200, Value::Null)])?;
    for wrong in [
        "partners list",
        "partner show",
        "partner invite west",
        "partner invite west --role friend",
        "partner invite a/b --role host",
        "partner invite west --role host --expect nobody",
        "partner set west",
        "partner invite west --role host --trust-till 2020-01-01",
        "agreement create west --project p",
        "agreement create west --project p --role member --till yesterday",
        "partner set west --mode pki",
        "partner set west --mode saml=hard",
        "partner set west --mode uuid=offline",
        "partner set west --allow-sha1 perhaps",
        "partner add-keystone north --auth-url https://north.example --username u --password-file p",
        "partner add-keystone north --auth-url https://north.example --username u --password-file p --token-format uuid,saml",
        "partner add-keystone north --auth-url http://north.example/v2.0 --username u --password-file p --token-format uuid",
        "agreement change a --quota gpus=1",
        "agreement change a --till 2100-01-01 --no-till",
        "agreement end west --project-domain d",
    ] {
        let words: Vec<_> = wrong.split_whitespace().collect();
        let ran = alliance(&daemon, &words, "")?;
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{wrong}");
        insta::assert_snapshot!(ran.err);
    }
    assert!(daemon.requests().is_empty());
    Ok(())
}
