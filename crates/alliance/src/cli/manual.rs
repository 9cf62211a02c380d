//! `alliance completion` and `alliance manual`: what packages install beside the program.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, EXIT_CODES, Failure, Output};

/// What the manual has beyond the help.
const FILES: &str = "\
Files:
  /etc/alliance/alliance.toml  the configuration: alliance config sample prints all options
  /var/lib/alliance            keys, database, and what Keystone's plugin reads
  /run/alliance/delegate.sock  where Keystone and these commands find the daemon
  /usr/share/doc/alliance      the operator's guide

See also:
  systemctl cat alliance alliance-work";

/// Print what makes a shell complete this command's words
#[derive(Debug, Args)]
pub(super) struct Completion {
    /// Whose
    #[arg(value_enum)]
    shell: Shell,
}

impl Completion {
    pub(super) fn run(self, out: &mut Output) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "alliance", &mut script);
        out.line(String::from_utf8_lossy(&script).trim_end());
        Ok(())
    }
}

/// Write the manual: one page in section 1 for each command
#[derive(Debug, Args)]
pub(super) struct Manual {
    /// Into this directory, which is made if it is not there
    #[arg(value_name = "DIRECTORY")]
    into: PathBuf,
}

impl Manual {
    pub(super) fn run(self) -> Result<(), Failure> {
        let place = || format!("writing the manual to {}", self.into.display());
        fs::create_dir_all(&self.into).with_context(place)?;
        let command = Cli::command().after_help(format!("{EXIT_CODES}\n\n{FILES}"));
        clap_mangen::generate_to(command, &self.into).with_context(place)?;
        Ok(())
    }
}
