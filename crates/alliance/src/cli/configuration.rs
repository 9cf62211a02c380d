//! `alliance config`

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use secrecy::ExposeSecret;
use url::Url;

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
    let work = &config.work;
    let of_work = [
        ("the message bus's password", work.amqp_url_file.as_deref()),
        (
            "an administrator's credential",
            work.credential_secret_file.as_deref(),
        ),
        ("an administrator's password", work.password_file.as_deref()),
    ];
    let of_work = of_work
        .into_iter()
        .filter_map(|(what, secret)| Some((what, secret?)));
    for (what, secret) in secrets(config, path).into_iter().chain(of_work) {
        if open(secret) {
            warnings.push(format!(
                "every user of this machine can open {}, which holds {what}; run: chmod o= {0}",
                secret.display()
            ));
        }
    }
    warnings
}

/// The files with secrets that a daemon opens, and what they hold; `path` is that of the configuration.
pub(super) fn secrets<'a>(config: &'a Config, path: &'a Path) -> Vec<(&'static str, &'a Path)> {
    let keystone = &config.keystone;
    let inline = !keystone.password.expose_secret().is_empty();
    let database = Url::parse(config.database_url().expose_secret());
    let database = database.is_ok_and(|url| url.password().is_some());
    let all = [
        ("Keystone's password", keystone.password_file.as_deref()),
        (
            "Keystone's password",
            (inline && keystone.password_file.is_none()).then_some(path),
        ),
        ("the database's password", database.then_some(path)),
        (
            "the webhook's secret",
            config.notify.webhook_secret_file.as_deref(),
        ),
        ("the console's key", config.console.key.as_deref()),
    ];
    all.into_iter()
        .filter_map(|(what, secret)| Some((what, secret?)))
        .collect()
}
