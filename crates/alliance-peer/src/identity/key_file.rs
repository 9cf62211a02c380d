//! A private key in a file that nobody else may read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::IdentityError;
use crate::key::SigningKey;

const MODE: u32 = 0o600;
const OTHERS: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o002;
/// A PEM key has some 240 bytes.
const MAX_LEN: u64 = 16 * 1024;

/// Checks the directory that holds the keys: there, and not open to everybody.
pub(super) fn require_directory(path: &Path) -> Result<(), IdentityError> {
    match fs::metadata(path) {
        Ok(meta) if !meta.is_dir() => Err(IdentityError::NoDirectory(path.into())),
        Ok(meta) if meta.mode() & OTHERS_WRITE != 0 => Err(IdentityError::OpenDirectory {
            path: path.into(),
            mode: meta.mode() & 0o7777,
        }),
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Err(IdentityError::NoDirectory(path.into()))
        }
        Err(source) => Err(failed("read", path)(source)),
    }
}

/// The key at `path`, made if there is none.
pub(super) fn load_or_create(path: &Path) -> Result<SigningKey, IdentityError> {
    if let Some(key) = load(path)? {
        return Ok(key);
    }
    let key = SigningKey::generate().map_err(|e| IdentityError::Generate(e.to_string()))?;
    create(path, &key)?;
    load(path)?.ok_or_else(|| IdentityError::Missing(path.into()))
}

/// Puts `key` there, if there is none.
///
/// # Errors
/// [`IdentityError::Another`] if another one is there.
pub(super) fn put(path: &Path, key: &SigningKey) -> Result<(), IdentityError> {
    if load(path)?.is_none() {
        create(path, key)?;
    }
    require(path, key)
}

/// Checks that no other key is there.
pub(super) fn require(path: &Path, key: &SigningKey) -> Result<(), IdentityError> {
    match load(path)? {
        Some(found) if found.public() != key.public() => Err(IdentityError::Another(path.into())),
        Some(_) | None => Ok(()),
    }
}

/// The key at `path`, `None` if there is no such file.
pub(super) fn load(path: &Path) -> Result<Option<SigningKey>, IdentityError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("read", path)(source)),
    };
    // Asked of the open file, so that what is checked is what is read.
    let meta = file.metadata().map_err(failed("read", path))?;
    if meta.mode() & OTHERS != 0 {
        return Err(IdentityError::Mode {
            path: path.into(),
            mode: meta.mode() & 0o7777,
        });
    }
    require_owner(path, meta.uid())?;
    let mut pem = Zeroizing::new(String::new());
    file.take(MAX_LEN)
        .read_to_string(&mut pem)
        .map_err(failed("read", path))?;
    let key = SigningKey::from_pem(&pem).map_err(|source| IdentityError::Damaged {
        path: path.into(),
        source,
    })?;
    Ok(Some(key))
}

/// A key belongs to who runs the daemon. Root also reads the key of the state directory's owner:
/// the operator's commands run as root.
fn require_owner(path: &Path, found: u32) -> Result<(), IdentityError> {
    let me = rustix::process::geteuid().as_raw();
    if found == me || (me == 0 && directory_owner(path)? == found) {
        Ok(())
    } else {
        Err(IdentityError::Owner {
            path: path.into(),
            expected: me,
            found,
        })
    }
}

fn directory_owner(path: &Path) -> Result<u32, IdentityError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let meta = fs::metadata(directory).map_err(failed("read", directory))?;
    Ok(meta.uid())
}

/// Writes a new key beside `path`, durably, then gives it its name, which fails if another process
/// was faster; that is no error. At no time is there half a key under the name.
fn create(path: &Path, key: &SigningKey) -> Result<(), IdentityError> {
    let temporary = path.with_extension(format!("key.{}", Uuid::new_v4().simple()));
    let result = write_new(&temporary, key.to_pem().as_bytes(), directory_owner(path)?)
        .map_err(failed("write", &temporary))
        .and_then(|()| match fs::hard_link(&temporary, path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(failed("write", path)(e)),
            _ => Ok(()),
        });
    let removed = fs::remove_file(&temporary);
    result?;
    removed.map_err(failed("remove", &temporary))?;
    let directory = path.parent().unwrap_or(Path::new("."));
    File::open(directory)
        .and_then(|d| d.sync_all())
        .map_err(failed("write", directory))
}

fn write_new(path: &Path, content: &[u8], owner: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path)?;
    // `alliance init` runs as root, the daemon as the directory's owner.
    if rustix::process::geteuid().is_root() && owner != 0 {
        fchown(&file, Some(owner), None)?;
    }
    file.write_all(content)?;
    file.sync_all()
}

fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> IdentityError + use<> {
    let path = path.to_owned();
    move |source| IdentityError::Io {
        what,
        path: path.clone(),
        source,
    }
}
