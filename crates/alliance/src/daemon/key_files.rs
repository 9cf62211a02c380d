//! Keys that sign tokens, as files: PEM, one by one or in folders.

use std::path::{Path, PathBuf};
use std::{fs, io};

use alliance_token::SigningKey;
use anyhow::Context;

/// No file of keys is larger, in bytes.
const LARGEST: u64 = 64 << 10;

/// The keys in a file, or in the files of a folder; those whose names begin with a dot are left out.
///
/// # Errors
/// Which file cannot be read or holds no key, or that there is none: a folder may be empty since a
/// file system is not mounted.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<SigningKey>> {
    let mut keys = Vec::new();
    for file in files(path).with_context(|| format!("reading {}", path.display()))? {
        let pem = read_pem(&file).with_context(|| format!("reading {}", file.display()))?;
        let found = SigningKey::all_from_pem(&pem)
            .with_context(|| format!("reading a key in {}", file.display()))?;
        keys.extend(found);
    }
    anyhow::ensure!(!keys.is_empty(), "there is no key in {}", path.display());
    Ok(keys)
}

fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let found = fs::metadata(path)?;
    if found.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    if !found.is_dir() {
        let found = "it is neither a file nor a folder";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, found));
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && fs::metadata(entry.path())?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn read_pem(file: &Path) -> io::Result<Vec<u8>> {
    let size = fs::metadata(file)?.len();
    if size > LARGEST {
        let found = format!("{size} bytes are too many for a key");
        return Err(io::Error::new(io::ErrorKind::InvalidData, found));
    }
    fs::read(file)
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn what_would_have_to_be_waited_for_is_no_file_of_keys()
    -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let pipe = folder.path().join("key.pem");
        nix::unistd::mkfifo(&pipe, Mode::S_IRUSR)?;
        let said = |path: &Path| read(path).err().map(|error| format!("{error:#}"));
        let of_pipe = said(&pipe).ok_or("it holds no key")?;
        assert!(of_pipe.contains("neither a file nor a folder"), "{of_pipe}");
        let of_folder = said(folder.path()).ok_or("it holds no file")?;
        assert!(of_folder.contains("there is no key"), "{of_folder}");
        Ok(())
    }
}
