//! `alliance init`

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use alliance_peer::identity::{IDENTITY_KEY, Identity, IdentityError};
use anyhow::Context;
use clap::Args;

use super::output::Format;
use super::status::print_id;
use super::{Failure, Output};
use crate::config::{Config, Sample};

/// Make this cloud's keys, and a configuration to start from
///
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
        make_state_dir(&config)?;
        if let Some(warning) = snapshot_warning(&config) {
            out.say(format_args!("warning: {warning}"));
        }
        require_no_database_alone(&config).map_err(anyhow::Error::from)?;
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

/// A database without the identity that it belongs to is of no use to a new one.
fn require_no_database_alone(config: &Config) -> Result<(), IdentityError> {
    match Identity::load(&config.cloud.state_dir) {
        Err(error @ IdentityError::Missing(_)) => match lost(config, error) {
            lost @ IdentityError::Lost { .. } => Err(lost),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Why there are no keys: of a cloud that has a database in a file, they are lost.
pub(super) fn lost(config: &Config, error: IdentityError) -> IdentityError {
    let is_used = |file: &PathBuf| fs::metadata(file).is_ok_and(|found| found.len() > 0);
    let database = config.database_file().filter(is_used);
    match (error, database) {
        (IdentityError::Missing(missing), Some(present)) if missing.ends_with(IDENTITY_KEY) => {
            IdentityError::Lost { missing, present }
        }
        (error, _) => error,
    }
}

/// For its owner; Keystone's group passes through to the snapshot, the keys stay closed to it.
pub(super) fn make_state_dir(config: &Config) -> anyhow::Result<()> {
    let path = &config.cloud.state_dir;
    if path.is_dir() {
        return Ok(());
    }
    let group = config.delegate.group_id()?;
    let mode = if group.is_some() { 0o750 } else { 0o700 };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| chown(path, None, group))
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .with_context(|| format!("making [cloud] state_dir {}", path.display()))
}

/// Why Keystone's plugin would not get at the snapshot in the state directory.
pub(super) fn snapshot_warning(config: &Config) -> Option<String> {
    let path = &config.cloud.state_dir;
    let name = config.delegate.group.as_deref()?;
    let group = config.delegate.group_id().ok()??;
    let metadata = fs::metadata(path).ok()?;
    let open = metadata.gid() == group && metadata.mode() & 0o010 != 0;
    (!open).then(|| {
        format!(
            "the group {name} cannot enter {0}, so Keystone cannot read the snapshot there; run: chgrp {name} {0}; chmod 750 {0}",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::tests::config_in;

    #[test]
    fn a_database_whose_identity_is_lost_gets_no_new_one() -> Result<(), Box<dyn std::error::Error>>
    {
        let folder = tempfile::tempdir()?;
        let state_dir = folder.path();
        let config = config_in(state_dir)?;
        let database = state_dir.join("alliance.db");
        fs::write(&database, "")?;
        require_no_database_alone(&config)?;
        Identity::load_or_create(state_dir)?;
        fs::write(&database, "whom this cloud trusts")?;
        require_no_database_alone(&config)?;
        fs::remove_file(state_dir.join("signing.key"))?;
        require_no_database_alone(&config)?;
        fs::remove_file(state_dir.join(IDENTITY_KEY))?;
        let refused = require_no_database_alone(&config);
        let said = refused.err().map(|error| error.to_string());
        let said = said.unwrap_or_default();
        assert!(
            said.contains("copy it from another instance")
                && said.contains(&format!("move {} away", database.display())),
            "{said}"
        );
        Ok(())
    }
}
