use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;

const MINIMAL: &str = r#"
[cloud]
name = "west"
[peer]
url = "https://west.example:5443"
[keystone]
auth_url = "http://127.0.0.1:5000/v3"
password = "s3cret"
"#;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("alliance.toml")).map_err(|error| error.to_string())
}

fn mistakes(text: &str) -> String {
    match parse(text) {
        Ok(_) => "accepted".to_owned(),
        Err(text) => text,
    }
}

/// The sample with every option in force: defaults and examples too.
fn everything() -> String {
    let sample = Sample::default().to_string();
    let lines = sample.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') && rest.contains(" = ") => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_sample_is_a_configuration() {
    let config =
        parse(&Sample::default().to_string()).unwrap_or_else(|error| unreachable!("{error}"));
    assert_eq!(config.cloud.name, "west");
}

#[test]
fn the_sample_reads_well() {
    insta::assert_snapshot!(Sample::default().to_string());
}

#[test]
fn each_option_is_in_the_sample_with_its_documentation() {
    let sample = Sample::default().to_string();
    for outline in sections() {
        assert!(sample.contains(&format!("[{}]\n", outline.name)));
        for key in outline.keys {
            assert!(
                sample.contains(&format!("{} = {}\n", key.name, key.text)),
                "{}.{}",
                outline.name,
                key.name
            );
            assert!(key.doc.iter().all(|line| sample.contains(line)));
        }
    }
}

#[test]
fn each_default_in_the_sample_is_what_its_absence_means() {
    // Two ways to give a password and a database stand in the sample; take one of each away.
    let shown = everything()
        .replace("password_file = ", "#")
        .replace(r#"password = """#, r#"password = "s3cret""#);
    let example = |line: &str| {
        sections().iter().flat_map(|o| o.keys).any(|key| {
            key.presence == section::Presence::Optional
                && line == format!("{} = {}", key.name, key.text)
        })
    };
    let defaults: Vec<_> = shown.lines().filter(|line| !example(line)).collect();
    let written = parse(&defaults.join("\n")).map(|config| format!("{config:?}"));
    let left_out = parse(&MINIMAL.replace("west.example", "alliance.west.example"))
        .map(|config| format!("{config:?}"));
    assert_eq!(written, left_out);
    assert!(written.is_ok());
}

#[test]
fn each_example_in_the_sample_can_be_used() {
    let text = everything().replace(r#"password = """#, "");
    assert!(parse(&text).is_ok(), "{}", mistakes(&text));
}

#[test]
fn a_minimal_file_is_enough() {
    let config = parse(MINIMAL).unwrap_or_else(|error| unreachable!("{error}"));
    assert_eq!(config.keystone.timeout, Duration::from_secs(5));
    assert_eq!(config.keystone.password.expose_secret(), "s3cret");
    assert_eq!(
        config.database_url().expose_secret(),
        "sqlite:///var/lib/alliance/alliance.db"
    );
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn everything_that_is_missing_is_named_at_once() {
    insta::assert_snapshot!(mistakes(""), @"alliance.toml: missing: cloud.name, peer.url, keystone.auth_url, keystone.password_file (or keystone.password) (`alliance config sample` explains each)");
}

#[test]
fn a_misspelling_is_refused_with_its_line_and_the_nearest_known_name() {
    insta::assert_snapshot!(mistakes(&format!(
        r#"listen = "x"
retries = 3
{MINIMAL}
[deelgate]
socket = "/run/a.sock"
[tokens]
max_stalness = 5
listen = "127.0.0.1:1"
colour = "red"
invalid_budget = {{ rat = 5, burst = 3 }}
[nova]
"#
    )));
}

#[test]
fn every_wrong_value_is_refused_with_its_line_and_what_was_expected() {
    insta::assert_snapshot!(mistakes(
        r#"
[cloud]
name = "the west"
state_dir = "var/lib"
[database]
url = "postgres://user:hunter2@host/db"
[delegate]
socket = 5
group = " "
admin_uids = [0, -1]
[peer]
listen = "5443"
url = "http://west.example:5443"
[metrics]
listen = "localhost"
[keystone]
auth_url = "http://127.0.0.1:5000"
password = 12345
timeout = 0
interface = "pubic"
[tokens]
max_staleness = "1m"
admin_roles = "admin"
revoke_too_powerful = 1
negative_ttl = -1
invalid_budget = { rate = 0, burst = 1 }
[services]
memcached = ["cache"]
[trace]
otlp_url = "grpc://127.0.0.1:4317"
sample = 1.5
[log]
format = "xml"
level = 3
"#
    ));
}

#[test]
fn a_socket_path_fits_the_system() {
    let path = |len: usize| format!("{MINIMAL}[delegate]\nsocket = \"/{}\"", "s".repeat(len - 1));
    assert!(parse(&path(107)).is_ok());
    insta::assert_snapshot!(mistakes(&path(108)), @"alliance.toml:10: [delegate] socket: is 108 bytes long; the system takes at most 107 for a socket's path");
}

#[test]
fn broken_toml_is_refused_without_repeating_a_line_that_may_hold_a_password() {
    insta::assert_snapshot!(mistakes("[keystone]\npassword = \"hunter2"));
}

#[test]
fn a_password_stands_in_one_place() {
    insta::assert_snapshot!(
        mistakes(&format!("{MINIMAL}password_file = \"/etc/p\"")),
        @"alliance.toml: [keystone] password stands beside password_file: keep one of the two"
    );
}

#[test]
fn the_console_is_heard_beyond_this_machine_with_a_certificate_only() {
    let said = |lines: &str| mistakes(&format!("{MINIMAL}[console]\n{lines}"));
    let pair = "certificate = \"/c.pem\"\nkey = \"/c.key\"";
    for fine in [
        "",
        "listen = \"127.0.0.1:8453\"",
        "listen = \"[::1]:8453\"",
        &format!("listen = \"0.0.0.0:8453\"\n{pair}"),
    ] {
        assert_eq!(said(fine), "accepted", "{fine}");
    }
    insta::assert_snapshot!(
        said("listen = \"0.0.0.0:8453\""),
        @"alliance.toml: [console] listen is an address beyond this machine: passwords cross the network readable; name a certificate and its key, or listen at 127.0.0.1"
    );
    insta::assert_snapshot!(
        said("certificate = \"/c.pem\""),
        @"alliance.toml: [console] key is missing beside certificate"
    );
    insta::assert_snapshot!(
        said("key = \"/c.key\""),
        @"alliance.toml: [console] certificate is missing beside key"
    );
}

#[test]
fn the_password_is_the_first_line_of_its_file() {
    let folder = tempfile::tempdir().unwrap_or_else(|error| unreachable!("{error}"));
    let (secret, file) = (
        folder.path().join("pw"),
        folder.path().join("alliance.toml"),
    );
    let text = MINIMAL.replace(
        r#"password = "s3cret""#,
        &format!("password_file = \"{}\"", secret.display()),
    );
    assert!(std::fs::write(&file, text).is_ok());
    assert!(matches!(
        Config::load(&file),
        Err(ConfigError::PasswordFile { .. })
    ));
    assert!(std::fs::write(&secret, "\n").is_ok());
    assert!(matches!(
        Config::load(&file),
        Err(ConfigError::PasswordFile { .. })
    ));
    assert!(std::fs::write(&secret, " pass word \n").is_ok());
    let password = Config::load(&file).map(|config| config.keystone.password);
    assert_eq!(
        password.as_ref().map(ExposeSecret::expose_secret).ok(),
        Some(" pass word ")
    );
}

#[test]
fn what_is_allowed_but_unwise_is_a_warning() {
    let config = parse(&MINIMAL.replace("west.example", "127.0.0.1").replace(
        "[peer]",
        "[catalog]\nallow_http = true\n[audit]\nbus = true\n[tokens]\nrevoke_too_powerful = false\n[peer]",
    ));
    insta::assert_snapshot!(
        config
            .map(|config| config.warnings().join("\n"))
            .unwrap_or_else(|error| error)
    );
}

#[test]
fn a_sample_can_be_filled_in() {
    let mut sample = Sample::default();
    let settings = [
        "cloud.name=east",
        "keystone.timeout=2",
        "peer.url = https://e:1",
    ];
    sample.extend(
        settings
            .iter()
            .filter_map(|text| text.parse::<Sample>().ok()),
    );
    let config = parse(&sample.to_string()).unwrap_or_else(|error| unreachable!("{error}"));
    assert_eq!(config.cloud.name, "east");
    assert_eq!(config.keystone.timeout, Duration::from_secs(2));
    assert_eq!(
        "cloud.nam=x"
            .parse::<Sample>()
            .map_err(|error| error.to_string())
            .err()
            .as_deref(),
        Some(r#"there is no option "cloud.nam"; did you mean "name"?"#)
    );
}

#[test]
fn regions_are_hidden_after_a_minute_at_least_or_never() {
    let hiding = |value: &str| {
        let text = format!("{MINIMAL}\n[catalog]\nhide_unreachable = {value}\n");
        parse(&text).map(|config| config.catalog.hide_unreachable)
    };
    assert_eq!(hiding("false"), Ok(None));
    assert_eq!(hiding("60"), Ok(Some(Duration::from_secs(60))));
    for wrong in ["true", "0", "59.9", "\"1h\""] {
        assert!(
            hiding(wrong).is_err_and(|error| error.contains("at least 60")),
            "{wrong}"
        );
    }
}
