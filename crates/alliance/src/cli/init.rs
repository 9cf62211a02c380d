//! `alliance init`

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use alliance_peer::identity::Identity;
use anyhow::Context;
use clap::Args;

use super::output::Format;
use super::status::print_id;
use super::{Failure, Output};
use crate::config::{Config, Sample};

/// Writes a documented configuration if there is none, makes [cloud] state_dir and this cloud's
/// keys if there are none, and prints the cloud id. Run it as the daemon's user; running it again
/// changes nothing.
#[derive(Debug, Args)]
pub(super) struct Init {
    /// The configuration file; written if it does not exist
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/alliance/alliance.toml"
    )]
    config: PathBuf,

    /// What this cloud calls itself, in a new configuration
    #[arg(long)]
    name: Option<String>,

    /// Any other option of a new configuration, as peer.url=https://…; may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<Sample>,
}

impl Init {
    pub(super) fn run(self, out: &mut Output) -> Result<(), Failure> {
        let mut sample = Sample::default();
        sample.extend(self.set);
        if let Some(name) = &self.name {
            sample
                .set("cloud.name", name)
                .map_err(anyhow::Error::from)?;
        }
        let is_new = write_new(&self.config, &sample)?;
        let config = match Config::read(&self.config) {
            Ok(config) => config,
            Err(error) => {
                if is_new {
                    // It was made from wrong settings; a corrected command shall find no leftovers.
                    drop(fs::remove_file(&self.config));
                }
                return Err(anyhow::Error::from(error).into());
            }
        };
        let state_dir = &config.cloud.state_dir;
        make_state_dir(state_dir)?;
        let identity = Identity::load_or_create(state_dir).map_err(anyhow::Error::from)?;
        if out.format == Format::Table {
            let made = if is_new { "written" } else { "kept as it was" };
            out.say(format_args!(
                "configuration  {} ({made})",
                self.config.display()
            ));
            out.say(format_args!("keys           {}", state_dir.display()));
            if is_new {
                out.say(format_args!(
                    "Edit the configuration, check it with `alliance config check --config {0}`, then run `alliance serve --config {0}`.",
                    self.config.display()
                ));
            }
        }
        print_id(identity.cloud_id(), out)
    }
}

/// Whether the file is new.
fn write_new(path: &Path, sample: &Sample) -> anyhow::Result<bool> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(path);
    let context = || format!("writing the configuration {}", path.display());
    match file {
        Ok(mut file) => {
            file.write_all(sample.to_string().as_bytes())
                .and_then(|()| file.sync_all())
                .with_context(context)?;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).with_context(context),
    }
}

/// Nobody but its owner looks in, until the daemon lets Keystone's group read the snapshot.
fn make_state_dir(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("making [cloud] state_dir {}", path.display()))
}
