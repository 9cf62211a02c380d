//! The file of events, one JSON object a line. It may be moved away at any time: then the next event
//! makes it anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use anyhow::Context;
use nix::fcntl::OFlag;
use tokio::task::spawn_blocking;

use super::sink::{Line, Place};

/// Its owner writes, its group reads.
const MODE: u32 = 0o640;

/// Where events are appended.
pub(super) struct AuditFile(Option<Writer>);

struct Writer {
    path: PathBuf,
    open: Option<Open>,
    /// What is being written, and how much of it is.
    bytes: Vec<u8>,
    done: usize,
}

struct Open {
    file: File,
    /// Device and inode.
    place: (u64, u64),
}

impl AuditFile {
    pub(super) fn at(path: PathBuf) -> Self {
        Self(Some(Writer {
            path,
            open: None,
            bytes: Vec::new(),
            done: 0,
        }))
    }
}

impl Place for AuditFile {
    const NAME: &'static str = "file";

    async fn keep(&mut self, lines: &[Line]) -> anyhow::Result<()> {
        let mut writer = self
            .0
            .take()
            .context("the last write did not come to an end")?;
        if writer.bytes.is_empty() {
            for line in lines {
                writer.bytes.extend_from_slice(line.json.as_bytes());
                writer.bytes.push(b'\n');
            }
        }
        let (writer, written) = spawn_blocking(move || {
            let written = writer.write();
            (writer, written)
        })
        .await?;
        let path = writer.path.display().to_string();
        self.0 = Some(writer);
        written.with_context(|| format!("[audit] file {path}"))
    }
}

impl Writer {
    /// Goes on where it was interrupted.
    fn write(&mut self) -> io::Result<()> {
        let open = match self.open.take() {
            Some(open) if open.is_at(&self.path) => open,
            _ => {
                let open = Open::at(&self.path)?;
                // A line that began in another file begins again in this one.
                let done = &self.bytes[..self.done];
                self.done = done
                    .iter()
                    .rposition(|byte| *byte == b'\n')
                    .map_or(0, |at| at + 1);
                open
            }
        };
        let mut file = &self.open.insert(open).file;
        while let Some(rest) = self.bytes.get(self.done..).filter(|rest| !rest.is_empty()) {
            match file.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes.clear();
        self.done = 0;
        Ok(())
    }
}

impl Open {
    fn at(path: &PathBuf) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(MODE)
            // A pipe that nobody reads would keep it for ever.
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is no file"));
        }
        let mut last = *b"\n";
        if found.len() > 0 {
            file.read_exact_at(&mut last, found.len() - 1)?;
        }
        // Whoever wrote here last did not come to the end of its line.
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
        Ok(Self {
            file,
            place: (found.dev(), found.ino()),
        })
    }

    /// Whether the path still leads to it.
    fn is_at(&self, path: &PathBuf) -> bool {
        fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == self.place)
    }
}
