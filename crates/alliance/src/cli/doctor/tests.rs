//! What the tests of the findings have in common.

use std::path::Path;

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
pub(super) fn config_in(folder: &Path) -> Result<Config, ConfigError> {
    config_with(folder, "")
}
