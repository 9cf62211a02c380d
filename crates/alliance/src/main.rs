//! Resource federation between OpenStack clouds: the daemon and its command line.
//!
//! `alliance serve` runs the daemon beside a Keystone, `alliance work` what needs more rights than that;
//! most other commands are clients of the daemon, over its unix socket.

mod cli;
mod config;
mod daemon;
mod disk;
mod wire;
mod work;

use std::process::ExitCode;

use cli::{Cli, Output};

fn main() -> ExitCode {
    let cli = match Cli::from_command_line() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let mut out = Output::new(cli.format.plain());
    let outcome = cli.run(&mut out);
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(&mut out),
    };
    out.finish(code)
}
