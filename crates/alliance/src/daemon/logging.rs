//! Logs: for people on a terminal, JSON lines otherwise.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging to standard error.
pub(crate) fn start(log: &Log) {
    let human = match log.format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt()
        // The bus's library calls its caller's business errors.
        .with_env_filter(EnvFilter::new(format!("{},lapin=off", log.level)))
        // They would be printed where nothing can be, which panics.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    if human {
        builder.with_target(false).init();
    } else {
        builder
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .init();
    }
}
