//! `alliance serve`

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::Failure;
use crate::config::Config;
use crate::daemon;

/// Run the daemon
///
/// It stays in the foreground, logs to standard error, and finishes what is under way on SIGTERM.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The configuration file
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/alliance/alliance.toml"
    )]
    config: PathBuf,
}

/// Of each thread, in bytes. What is not used is not taken.
const STACK: usize = 8 << 20;

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        let config = Config::load(&self.config).map_err(anyhow::Error::from)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            // What a request does is one future of many parts; a build that is not optimised copies them.
            .thread_stack_size(STACK)
            .build()
            .context("starting the runtime")?;
        Ok(runtime.block_on(daemon::run(config))?)
    }
}
