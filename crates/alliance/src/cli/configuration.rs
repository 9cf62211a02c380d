//! `alliance config`

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use secrecy::ExposeSecret;

use super::{Failure, Output};
use crate::config::{Config, Sample};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print a documented configuration with every option and its default
    Sample {
        /// Set an option, as cloud.name=west; may be repeated
        #[arg(long, value_name = "SECTION.KEY=VALUE")]
        set: Vec<Sample>,
    },
    /// Check a configuration file, and name everything that is wrong with it
    Check {
        /// The configuration file
        #[arg(
            long,
            value_name = "FILE",
            default_value = "/etc/alliance/alliance.toml"
        )]
        config: PathBuf,
    },
}

impl ConfigCommand {
    pub(super) fn run(self, out: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Sample { set } => {
                let mut sample = Sample::default();
                sample.extend(set);
                out.line(sample.to_string().trim_end());
            }
            Self::Check { config: path } => {
                let config = Config::load(&path).map_err(anyhow::Error::from)?;
                for warning in warnings(&config, &path) {
                    out.say(format_args!("warning: {warning}"));
                }
                out.line(format_args!("{} is fine", path.display()));
            }
        }
        Ok(())
    }
}

/// What is allowed, yet unwise; of the file itself as well.
pub(super) fn warnings(config: &Config, path: &Path) -> Vec<String> {
    let mut warnings = config.warnings();
    let open = |path: &Path| {
        fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0)
    };
    let inline = !config.keystone.password.expose_secret().is_empty();
    let secret = match &config.keystone.password_file {
        Some(file) => Some(file.as_path()),
        None if inline => Some(path),
        None => None,
    };
    if let Some(secret) = secret.filter(|secret| open(secret)) {
        warnings.push(format!(
            "every user of this machine can open {}, which holds Keystone's password; run: chmod o= {0}",
            secret.display()
        ));
    }
    warnings
}
