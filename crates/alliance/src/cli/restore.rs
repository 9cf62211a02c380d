//! `alliance restore`

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, IsTerminal, stdin};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_peer::identity::KeyCopies;
use alliance_store::{About, BackupFile, Mended, Mending, Restoration, Rows};
use anyhow::Context;
use clap::Args;
use nix::unistd::{Uid, User, geteuid};
use secrecy::ExposeSecret;
use serde::Serialize;

use super::backup::{Progress, STREAM, time};
use super::init::make_state_dir;
use super::output::Format;
use super::table::card;
use super::{Failure, Output};
use crate::config::Config;
use crate::daemon::now;

/// Put a backup into an empty database, of either kind, and the keys where they are not there
///
/// All of it or nothing; run it as the daemon's user, while neither daemon nor `alliance work` run. What has
/// ended since the backup was made does not come back: every session of partners' users ends, partners are
/// suspended until you resume them, retirements are held, orders that were under way fail.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The configuration file
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/alliance/alliance.toml"
    )]
    config: PathBuf,

    /// The backup; - for standard input
    #[arg(long, value_name = "FILE")]
    from: PathBuf,

    /// Have partners, retirements and orders go on as they were: only if neither daemon nor
    /// `alliance work` have run since the backup was made
    #[arg(long)]
    resume: bool,
}

#[derive(Serialize)]
struct RestoreView<'a> {
    cloud_id: &'a CloudId,
    made_at: Seconds,
    schema: i64,
    rows: &'a Rows,
    sessions_ended: u64,
    partners_suspended: &'a [String],
    retirements_held: &'a [String],
    orders_failed: &'a [String],
}

impl Restore {
    pub(super) async fn run(self, out: &mut Output) -> Result<(), Failure> {
        let config = Config::read(&self.config).map_err(anyhow::Error::from)?;
        require_stopped(&config.delegate.socket)?;
        let url = config.database_url();
        require_own(&config.cloud.state_dir, url.expose_secret())?;
        if self.from == Path::new(STREAM) {
            if stdin().is_terminal() {
                let what = "expected a backup on standard input, found a terminal";
                return Err(Failure::Usage(what.to_owned()));
            }
            self.restore(BufReader::new(stdin().lock()), &config, out)
                .await
        } else {
            let file = File::open(&self.from);
            let file = file.with_context(|| format!("opening {}", self.from.display()))?;
            self.restore(BufReader::new(file), &config, out).await
        }
    }

    async fn restore(
        &self,
        from: impl BufRead,
        config: &Config,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let mut file = BackupFile::open(from).map_err(anyhow::Error::from)?;
        let about = file.about().clone();
        let copies = file.keys();
        let (identity, signing) = (&copies.identity, &copies.signing);
        let keys = KeyCopies::read(identity.expose_secret(), signing.expose_secret());
        let keys = keys.map_err(anyhow::Error::from)?;
        if keys.cloud_id() != about.cloud_id {
            return Err(Failure::refused(format_args!(
                "the backup says that it is cloud {}'s, but its identity.key is that of cloud {}",
                about.cloud_id,
                keys.cloud_id()
            )));
        }
        let state_dir = &config.cloud.state_dir;
        make_state_dir(config)?;
        let checked = keys.require_no_others(state_dir);
        checked.map_err(anyhow::Error::from)?;
        let progress = Progress::new(out.format);
        let url = config.database_url();
        let mending = Mending {
            now: now(),
            resume: self.resume,
            by: "operator".to_owned(),
        };
        let restored = async {
            let mut restoration = Restoration::begin(url.expose_secret(), &about).await?;
            let seen = |table: &str, count| progress.show(table, count);
            let rows = restoration.load(&mut file, seen).await?;
            let mended = restoration.mend(&mending).await?;
            // A database without its keys would be of no use, keys without it do no harm.
            keys.put(state_dir)?;
            restoration.commit().await?;
            anyhow::Ok((rows, mended))
        };
        let (rows, mended) = restored.await?;
        progress.end();
        show(&about, &rows, &mended, out)?;
        explain(&mended, self.resume, out);
        Ok(())
    }
}

/// Nobody has the database open.
fn require_stopped(socket: &Path) -> Result<(), Failure> {
    match UnixStream::connect(socket) {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(())
        }
        Ok(_) => Err(Failure::refused(format_args!(
            "a daemon runs ({}); stop it and `alliance work` first, wherever they run",
            socket.display()
        ))),
        Err(error) => {
            let what = format!("looking whether a daemon runs ({})", socket.display());
            Err(anyhow::Error::from(error).context(what).into())
        }
    }
}

/// What root makes, the daemon cannot open.
fn require_own(state_dir: &Path, url: &str) -> Result<(), Failure> {
    let Ok(owner) = fs::metadata(state_dir).map(|metadata| metadata.uid()) else {
        return Ok(());
    };
    if !geteuid().is_root() || owner == 0 || !url.starts_with("sqlite:") {
        return Ok(());
    }
    let user = User::from_uid(Uid::from_raw(owner)).ok().flatten();
    let user = user.map_or_else(|| format!("#{owner}"), |user| user.name);
    Err(Failure::refused(format_args!(
        "the database would be root's, and the daemon could not open it; run: runuser -u {user} -- alliance restore …"
    )))
}

fn show(about: &About, rows: &Rows, mended: &Mended, out: &mut Output) -> Result<(), Failure> {
    match out.format {
        Format::Json => out.json(&RestoreView {
            cloud_id: &about.cloud_id,
            made_at: about.made_at,
            schema: about.schema,
            rows,
            sessions_ended: mended.sessions_ended,
            partners_suspended: &mended.suspended,
            retirements_held: &mended.held,
            orders_failed: &mended.given_up,
        })?,
        Format::Table => out.line(card([
            ("cloud id", about.cloud_id.to_string()),
            ("made at", time(about.made_at)),
            ("made by", about.made_by.clone()),
            ("schema", about.schema.to_string()),
            ("rows", rows.values().sum::<u64>().to_string()),
            ("sessions ended", mended.sessions_ended.to_string()),
            ("partners suspended", mended.suspended.join(", ")),
            ("retirements held", mended.held.join(", ")),
            ("orders failed", mended.given_up.join(", ")),
        ])),
    }
    Ok(())
}

/// What an operator has to know and to do.
fn explain(mended: &Mended, resume: bool, out: &mut Output) {
    out.say(
        "Sessions of partners' users that were here have ended: nobody can tell which ended since the backup was \
         made. Those users log in once more.",
    );
    if !mended.suspended.is_empty() {
        out.say(
            "Partners are suspended: some may have been suspended or removed since, and agreements ended. Start the \
             daemon, look at `alliance partner list` and `alliance agreement list`, end again what had ended, then \
             `alliance partner resume NAME`.",
        );
    }
    if !mended.held.is_empty() {
        out.say(
            "Retirements are held: some may have been called off since. Look at `alliance retirement list`, then \
             `alliance retirement resume ID`.",
        );
    }
    if !mended.given_up.is_empty() {
        out.say(
            "Orders of partners' projects that were under way have failed: they may have been ordered otherwise since. \
             Their homes order again.",
        );
    }
    if resume {
        out.say("Everything else goes on as it was: what has ended since the backup was made is in force again.");
    }
}
