use std::fs;

use anyhow::Result;
use serde_json::Value;

use crate::daemon::FakeDaemon;
use crate::run::alliance;

/// The help of a command, and then that of each below it; those commands' words go to `commands`.
fn pages(daemon: &FakeDaemon, command: &str, commands: &mut Vec<String>) -> Result<String> {
    let words: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
    let ran = alliance(daemon, &words, "")?;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{command}");
    let mut all = format!("======== alliance {command}\n{}\n", ran.out);
    let listed = ran.out.split("\nCommands:\n").nth(1).unwrap_or_default();
    let listed = listed.lines().take_while(|line| !line.is_empty());
    // Deeper lines go on with a description.
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    for name in names {
        if !matches!(name, "" | "help") {
            all += &pages(daemon, format!("{command} {name}").trim(), commands)?;
        }
    }
    commands.push(command.to_owned());
    Ok(all)
}

#[test]
fn the_help_of_every_command() -> Result<()> {
    let daemon = FakeDaemon::answering([("-", 200, Value::Null)])?;
    let pages = pages(&daemon, "", &mut Vec::new())?;
    insta::assert_snapshot!(pages.replace("SOCKET", "/run/alliance/delegate.sock"));
    Ok(())
}

#[test]
fn the_manual_has_a_page_for_every_command() -> Result<()> {
    let daemon = FakeDaemon::answering([("-", 200, Value::Null)])?;
    let (folder, mut commands) = (tempfile::tempdir()?, Vec::new());
    pages(&daemon, "", &mut commands)?;
    let into = folder.path().join("man1");
    let words = ["manual", into.to_str().unwrap_or_default()];
    let ran = alliance(&daemon, &words, "")?;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    for command in &commands {
        let name = format!("alliance {command}").trim().replace(' ', "-");
        let page = fs::read_to_string(into.join(format!("{name}.1")))?;
        assert!(page.contains(".SH SYNOPSIS"), "{name}");
    }
    assert!(commands.len() > 50, "{commands:?}");
    Ok(())
}

#[test]
fn shells_can_complete_the_commands() -> Result<()> {
    let daemon = FakeDaemon::answering([("-", 200, Value::Null)])?;
    for shell in ["bash", "zsh", "fish"] {
        let ran = alliance(&daemon, &["completion", shell], "")?;
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert!(ran.out.contains("agreement") && ran.out.contains("trust-till"));
    }
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
