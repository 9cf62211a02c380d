//! Why there is no backup, or why one is not restored.

use std::io;

use crate::error::{Error, OpenError};

/// Why a backup was not taken or not restored. Nothing of it is in force then.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] Error),
    /// Something is there already.
    #[error("{database} is not empty; a backup is restored into an empty one, or into none")]
    NotEmpty {
        /// Which.
        database: String,
    },
    /// The file cannot be written or read.
    #[error("cannot {what} the backup")]
    Io {
        /// `write` or `read`.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Another kind of file.
    #[error(
        "that is no backup of Alliance; if it is encrypted or compressed, undo that first: \
         `age --decrypt … | alliance restore --from -`"
    )]
    NotABackup,
    /// A backup of a later version, in another form.
    #[error(
        "the backup has form {found}, this version knows form {known}; install the newer version"
    )]
    NewerForm {
        /// Its form.
        found: u32,
        /// The one that this version knows.
        known: u32,
    },
    /// A backup of a later version.
    #[error(
        "the backup has schema {found}, this version knows schemas up to {known}; \
         install the newer version"
    )]
    NewerSchema {
        /// Its schema.
        found: i64,
        /// The newest that this version knows.
        known: i64,
    },
    /// It ends too early.
    #[error("the backup ends after line {line}, before its end: it is not complete")]
    Truncated {
        /// The last line.
        line: u64,
    },
    /// It is not what was written.
    #[error("the backup is damaged at line {line}: {why}")]
    Damaged {
        /// Where.
        line: u64,
        /// What is wrong.
        why: String,
    },
}

impl From<sqlx::Error> for BackupError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}
