//! The form of a backup: lines of JSON.
//!
//! The first line says what it is, the second has the cloud's keys. Then, for each table, a line with its
//! name and columns and one line for each row, its values in the order of the columns. The last line has the
//! SHA-256 of all bytes before it: a file without it is not complete.

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::error::BackupError;

/// The form that is described above.
const FORM: u32 = 1;
/// Longest line that is read, in bytes: a row of the largest columns is shorter.
const LONGEST: usize = 64 << 20;
/// Longest first line. What has a longer one is something else.
const LONGEST_FIRST: usize = 4096;

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Whose it is.
    pub cloud_id: CloudId,
    /// The schema of the database that it was taken from.
    pub schema: i64,
    /// When.
    pub made_at: Seconds,
    /// By which program.
    pub made_by: String,
}

#[derive(Serialize, Deserialize)]
struct First {
    #[serde(rename = "alliance-backup")]
    form: u32,
    #[serde(flatten)]
    about: About,
}

#[derive(Deserialize)]
struct Form {
    #[serde(rename = "alliance-backup")]
    form: u32,
}

/// The cloud's private keys, in PEM.
#[derive(Debug, Clone, Deserialize)]
pub struct BackupKeys {
    /// Who the cloud is.
    #[serde(rename = "identity.key")]
    pub identity: SecretString,
    /// What it signs with.
    #[serde(rename = "signing.key")]
    pub signing: SecretString,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(rename = "identity.key")]
    identity: &'a str,
    #[serde(rename = "signing.key")]
    signing: &'a str,
}

#[derive(Debug, Serialize, Deserialize)]
struct Heading {
    table: String,
    columns: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Last {
    sha256: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Object {
    Heading(Heading),
    Last(Last),
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Text(String),
}

impl Cell {
    /// How many bytes it has, about.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Null | Self::Int(_) => 8,
        }
    }
}

impl TryFrom<Value> for Cell {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(Self::Null),
            Value::String(text) => Ok(Self::Text(text)),
            Value::Number(number) => match number.as_i64() {
                Some(int) => Ok(Self::Int(int)),
                None => Err(format!("{number} is no whole number of 64 bits")),
            },
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                Err("a value is neither a number nor a text".to_owned())
            }
        }
    }
}

/// Writes a backup.
pub(super) struct Writer<'w, W> {
    to: &'w mut W,
    hash: Sha256,
}

impl<'w, W: Write> Writer<'w, W> {
    pub(super) fn begin(
        to: &'w mut W,
        about: &About,
        keys: &BackupKeys,
    ) -> Result<Self, BackupError> {
        let mut writer = Self {
            to,
            hash: Sha256::new(),
        };
        writer.line(&First {
            form: FORM,
            about: about.clone(),
        })?;
        writer.line(&Shown {
            identity: keys.identity.expose_secret(),
            signing: keys.signing.expose_secret(),
        })?;
        Ok(writer)
    }

    pub(super) fn table(&mut self, name: &str, columns: &[String]) -> Result<(), BackupError> {
        self.line(&Heading {
            table: name.to_owned(),
            columns: columns.to_vec(),
        })
    }

    pub(super) fn row(&mut self, cells: &[Cell]) -> Result<(), BackupError> {
        self.line(&cells)
    }

    pub(super) fn end(mut self) -> Result<(), BackupError> {
        let sha256 = HEXLOWER.encode(&self.hash.clone().finalize());
        self.line(&Last { sha256 })?;
        self.to.flush().map_err(not_written)
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), BackupError> {
        let mut line = serde_json::to_vec(value).map_err(|error| not_written(error.into()))?;
        line.push(b'\n');
        self.hash.update(&line);
        self.to.write_all(&line).map_err(not_written)
    }
}

fn not_written(source: io::Error) -> BackupError {
    BackupError::Io {
        what: "write",
        source,
    }
}

/// What comes next in a backup.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    Table { name: String, columns: Vec<String> },
    Row(Vec<Cell>),
    End,
}

/// A backup that is read. No more of it is in memory than one line.
pub struct BackupFile<R> {
    lines: Lines<R>,
    about: About,
    keys: BackupKeys,
}

impl<R> fmt::Debug for BackupFile<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupFile")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

impl<R: BufRead> BackupFile<R> {
    /// Reads what a backup says of itself, and the keys.
    ///
    /// # Errors
    /// If it is none, or one of a later version.
    pub fn open(from: R) -> Result<Self, BackupError> {
        let mut lines = Lines {
            from,
            line: Vec::new(),
            number: 0,
            hash: Sha256::new(),
            before: Sha256::new(),
        };
        match lines.next(LONGEST_FIRST) {
            Err(BackupError::Truncated { .. } | BackupError::Damaged { .. }) => {
                return Err(BackupError::NotABackup);
            }
            read => read?,
        }
        let Ok(Form { form }) = serde_json::from_slice(&lines.line) else {
            return Err(BackupError::NotABackup);
        };
        if form > FORM {
            return Err(BackupError::NewerForm {
                found: form,
                known: FORM,
            });
        }
        let First { about, .. } = lines.parse()?;
        lines.next(LONGEST)?;
        let keys = lines.parse()?;
        Ok(Self { lines, about, keys })
    }

    /// What it says of itself.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The cloud's keys.
    pub fn keys(&self) -> &BackupKeys {
        &self.keys
    }

    /// The next line. After [`Part::End`] everything was as it was written.
    pub(super) fn next(&mut self) -> Result<Part, BackupError> {
        self.lines.next(LONGEST)?;
        if self.lines.line.starts_with(b"[") {
            let values: Vec<Value> = self.lines.parse()?;
            let cells: Result<_, _> = values.into_iter().map(Cell::try_from).collect();
            return cells.map(Part::Row).map_err(|why| self.damaged(why));
        }
        Ok(match self.lines.parse()? {
            Object::Heading(Heading { table, columns }) => Part::Table {
                name: table,
                columns,
            },
            Object::Last(Last { sha256 }) => {
                if sha256 != HEXLOWER.encode(&self.lines.before.clone().finalize()) {
                    return Err(self.damaged("the lines before are not those that were written"));
                }
                if self.lines.has_more()? {
                    return Err(self.damaged("something follows the end"));
                }
                Part::End
            }
        })
    }

    /// What was read last is not as it should be.
    pub(super) fn damaged(&self, why: impl fmt::Display) -> BackupError {
        self.lines.damaged(why)
    }
}

struct Lines<R> {
    from: R,
    /// The last one, with its end.
    line: Vec<u8>,
    number: u64,
    /// Of all lines, and of all before the last one.
    hash: Sha256,
    before: Sha256,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self, longest: usize) -> Result<(), BackupError> {
        self.line.clear();
        let most = u64::try_from(longest).unwrap_or(u64::MAX);
        let read = self
            .from
            .by_ref()
            .take(most)
            .read_until(b'\n', &mut self.line);
        let count = read.map_err(not_read)?;
        if self.line.last() != Some(&b'\n') {
            return Err(if count == longest {
                self.damaged("the next line is longer than any that is written")
            } else {
                BackupError::Truncated { line: self.number }
            });
        }
        self.number += 1;
        self.before.clone_from(&self.hash);
        self.hash.update(&self.line);
        Ok(())
    }

    fn parse<T: DeserializeOwned>(&self) -> Result<T, BackupError> {
        serde_json::from_slice(&self.line).map_err(|error| {
            // The line may be the one with the keys.
            self.damaged(format!(
                "not what belongs there (column {})",
                error.column()
            ))
        })
    }

    fn has_more(&mut self) -> Result<bool, BackupError> {
        Ok(!self.from.fill_buf().map_err(not_read)?.is_empty())
    }
}

impl<R> Lines<R> {
    fn damaged(&self, why: impl fmt::Display) -> BackupError {
        BackupError::Damaged {
            line: self.number,
            why: why.to_string(),
        }
    }
}

fn not_read(source: io::Error) -> BackupError {
    BackupError::Io {
        what: "read",
        source,
    }
}
