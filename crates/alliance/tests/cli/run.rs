//! Running the command as a shell would.

use std::ffi::OsStr;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};

use crate::daemon::FakeDaemon;

/// What came of a command.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A command with nothing of this shell's environment.
pub(crate) fn command(socket: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alliance"));
    command.env_clear().env("ALLIANCE_SOCKET", socket);
    command
}

/// Runs `alliance` without a terminal, `stdin` being what it reads.
pub(crate) fn alliance<S: AsRef<OsStr>>(
    daemon: &FakeDaemon,
    arguments: &[S],
    stdin: &str,
) -> Result<Ran> {
    run(
        command(&daemon.socket()).args(arguments),
        stdin,
        &daemon.socket(),
    )
}

/// Runs `alliance` on a terminal of its own on which `typed` is typed. What it prints comes
/// together, as `out`.
pub(crate) fn on_a_terminal(daemon: &FakeDaemon, arguments: &[&str], typed: &str) -> Result<Ran> {
    let quoted: Vec<_> = arguments.iter().map(|text| format!("'{text}'")).collect();
    let line = format!("{} {}", env!("CARGO_BIN_EXE_alliance"), quoted.join(" "));
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env("ALLIANCE_SOCKET", daemon.socket());
    run(&mut command, typed, &daemon.socket())
}

pub(crate) fn run(command: &mut Command, stdin: &str, socket: &Path) -> Result<Ran> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {command:?}"))?;
    let mut input = child.stdin.take().context("its standard input")?;
    // A command that does not read has closed the pipe perhaps.
    drop(input.write_all(stdin.as_bytes()));
    drop(input);
    Ok(ran(&child.wait_with_output()?, socket))
}

pub(crate) fn ran(output: &Output, socket: &Path) -> Ran {
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).replace('\r', "");
        still(&text.replace(&socket.display().to_string(), "SOCKET"))
    };
    Ran {
        code: output.status.code(),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

/// `text` without what changes from day to day: `20781 d` becomes `N d`.
fn still(text: &str) -> String {
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    for index in 1..words.len() {
        let is_day =
            words[index] == "d" || words[index].starts_with("d)") || words[index].starts_with("d,");
        let digits = words[index - 1].trim_start_matches('(');
        if is_day && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            let start = words[index - 1].len() - digits.len();
            words[index - 1].replace_range(start.., "N");
        }
    }
    words.join(" ")
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}--- standard error", self.out)?;
        writeln!(f, "{}--- exit code", self.err)?;
        match self.code {
            Some(code) => write!(f, "{code}"),
            None => write!(f, "ended by a signal"),
        }
    }
}
