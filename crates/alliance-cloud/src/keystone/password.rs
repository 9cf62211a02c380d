//! The service user's password.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

/// Permissions of those who are neither the file's owner nor in its group.
const OTHERS: u32 = 0o007;
/// No password is longer, in bytes.
const MAX_LEN: u64 = 4096;

/// A password, or where it is.
#[derive(Debug, Clone)]
pub enum Password {
    /// This.
    Given(SecretString),
    /// What stands in this file, read anew for each login. See [`read_password`].
    File(PathBuf),
}

impl From<SecretString> for Password {
    fn from(password: SecretString) -> Self {
        Self::Given(password)
    }
}

impl From<&str> for Password {
    fn from(password: &str) -> Self {
        Self::Given(password.into())
    }
}

impl Password {
    /// The password as of now.
    pub(super) fn read(&self) -> Result<SecretString, BadPasswordFile> {
        match self {
            Self::Given(password) => Ok(password.clone()),
            Self::File(path) => read_password(path),
        }
    }

    /// What to check when it is refused.
    pub(super) fn remedy(&self) -> String {
        match self {
            Self::Given(_) => {
                "check username, password and user_domain_name in [keystone], and that the user is enabled"
                    .to_owned()
            }
            Self::File(path) => format!(
                "check the password in {}, the user's name and domain, and that it is enabled there",
                path.display()
            ),
        }
    }
}

/// Why there is no password in a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPasswordFile {
    /// It cannot be read.
    #[error("the password file {} cannot be read by the daemon's user: {reason}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It is no secret.
    #[error("every user of this machine can open {path}, which holds a password; run: chmod o= {path}", path = path.display())]
    Open {
        /// Which.
        path: PathBuf,
    },
    /// There is nothing in it.
    #[error("the password file {} is empty", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
}

/// The password in a file that holds nothing else; a line end after it does not belong to it.
///
/// # Errors
/// If it cannot be read, is empty, or everybody on this machine could read it too.
pub fn read_password(path: &Path) -> Result<SecretString, BadPasswordFile> {
    let unreadable = |error: io::Error| BadPasswordFile::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let file = File::open(path).map_err(unreadable)?;
    // Asked of the open file, so that what is checked is what is read.
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.permissions().mode() & OTHERS != 0 {
        return Err(BadPasswordFile::Open {
            path: path.to_owned(),
        });
    }
    let mut text = String::new();
    file.take(MAX_LEN)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(BadPasswordFile::Empty {
            path: path.to_owned(),
        });
    }
    Ok(password.into())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_password_is_one_line_of_a_file_that_is_not_open_to_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let write = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            read_password(&path).map(|password| password.expose_secret().to_owned())
        };
        assert_eq!(write("se cret\r\n", 0o600), Ok("se cret".to_owned()));
        assert_eq!(write("secret", 0o640), Ok("secret".to_owned()));
        for mode in [0o604, 0o602, 0o644] {
            assert_eq!(
                write("secret", mode),
                Err(BadPasswordFile::Open { path: path.clone() })
            );
        }
        assert_eq!(
            write("\n", 0o600),
            Err(BadPasswordFile::Empty { path: path.clone() })
        );
        let missing = read_password(&folder.path().join("missing"));
        assert!(matches!(missing, Err(BadPasswordFile::Unreadable { .. })));
    }
}
