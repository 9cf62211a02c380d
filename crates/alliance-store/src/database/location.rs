//! Where the database is: reads the URL, makes a new SQLite file, and names the database in
//! errors without its password.

use std::fmt;
use std::fs::{self, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::mysql::MySqlConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use super::Dialect;
use super::fault::Fault;
use crate::error::OpenError;

/// A database's place. Neither its `Display` nor its `Debug` holds a password.
pub(crate) struct Location {
    url: String,
    at: At,
}

enum At {
    File(PathBuf),
    Server { shown: String },
}

impl Location {
    pub(crate) fn parse(url: &str) -> Result<Self, OpenError> {
        let at = match url.split_once(':') {
            Some(("sqlite", _)) => sqlite(url)?,
            Some(("mysql" | "mariadb", _)) => mariadb(url)?,
            Some((scheme, _)) => return Err(wrong(format!("a URL of scheme {scheme}"))),
            None => return Err(wrong("no URL".to_owned())),
        };
        Ok(Self {
            url: url.to_owned(),
            at,
        })
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self.at {
            At::File(_) => Dialect::Sqlite,
            At::Server { .. } => Dialect::MariaDb,
        }
    }

    pub(crate) fn connect_url(&self) -> &str {
        &self.url
    }

    /// Whether it is a file that is not there.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(&self.at, At::File(file) if !file.exists())
    }

    /// Makes an empty SQLite file, for its owner alone, if there is none; SQLite gives its log
    /// files the same mode. Refuses one that nobody may write, which root could all the same.
    pub(crate) fn prepare(&self) -> Result<(), OpenError> {
        let At::File(file) = &self.at else {
            return Ok(());
        };
        let directory = file.parent().unwrap_or(Path::new("/"));
        if !directory.is_dir() {
            return Err(OpenError::DirectoryMissing {
                directory: directory.to_owned(),
            });
        }
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(file);
        match made {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let metadata = self.require_writable()?;
                if metadata.is_some_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
                    tracing::warn!("others than the daemon's user may open {self}; chmod 600 it");
                }
                Ok(())
            }
            Err(source) => Err(OpenError::NotWritable {
                file: file.clone(),
                source,
            }),
        }
    }

    /// What a file is that is there. Refuses one that nobody may write, which root could all the same.
    pub(crate) fn require_writable(&self) -> Result<Option<Metadata>, OpenError> {
        let At::File(file) = &self.at else {
            return Ok(None);
        };
        let metadata = fs::metadata(file).map_err(|source| OpenError::NotWritable {
            file: file.clone(),
            source,
        })?;
        if metadata.permissions().readonly() {
            return Err(OpenError::ReadOnly {
                database: self.to_string(),
            });
        }
        Ok(Some(metadata))
    }

    /// An error of the database, with what to do about it.
    pub(crate) fn explain(&self, source: sqlx::Error) -> OpenError {
        let database = self.to_string();
        match Fault::of(&source) {
            Fault::ReadOnly => OpenError::ReadOnly { database },
            Fault::Full => OpenError::Full { database },
            Fault::Busy => OpenError::Busy { database },
            Fault::NotADatabase => OpenError::NotADatabase { database },
            Fault::AccessDenied => OpenError::AccessDenied { database, source },
            Fault::NoDatabase => OpenError::NoDatabase { database },
            Fault::Unreachable => OpenError::Unreachable { database, source },
            Fault::CannotOpen => match &self.at {
                At::File(file) => OpenError::NotWritable {
                    file: file.clone(),
                    source: std::io::Error::other(source),
                },
                At::Server { .. } => OpenError::Other { database, source },
            },
            Fault::Unique | Fault::NoTable | Fault::NoColumn | Fault::NoVariable | Fault::Other => {
                OpenError::Other { database, source }
            }
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::File(file) => write!(f, "the database {}", file.display()),
            At::Server { shown } => write!(f, "the database {shown}"),
        }
    }
}

fn sqlite(url: &str) -> Result<At, OpenError> {
    let options = SqliteConnectOptions::from_str(url)
        .map_err(|error| wrong(format!("an SQLite URL that cannot be read: {error}")))?;
    let file = options.get_filename();
    if !file.is_absolute() {
        return Err(wrong(
            "an SQLite URL without an absolute path (three slashes)".to_owned(),
        ));
    }
    Ok(At::File(file.to_owned()))
}

fn mariadb(url: &str) -> Result<At, OpenError> {
    // The parser's message may quote the URL's parts.
    let options = MySqlConnectOptions::from_str(url)
        .map_err(|_| wrong("a MariaDB URL that cannot be read".to_owned()))?;
    let Some(database) = options.get_database() else {
        return Err(wrong("a MariaDB URL that names no database".to_owned()));
    };
    let server = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    Ok(At::Server {
        shown: format!("{database} at {server} (user {})", options.get_username()),
    })
}

fn wrong(found: String) -> OpenError {
    OpenError::Url { found }
}
