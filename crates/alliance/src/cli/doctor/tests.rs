//! What the tests of the findings have in common.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use alliance_peer::identity::Identity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Findings, State, with_causes};
use crate::config::{Config, ConfigError};

/// The smallest configuration, with its state in this folder, and these sections besides.
pub(super) fn config_with(folder: &Path, sections: &str) -> Result<Config, ConfigError> {
    let text = format!(
        r#"
        [cloud]
        name = "west"
        state_dir = "{}"
        [peer]
        url = "https://west.example:5443"
        [keystone]
        auth_url = "http://127.0.0.1:5000/v3"
        password = "none"
        {sections}
        "#,
        folder.display()
    );
    Config::parse(&text, Path::new("alliance.toml"))
}

/// The same, without anything else.
pub(in crate::cli) fn config_in(folder: &Path) -> Result<Config, ConfigError> {
    config_with(folder, "")
}

/// What answers as a memcached that is this cloud's, or nobody's; as `host:port`.
pub(super) async fn memcached_of(cloud: Option<&str>) -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let value = cloud.map(|cloud| format!("VALUE alliance/cloud 0 {}\r\n{cloud}\r\n", cloud.len()));
    let answer = format!("{}END\r\n", value.unwrap_or_default());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 64];
            if matches!(stream.read(&mut asked).await, Ok(read) if read > 0) {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    });
    Ok(address)
}

#[tokio::test]
async fn memcached_of_the_services_is_looked_at_before_a_daemon_runs_and_named_once()
-> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let identity = Identity::load_or_create(folder.path())?;
    let ours = memcached_of(Some(identity.cloud_id().as_str())).await?;
    let (nobodys, others) = (
        memcached_of(None).await?,
        memcached_of(Some("another")).await?,
    );
    let silent = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let services =
        format!("[services]\nmemcached = [\"{ours}\", \"{nobodys}\", \"{others}\", \"{silent}\"]");
    let config = config_with(folder.path(), &services)?;
    let mut findings = Findings {
        identity: Some(identity),
        ..Findings::default()
    };
    findings.service_caches(&config).await;
    let [used, away] = &findings.all[..] else {
        return Err(format!("{} findings", findings.all.len()).into());
    };
    let words = format!("memcached at {others} is used by the services of cloud another too: ");
    assert!(used.state == State::Fail && used.detail.starts_with(&words));
    let words = format!("memcached at {silent} was not reached: ");
    assert!(away.state == State::Warn && away.detail.starts_with(&words));
    assert!(away.detail.ends_with("mend [services] memcached"));

    let mut findings = Findings::default();
    for said in [
        format!("memcached at {others} is used by the services of cloud another too"),
        format!("{silent} does not speak memcached's text protocol"),
    ] {
        findings.note(State::Warn, "daemon", said);
    }
    findings.service_caches(&config).await;
    assert_eq!(findings.all.len(), 2);
    Ok(())
}

#[test]
fn a_configuration_that_never_ends_is_refused() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let [pipe, large] = ["pipe.toml", "large.toml"].map(|name| folder.path().join(name));
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR)?;
    fs::File::create(&large)?.set_len((16 << 20) + 1)?;
    for (file, words) in [
        (pipe, "it is no regular file"),
        (PathBuf::from("/dev/zero"), "it is no regular file"),
        (folder.path().to_owned(), "it is no regular file"),
        (large, "it has more than 16 MiB"),
    ] {
        let said = Config::load(&file).err().map(with_causes);
        let said = said.unwrap_or_default();
        assert!(said.contains(words), "{}: {said}", file.display());
    }
    Ok(())
}
