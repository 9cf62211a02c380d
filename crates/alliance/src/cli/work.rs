//! `alliance work`

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::Failure;
use crate::config::Config;
use crate::work;

/// Run the process that meters, makes and clears away what partners' projects have here
///
/// It stays in the foreground, logs to standard error, listens nowhere, and ends at once on SIGTERM. Of
/// several, one works and the others wait.
#[derive(Debug, Args)]
pub(super) struct Work {
    /// The configuration file
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/alliance/alliance.toml"
    )]
    config: PathBuf,
}

impl Work {
    pub(super) fn run(self) -> Result<(), Failure> {
        // Without the daemon's password: it is none of this process's business.
        let config = Config::read(&self.config).map_err(anyhow::Error::from)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("starting the runtime")?;
        Ok(runtime.block_on(work::run(config))?)
    }
}
