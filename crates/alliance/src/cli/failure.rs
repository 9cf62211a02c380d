//! How a command ends when it does not end well: a message and an exit code.

use std::fmt::Display;
use std::process::ExitCode;

use super::output::Output;
use super::socket::SocketError;

/// Why a command did not do what it was told, by what a script has to do about it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Exit code 1: refused, or failed.
    Refused(anyhow::Error),
    /// Exit code 2: the command line itself is wrong.
    Usage(String),
    /// Exit code 3: stored, but not in force everywhere yet.
    Pending(String),
    /// Exit code 4: the daemon does not answer.
    Unreachable(anyhow::Error),
    /// Exit code 5: what was asked about is not so.
    Unmet(String),
}

impl Failure {
    /// A refusal in one sentence.
    pub(crate) fn refused(why: impl Display) -> Self {
        Self::Refused(anyhow::anyhow!("{why}"))
    }

    /// The same failure, said to have happened while something else was done.
    pub(crate) fn context(self, what: impl Display + Send + Sync + 'static) -> Self {
        match self {
            Self::Refused(error) => Self::Refused(error.context(what)),
            Self::Unreachable(error) => Self::Unreachable(error.context(what)),
            other => other,
        }
    }

    /// Says what happened; the code for the shell.
    pub(crate) fn report(&self, out: &mut Output) -> ExitCode {
        let code = match self {
            Self::Refused(error) => {
                chain(error, out);
                1
            }
            Self::Usage(text) => {
                out.say(format_args!("error: {text}"));
                2
            }
            Self::Pending(text) => {
                out.say(format_args!("not yet in force: {text}"));
                3
            }
            Self::Unreachable(error) => {
                chain(error, out);
                4
            }
            Self::Unmet(text) => {
                out.say(text);
                5
            }
        };
        ExitCode::from(code)
    }
}

fn chain(error: &anyhow::Error, out: &mut Output) {
    let mut causes = error.chain();
    if let Some(first) = causes.next() {
        out.say(format_args!("error: {first}"));
    }
    for cause in causes {
        out.say(format_args!("  because: {cause}"));
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Refused(error)
    }
}

impl From<SocketError> for Failure {
    fn from(error: SocketError) -> Self {
        if error.is_unreachable() {
            Self::Unreachable(error.into())
        } else {
            Self::Refused(error.into())
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Refused(error.into())
    }
}
