//! What is on this machine: the database and the daemon's socket.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use alliance_core::cloud::CloudId;
use alliance_store::{Look, Store};
use secrecy::ExposeSecret;

use super::{Fault, State};
use crate::config::Config;

/// How the database is for a daemon that is about to start.
pub(super) async fn database(config: &Config, cloud: &CloudId) -> Fault {
    let url = config.database_url();
    match Store::look(url.expose_secret(), cloud).await {
        Ok(Look::Absent) => {
            let detail =
                "nothing there yet: `alliance serve` makes what it needs when it first starts";
            (State::Ok, detail.to_owned())
        }
        Ok(Look::Schema { found, known }) if found == known => (
            State::Ok,
            format!("has schema {found}, that of this version"),
        ),
        Ok(Look::Schema { found, known }) => {
            let detail = format!(
                "has schema {found}: `alliance serve` brings it to {known} when it starts, and the version before cannot use it then; back it up first"
            );
            (State::Warn, detail)
        }
        Err(error) => (State::Fail, error.to_string()),
    }
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
    if let Some(group) = group {
        if metadata.gid() != group || mode & 0o060 != 0o060 {
            let name = config.delegate.group.as_deref().unwrap_or_default();
            let detail = format!(
                "Keystone may not open {shown}, so that nobody's token is let in; run: chgrp {name} {shown} && chmod 0660 {shown}"
            );
            found.push((State::Fail, detail));
        }
        found.extend(
            path.ancestors()
                .skip(1)
                .find_map(|folder| closed(folder, group)),
        );
    }
    found
}

/// What to say of a folder that members of the group cannot pass.
fn closed(folder: &Path, group: u32) -> Option<Fault> {
    let metadata = fs::metadata(folder).ok()?;
    let passes = match metadata.gid() == group {
        true => metadata.mode() & 0o010,
        false => metadata.mode() & 0o001,
    };
    if passes != 0 {
        return None;
    }
    let folder = folder.display();
    let detail = format!(
        "Keystone does not get to the daemon's socket, so that nobody's token is let in: it may not pass {folder}; run: chmod a+x {folder}"
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
