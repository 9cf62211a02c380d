//! What is on this machine: the database and the daemon's socket.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use alliance_core::cloud::CloudId;
use alliance_store::{Look, Store};
use nix::unistd::User;
use secrecy::ExposeSecret;

use super::{Fault, State, lost_database, owners, socket_owner};
use crate::config::Config;

/// How the database is for a daemon that is about to start.
pub(super) async fn database(config: &Config, cloud: &CloudId) -> Fault {
    let url = config.database_url();
    if let Some(fault) = lost_database::replaced(config).await {
        return fault;
    }
    match Store::look(url.expose_secret(), cloud).await {
        Ok(Look::Absent) => match lost_database::fault(config).await {
            Some(fault) => fault,
            None if socket_owner::of(&config.delegate.socket).await.is_some() => {
                let detail = "a daemon runs, and there is nothing in the database that [database] url names: at its next start all partners are lost; name the one that it runs on, or restore a backup (alliance restore)";
                (State::Fail, detail.to_owned())
            }
            None => {
                let detail =
                    "nothing there yet: `alliance serve` makes what it needs when it first starts";
                (State::Ok, detail.to_owned())
            }
        },
        Ok(Look::Schema { found, known }) if found == known => (
            State::Ok,
            format!("has schema {found}, that of this version"),
        ),
        Ok(Look::Schema { found, known }) if found > known => {
            let detail = format!(
                "a later version has brought it to schema {found}; this one knows {known}, and can work with it: install that version here too"
            );
            (State::Warn, detail)
        }
        Ok(Look::Schema { found, known }) => {
            let detail = format!(
                "has schema {found}: `alliance serve` brings it to {known} when it starts, and an earlier version may not work with it then; back it up first"
            );
            (State::Warn, detail)
        }
        Err(error) => (State::Fail, super::with_causes(error)),
    }
}

/// What to say of a database file that others than the daemon's user may open.
pub(super) fn open_database(config: &Config) -> Option<Fault> {
    let file = config.database_file()?;
    let mode = fs::metadata(&file).ok()?.mode();
    (mode & 0o077 != 0).then(|| {
        let detail = format!(
            "others than the daemon's user may open {0}, which says who may come in and who was here; run: chmod 600 {0}",
            file.display()
        );
        (State::Warn, detail)
    })
}

/// Whether Keystone gets to the daemon's socket, and nobody else does. Nothing is said of one that is not
/// there: the daemon does not run, which is found elsewhere.
pub(super) fn socket(config: &Config) -> Vec<Fault> {
    let group = match config.delegate.group_id() {
        Ok(group) => group,
        Err(error) => return vec![(State::Fail, format!("{error:#}"))],
    };
    let path = &config.delegate.socket;
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Vec::new();
    };
    let shown = path.display();
    if !metadata.file_type().is_socket() {
        let detail = format!("{shown} is no socket; move it away and start the daemon again");
        return vec![(State::Fail, detail)];
    }
    let mut found = Vec::new();
    let mode = metadata.mode();
    if mode & 0o006 != 0 {
        let detail = format!(
            "every user of this machine may ask the daemon about tokens; run: chmod 0660 {shown}"
        );
        found.push((State::Warn, detail));
    }
    found.extend(replaceable(path));
    if group.is_none() && mode & 0o660 != 0o660 {
        let state = match mode & 0o600 {
            0o600 => State::Warn,
            _ => State::Fail,
        };
        let detail = format!(
            "the daemon opens {shown} to its user and its group, and somebody has closed it since (mode {:04o}): Keystone may not get in, unless it runs as root; run: chmod 0660 {shown}",
            mode & 0o7777
        );
        found.push((state, detail));
    }
    if let Some(group) = group {
        if metadata.gid() != group || mode & 0o060 != 0o060 {
            let name = config.delegate.group.as_deref().unwrap_or_default();
            let detail = format!(
                "Keystone may not open {shown}, so that nobody's token is let in; run: chgrp {name} {shown} && chmod 0660 {shown}"
            );
            found.push((State::Fail, detail));
        }
        let keystone = keystones_user(config, metadata.uid());
        found.extend(
            path.ancestors()
                .skip(1)
                .find_map(|folder| closed(folder, group, keystone)),
        );
    }
    found
}

/// The user that Keystone runs as, where it has a group of its own name; `daemon` is the daemon's.
fn keystones_user(config: &Config, daemon: u32) -> Option<u32> {
    let name = config.delegate.group.as_deref()?;
    let uid = User::from_name(name).ok()??.uid;
    (!uid.is_root() && uid.as_raw() != daemon).then(|| uid.as_raw())
}

/// What to say of a folder that neither Keystone's user nor members of the group can pass.
fn closed(folder: &Path, group: u32, keystone: Option<u32>) -> Option<Fault> {
    let metadata = fs::metadata(folder).ok()?;
    let passes = match metadata.gid() == group {
        true => metadata.mode() & 0o010,
        false => metadata.mode() & 0o001,
    };
    if passes != 0 || keystone.is_some_and(|uid| owners::may(owners::PASS, uid, &metadata)) {
        return None;
    }
    let folder = folder.display();
    let detail = format!(
        "Keystone does not get to the daemon's socket, so that nobody's token is let in: it may not pass {folder}; run: chmod a+x {folder}"
    );
    Some((State::Fail, detail))
}

/// What to say if everybody can put something else in the place of this file.
fn replaceable(path: &Path) -> Option<Fault> {
    let mut folders = path.ancestors().skip(1);
    let is_open = |folder: &&Path| {
        // In one that is sticky, each takes away what is theirs.
        fs::metadata(folder).is_ok_and(|found| found.mode() & 0o1002 == 0o002)
    };
    let folder = folders.find(is_open)?.display();
    let detail = format!(
        "every user of this machine can put a socket of their own in the place of {}, for they can change {folder}; run: chmod o-w {folder}",
        path.display()
    );
    Some((State::Fail, detail))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    use super::*;
    use crate::cli::doctor::tests::config_in;
    use crate::daemon::bed::Shared;

    fn chmod(path: &Path, mode: u32) -> std::io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    /// A configuration whose socket is in a folder that everybody may pass, with the own group.
    fn bed() -> Result<(tempfile::TempDir, Config, PathBuf), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        chmod(folder.path(), 0o755)?;
        let gid = nix::unistd::getgid();
        let group = nix::unistd::Group::from_gid(gid)?.ok_or("a group without a name")?;
        let mut config = config_in(folder.path())?;
        let run = folder.path().join("run");
        fs::create_dir(&run)?;
        chmod(&run, 0o755)?;
        config.delegate.socket = run.join("d.sock");
        config.delegate.group = Some(group.name);
        Ok((folder, config, run))
    }

    #[tokio::test]
    async fn a_database_with_nothing_in_it_is_no_fault_unless_a_daemon_runs_on_another()
    -> Result<(), Box<dyn std::error::Error>> {
        let Some(shared) = Shared::new().await? else {
            return Ok(());
        };
        let folder = tempfile::tempdir()?;
        let mut config = config_in(folder.path())?;
        config.database.url = Some(shared.url().into());
        config.delegate.socket = folder.path().join("d.sock");
        let cloud = CloudId::from_spki(b"west");
        let (state, _) = database(&config, &cloud).await;
        assert_eq!(state, State::Ok);
        // This process is the daemon.
        let listener = UnixListener::bind(&config.delegate.socket)?;
        let (state, said) = database(&config, &cloud).await;
        assert!(
            state == State::Fail && said.contains("at its next start all partners are lost"),
            "{said}"
        );
        drop(listener);
        shared.drop_database().await
    }

    #[test]
    fn a_socket_that_keystone_cannot_open_is_named_and_how_to_open_it()
    -> Result<(), Box<dyn std::error::Error>> {
        let (_folder, mut config, run) = bed()?;
        let path = config.delegate.socket.clone();
        assert!(socket(&config).is_empty(), "it is not there");
        fs::write(&path, "")?;
        assert!(socket(&config)[0].1.contains("is no socket"));
        fs::remove_file(&path)?;
        let _listener = UnixListener::bind(&path)?;
        chmod(&path, 0o660)?;
        assert_eq!(socket(&config), []);

        chmod(&path, 0o666)?;
        let said = socket(&config);
        assert!(
            matches!(&said[..], [(State::Warn, text)] if text.contains("chmod 0660")),
            "{said:?}"
        );
        chmod(&path, 0o600)?;
        let said = socket(&config);
        assert!(
            matches!(&said[..], [(State::Fail, text)] if text.contains("chgrp ")),
            "{said:?}"
        );
        chmod(&path, 0o660)?;
        chmod(&run, 0o700)?;
        let said = socket(&config);
        let mends = format!("chmod a+x {}", run.display());
        assert!(
            matches!(&said[..], [(State::Fail, text)] if text.ends_with(&mends)),
            "{said:?}"
        );
        chmod(&run, 0o750)?;
        assert_eq!(socket(&config), [], "its group may pass");
        if nix::unistd::geteuid().is_root() {
            chown(&path, None, Some(12_345))?;
            assert!(socket(&config)[0].1.contains("chgrp "));
        }
        config.delegate.group = Some("nobody-is-called-so".into());
        assert!(socket(&config)[0].1.contains("there is no group"));
        config.delegate.group = None;
        assert_eq!(socket(&config), [], "only root and the daemon's user ask");
        for (mode, expected) in [(0o600, State::Warn), (0o000, State::Fail)] {
            chmod(&path, mode)?;
            let said = socket(&config);
            assert!(
                matches!(&said[..], [(state, text)] if *state == expected && text.contains("somebody has closed it")),
                "{said:?}"
            );
        }
        Ok(())
    }

    #[test]
    fn a_folder_in_which_everybody_can_replace_the_socket_is_named()
    -> Result<(), Box<dyn std::error::Error>> {
        let (_folder, config, run) = bed()?;
        let path = &config.delegate.socket;
        let _listener = UnixListener::bind(path)?;
        chmod(path, 0o660)?;
        chmod(&run, 0o1777)?;
        assert_eq!(socket(&config), [], "each takes away what is theirs");
        chmod(&run, 0o777)?;
        let said = socket(&config);
        let mends = format!("chmod o-w {}", run.display());
        assert!(
            matches!(&said[..], [(State::Fail, text)] if text.ends_with(&mends)),
            "{said:?}"
        );
        Ok(())
    }

    #[test]
    fn a_folder_of_keystones_own_lets_keystone_pass() -> Result<(), Box<dyn std::error::Error>> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(());
        }
        let (_folder, mut config, run) = bed()?;
        let user = User::from_name("daemon")?.ok_or("every machine has it")?;
        config.delegate.group = Some("daemon".into());
        let path = &config.delegate.socket;
        let _listener = UnixListener::bind(path)?;
        chmod(path, 0o660)?;
        chown(path, None, Some(user.gid.as_raw()))?;
        chmod(&run, 0o700)?;
        assert_eq!(socket(&config).len(), 1, "it is root's");
        chown(&run, Some(user.uid.as_raw()), None)?;
        assert_eq!(socket(&config), []);
        // The daemon's own folder lets the daemon pass, whose group tells nothing of Keystone.
        chown(path, Some(user.uid.as_raw()), None)?;
        assert_eq!(socket(&config).len(), 1);
        Ok(())
    }

    #[test]
    fn a_database_that_others_may_open_is_named() -> Result<(), Box<dyn std::error::Error>> {
        let (folder, mut config, _run) = bed()?;
        assert_eq!(open_database(&config), None, "it is not there");
        let file = folder.path().join("alliance.db");
        fs::write(&file, "")?;
        chmod(&file, 0o640)?;
        let (_, said) = open_database(&config).unwrap_or((State::Ok, String::new()));
        assert!(
            said.ends_with(&format!("chmod 600 {}", file.display())),
            "{said}"
        );
        chmod(&file, 0o600)?;
        assert_eq!(open_database(&config), None);
        config.database.url = Some("mysql://alliance:secret@127.0.0.1/alliance".into());
        assert_eq!(open_database(&config), None);
        Ok(())
    }

    #[tokio::test]
    async fn a_database_is_looked_at_before_a_daemon_starts_on_it()
    -> Result<(), Box<dyn std::error::Error>> {
        let (folder, config, _run) = bed()?;
        let cloud = CloudId::from_spki(b"west");
        let (state, said) = database(&config, &cloud).await;
        assert!(
            state == State::Ok && said.contains("nothing there yet"),
            "{said}"
        );
        Store::open(config.database_url().expose_secret(), &cloud)
            .await?
            .close()
            .await;
        let (state, said) = database(&config, &cloud).await;
        assert!(
            state == State::Ok && said.contains("that of this version"),
            "{said}"
        );
        let (state, said) = database(&config, &CloudId::from_spki(b"north")).await;
        assert!(
            state == State::Fail && said.contains("belongs to cloud"),
            "{said}"
        );
        fs::write(
            folder.path().join("alliance.db"),
            "something else, and long enough".repeat(99),
        )?;
        let (state, said) = database(&config, &cloud).await;
        assert!(
            state == State::Fail && said.contains("is not a database"),
            "{said}"
        );
        Ok(())
    }
}
