//! What the tests of the findings have in common.

use std::io;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

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
