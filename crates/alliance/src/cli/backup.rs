//! `alliance backup`

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, IsTerminal, stderr, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_peer::identity::Identity;
use alliance_store::{About, Backup, BackupKeys, Rows};
use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Serialize;

use super::output::Format;
use super::table::card;
use super::{Failure, Output};
use crate::config::Config;
use crate::daemon::now;

/// What stands for standard input or output.
pub(super) const STREAM: &str = "-";

/// Write all that must survive into one file: keys, and what the database has
///
/// As it is at one moment, whether or not the daemon runs. The file holds this cloud's private keys as they
/// are: who can read it is this cloud. It is made readable for its owner alone; to encrypt it, have it
/// written to a program that does: alliance backup --to - | age -r RECIPIENT > FILE. The configuration is
/// not in it.
#[derive(Debug, Args)]
pub(super) struct BackupCommand {
    /// The configuration file
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/alliance/alliance.toml"
    )]
    config: PathBuf,

    /// The file to write, which must not exist; - for standard output
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

#[derive(Serialize)]
struct BackupView<'a> {
    cloud_id: &'a CloudId,
    made_at: Seconds,
    schema: i64,
    rows: &'a Rows,
}

impl BackupCommand {
    pub(super) async fn run(self, out: &mut Output) -> Result<(), Failure> {
        let config = Config::read(&self.config).map_err(anyhow::Error::from)?;
        let identity = Identity::load(&config.cloud.state_dir).map_err(anyhow::Error::from)?;
        let [identity_pem, signing_pem] = identity.to_pem();
        let keys = BackupKeys {
            identity: identity_pem.as_str().into(),
            signing: signing_pem.as_str().into(),
        };
        let url = config.database_url();
        let backup = Backup {
            url: url.expose_secret(),
            cloud: identity.cloud_id(),
            keys: &keys,
            made_at: now(),
            made_by: concat!("alliance ", env!("CARGO_PKG_VERSION")),
        };
        let progress = Progress::new(out.format);
        let is_stream = self.to == Path::new(STREAM);
        let (about, rows) = if is_stream {
            if stdout().is_terminal() {
                return Err(Failure::Usage(
                    "a backup holds private keys and is not shown on a terminal; name a file, or a program behind |".to_owned(),
                ));
            }
            let mut to = BufWriter::new(stdout().lock());
            let written = backup.write(&mut to, |table, count| progress.show(table, count));
            written.await.map_err(anyhow::Error::from)?
        } else {
            to_file(&self.to, &backup, &progress).await?
        };
        progress.end();
        show(&about, &rows, is_stream, out)?;
        let what = if is_stream {
            "What was written"
        } else {
            "This file"
        };
        out.say(format_args!(
            "{what} holds this cloud's private keys, identity.key and signing.key: who can read it is this cloud. \
             Keep it as you keep Keystone's Fernet keys."
        ));
        Ok(())
    }
}

/// Leaves no part of a backup.
async fn to_file(
    path: &Path,
    backup: &Backup<'_>,
    progress: &Progress,
) -> Result<(About, Rows), Failure> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let file = match made {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::refused(format_args!(
                "{} is there already; a backup replaces nothing",
                path.display()
            )));
        }
        Err(error) => {
            let what = format!("making {}", path.display());
            return Err(anyhow::Error::from(error).context(what).into());
        }
    };
    let written = async {
        let mut to = BufWriter::new(&file);
        let written = backup.write(&mut to, |table, count| progress.show(table, count));
        let written = written.await.map_err(anyhow::Error::from)?;
        drop(to);
        keep(&file, path).with_context(|| format!("writing {}", path.display()))?;
        Ok(written)
    };
    let written = written.await;
    if written.is_err() {
        drop(fs::remove_file(path));
    }
    written
}

/// It is on disk when this returns, under its name.
fn keep(file: &File, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn show(about: &About, rows: &Rows, is_stream: bool, out: &mut Output) -> Result<(), Failure> {
    let text = match out.format {
        Format::Json => serde_json::to_string(&BackupView {
            cloud_id: &about.cloud_id,
            made_at: about.made_at,
            schema: about.schema,
            rows,
        })?,
        Format::Table => card([
            ("cloud id", about.cloud_id.to_string()),
            ("made at", time(about.made_at)),
            ("schema", about.schema.to_string()),
            ("rows", rows.values().sum::<u64>().to_string()),
        ]),
    };
    // Standard output has the backup.
    match is_stream {
        true => out.say(text),
        false => out.line(text),
    }
    Ok(())
}

/// As people read it.
pub(super) fn time(at: Seconds) -> String {
    Timestamp::from_second(at).map_or_else(|_| at.to_string(), |time| time.to_string())
}

/// How far it is, for who waits at a terminal.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(super) fn new(format: Format) -> Self {
        Self(
            (format == Format::Table && stderr().is_terminal()).then(|| {
                let bar = ProgressBar::new_spinner();
                if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                    bar.set_style(style);
                }
                bar
            }),
        )
    }

    pub(super) fn show(&self, table: &str, count: u64) {
        if let Some(bar) = &self.0 {
            bar.set_message(format!("{table} {count}"));
            bar.tick();
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
