//! A database file that is gone, or that is another one, while a daemon runs on it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Fault, State, owners, socket_owner};
use crate::config::Config;

/// What the kernel writes behind the name of a file that is open, and in no folder any more.
const DELETED: &str = " (deleted)";
/// What SQLite writes first is in the file of this name.
const LOG: &str = "-wal";
/// What there is beside a database.
const BESIDE: [&str; 3] = [LOG, "-shm", "-journal"];

/// A file that a process has open.
struct Open {
    /// How it can be read, whether or not it is in a folder.
    descriptor: PathBuf,
    name: String,
    place: PathBuf,
    is_deleted: bool,
}

/// What to say if a daemon runs, though its database is not where the configuration has it.
pub(super) async fn fault(config: &Config) -> Option<Fault> {
    let file = config.database_file()?;
    let daemon = socket_owner::of(&config.delegate.socket).await?;
    let open = daemon.pid().map(open_files).unwrap_or_default();
    let (shown, lost) = (file.display(), "at its next start all partners are lost");
    let detail = match the_database(&open, &file) {
        Some(found) if found.is_deleted => format!(
            "the daemon runs on {shown}, which was deleted: {lost}. Do not stop it; run: {}; or restore a backup",
            rescue(
                &open,
                found,
                &file,
                daemon.pid()?,
                &owners::name(daemon.uid())
            )
        ),
        Some(found) => format!(
            "the daemon runs on {}, and there is nothing at {shown}: {lost}; put it back there, with what is beside it (-wal, -shm), or name its place in [database] url",
            found.place.display()
        ),
        None => format!(
            "the daemon runs, and there is nothing at {shown}: {lost}; put back what was there, or restore a backup"
        ),
    };
    Some((State::Fail, detail))
}

/// What to say if a daemon runs on another file than the one that is where the configuration has it.
pub(super) async fn replaced(config: &Config) -> Option<Fault> {
    let file = config.database_file().filter(|file| file.exists())?;
    let daemon = socket_owner::of(&config.delegate.socket).await?;
    let open = open_files(daemon.pid()?);
    if open.iter().any(|open| is_one(&open.descriptor, &file)) {
        return None;
    }
    let folder = file.parent()?.canonicalize().ok()?;
    let found = of_name(&open, &file).find(|open| open.place.parent() == Some(&folder))?;
    let rescue = rescue(
        &open,
        found,
        &file,
        daemon.pid()?,
        &owners::name(daemon.uid()),
    );
    let shown = file.display();
    let detail = format!(
        "the daemon runs on the file that was {shown}, and another one was put there since: what is changed is lost at its next start. To keep what it has, do not stop it; run: {rescue}. To have what is there now: systemctl restart alliance"
    );
    Some((State::Fail, detail))
}

/// The commands that bring back what the daemon has open, as it is at one moment.
fn rescue(open: &[Open], found: &Open, file: &Path, daemon: i32, user: &str) -> String {
    let shown = file.display();
    let copy = |of: &Open, behind: &str| {
        let descriptor = of.descriptor.display();
        format!("install -m 600 -o {user} {descriptor} {shown}{behind}")
    };
    let logs = [found.place.as_path(), file].map(|file| file_name(file) + LOG);
    let in_place = PathBuf::from(format!("{shown}{LOG}"));
    let is_lost = |open: &&Open| logs.contains(&open.name) && !is_one(&open.descriptor, &in_place);
    let log = open.iter().find(is_lost);
    let mut commands = vec![format!("kill -STOP {daemon}"), copy(found, "")];
    commands.extend(log.map(|log| copy(log, LOG)));
    commands.push(format!("kill -KILL {daemon}"));
    format!("{}, and start it again", commands.join("; "))
}

/// The one that is, or was called like this file.
fn the_database<'a>(open: &'a [Open], file: &Path) -> Option<&'a Open> {
    let found = of_name(open, file).next()?;
    (found.place != file || found.is_deleted).then_some(found)
}

/// Those that are called like this file, or were, but for what is beside it.
fn of_name<'a>(open: &'a [Open], file: &Path) -> impl Iterator<Item = &'a Open> {
    let name = file_name(file);
    let is_beside = |open: &Open| BESIDE.iter().any(|end| open.name.ends_with(end));
    open.iter().filter(move |open| {
        let rest = open.name.strip_prefix(&name);
        let is_it = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '~']));
        is_it && !is_beside(open)
    })
}

/// Whether both lead to one file.
fn is_one(one: &Path, other: &Path) -> bool {
    let which = |path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    matches!((which(one), which(other)), (Ok(one), Ok(other)) if one == other)
}

fn file_name(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// None where this user may not see them.
fn open_files(process: i32) -> Vec<Open> {
    let entries = fs::read_dir(format!("/proc/{process}/fd"));
    let mut open: Vec<_> = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| open_file(entry.path()))
        .collect();
    open.sort_by(|one, other| one.descriptor.cmp(&other.descriptor));
    open
}

fn open_file(descriptor: PathBuf) -> Option<Open> {
    let target = fs::read_link(&descriptor).ok()?;
    let target = target.to_str()?;
    let place = target.strip_suffix(DELETED);
    let is_deleted = place.is_some();
    let place = PathBuf::from(place.unwrap_or(target));
    Some(Open {
        descriptor,
        name: file_name(&place),
        place,
        is_deleted,
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::cli::doctor::tests::config_in;

    #[tokio::test]
    async fn a_database_that_is_gone_under_a_daemon_is_named_and_how_to_get_it_back()
    -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let folder = folder.path();
        let mut config = config_in(folder)?;
        config.delegate.socket = folder.join("d.sock");
        // Other tests of this process have others open.
        let file = folder.join("lost.db");
        config.database.url = Some(format!("sqlite://{}", file.display()).into());
        assert_eq!(fault(&config).await, None, "nobody runs on it");
        // This process is the daemon.
        let _listener = UnixListener::bind(&config.delegate.socket)?;
        let said = async || {
            fault(&config)
                .await
                .map(|(_, said)| said)
                .unwrap_or_default()
        };
        let nothing = said().await;
        assert!(
            nothing.contains(&format!("nothing at {}:", file.display())),
            "{nothing}"
        );
        let log = folder.join("lost.db-wal");
        fs::write(&log, "the log")?;
        fs::write(&file, "the database")?;
        let _open = (File::open(&log)?, File::open(&file)?);

        let aside = folder.join("lost.db.old");
        fs::rename(&file, &aside)?;
        let moved = said().await;
        assert!(
            moved.contains(&format!("runs on {}, and", aside.display())),
            "{moved}"
        );
        fs::remove_file(&aside)?;
        fs::remove_file(&log)?;
        let deleted = said().await;
        let pid = std::process::id();
        let commands = deleted
            .split("; ")
            .filter_map(|part| part.split_once("install -m 600 -o "));
        let copies: Vec<_> = commands
            .filter_map(|(_, words)| words.split_whitespace().nth(1))
            .map(fs::read_to_string)
            .collect::<Result<_, _>>()?;
        assert_eq!(copies, ["the database", "the log"], "{deleted}");
        assert!(deleted.contains(&format!("kill -STOP {pid};")), "{deleted}");

        fs::write(&file, "another one")?;
        let (state, another) = replaced(&config).await.ok_or("it is not seen")?;
        assert_eq!(state, State::Fail);
        for words in [
            format!("that was {}, and another", file.display()),
            format!("kill -STOP {pid};"),
            format!(" {}-wal;", file.display()),
        ] {
            assert!(another.contains(&words), "{another}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_daemon_on_the_file_that_is_there_is_well() -> Result<(), Box<dyn std::error::Error>>
    {
        let folder = tempfile::tempdir()?;
        // As where state_dir is a link to another disk.
        let link = folder.path().join("link");
        fs::create_dir(folder.path().join("state"))?;
        std::os::unix::fs::symlink("state", &link)?;
        let mut config = config_in(folder.path())?;
        config.delegate.socket = folder.path().join("d.sock");
        let file = link.join("linked.db");
        config.database.url = Some(format!("sqlite://{}", file.display()).into());
        let _listener = UnixListener::bind(&config.delegate.socket)?;
        fs::write(&file, "the database")?;
        let open = File::open(&file)?;
        assert_eq!(replaced(&config).await, None);
        fs::rename(&file, link.join("linked.db.old"))?;
        fs::write(&file, "another one")?;
        assert!(replaced(&config).await.is_some());
        drop(open);
        assert_eq!(replaced(&config).await, None);
        // What else is called like it is another one: in this folder, or elsewhere.
        let log = File::create(link.join("linked.db2"))?;
        let elsewhere = File::create(folder.path().join("linked.db"))?;
        assert_eq!(replaced(&config).await, None);
        drop((log, elsewhere));
        Ok(())
    }
}
