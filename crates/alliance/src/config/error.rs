//! What is wrong with a configuration, said so that it can be put right.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}; `alliance config sample` prints one to start from", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file that holds the password cannot be used.
    #[error("cannot read Keystone's password from {} ([keystone] password_file)", path.display())]
    PasswordFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file's contents are wrong.
    #[error("{}", lines(.0))]
    Invalid(Vec<Mistake>),
}

/// One thing that is wrong in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1; `None` for what is not there.
    pub line: Option<usize>,
    /// What was expected, and what was found.
    pub text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.text)
    }
}

fn lines(mistakes: &[Mistake]) -> String {
    let lines: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
    lines.join("\n")
}
