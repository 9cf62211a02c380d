//! What Keystone's plugin reads of a daemon that runs, and whether it hears that daemon.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Map, Value};

use super::{Fault, State};
use crate::cli::socket::Daemon;
use crate::config::Config;
use crate::daemon::SNAPSHOT;
use crate::wire::Health;

/// What a file that Keystone cannot use means.
const WITHOUT: &str = "Keystone then knows no partner, and refuses their tokens";
/// The daemon writes it when it starts.
const ANEW: &str = "run: systemctl restart alliance, which writes it anew";

/// What to say if no plugin in Keystone hears the daemon now. Nothing where the daemon is of an earlier
/// version, which cannot tell.
pub(super) async fn unheard(daemon: &Daemon) -> Option<Fault> {
    let rung = daemon.post(&["doorbell", "ring"]).send().await;
    let heard: Health = rung.ok()?;
    (!heard.ok).then_some((State::Fail, heard.detail))
}

/// What is wrong with the file that a daemon which runs has left for Keystone. Nothing where this user
/// cannot look at it.
pub(super) fn faults(config: &Config) -> Vec<Fault> {
    let path = config.cloud.state_dir.join(SNAPSHOT);
    match fs::metadata(&path) {
        Ok(found) => [of_content(&path), of_mode(config, &path, &found)]
            .into_iter()
            .flatten()
            .collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let detail = format!("{} is not there: {WITHOUT}; {ANEW}", path.display());
            vec![(State::Fail, detail)]
        }
        Err(_) => Vec::new(),
    }
}

fn of_content(path: &Path) -> Option<Fault> {
    let content = match fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return None,
        Err(error) => {
            let detail = format!("{} cannot be read ({error}): {WITHOUT}", path.display());
            return Some((State::Fail, detail));
        }
    };
    let read: Result<Map<String, Value>, _> = serde_json::from_slice(&content);
    read.is_err().then(|| {
        let detail = format!("{} is damaged: {WITHOUT}; {ANEW}", path.display());
        (State::Fail, detail)
    })
}

/// Whether its mode and group are such as the daemon makes it.
fn of_mode(config: &Config, path: &Path, found: &Metadata) -> Option<Fault> {
    let (shown, mode) = (path.display(), found.mode());
    if mode & 0o002 != 0 {
        let detail = format!(
            "every user of this machine can change {shown}, and so whom Keystone believes; run: chmod 0640 {shown}"
        );
        return Some((State::Fail, detail));
    }
    if let Ok(Some(group)) = config.delegate.group_id() {
        let name = config.delegate.group.as_deref().unwrap_or_default();
        let mended = match (found.gid() == group, mode & 0o040 != 0) {
            (true, true) => None,
            (true, false) => Some(format!("chmod 0640 {shown}")),
            (false, true) => Some(format!("chgrp {name} {shown}")),
            (false, false) => Some(format!("chgrp {name} {shown} && chmod 0640 {shown}")),
        };
        if let Some(mended) = mended {
            let detail = format!("the group {name} may not read {shown}: {WITHOUT}; run: {mended}");
            return Some((State::Fail, detail));
        }
    }
    (mode & 0o004 != 0).then(|| {
        let detail = format!(
            "every user of this machine can read {shown}, which says whose users may come in, and where; run: chmod 0640 {shown}"
        );
        (State::Warn, detail)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;
    use crate::cli::doctor::tests::config_in;

    #[test]
    fn a_snapshot_that_keystone_cannot_use_is_named_and_what_mends_it()
    -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let mut config = config_in(folder.path())?;
        let path = folder.path().join(SNAPSHOT);
        let chmod = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode));
        let named = |config: &Config, expected, words: &str| {
            let said = faults(config);
            let is_so =
                matches!(&said[..], [(state, text)] if *state == expected && text.contains(words));
            assert!(is_so, "{words}: {said:?}");
        };
        named(&config, State::Fail, "is not there");
        for content in ["", "[]", "{\"version\": 1"] {
            fs::write(&path, content)?;
            chmod(0o640)?;
            named(&config, State::Fail, "is damaged");
        }
        fs::write(&path, "{\"version\": 1}")?;
        for mode in [0o640, 0o600] {
            chmod(mode)?;
            assert_eq!(faults(&config), []);
        }
        chmod(0o644)?;
        named(&config, State::Warn, "can read");
        chmod(0o666)?;
        named(&config, State::Fail, "can change");

        let gid = nix::unistd::Gid::from_raw(fs::metadata(&path)?.gid());
        let group = nix::unistd::Group::from_gid(gid)?.ok_or("a group without a name")?;
        config.delegate.group = Some(group.name);
        chmod(0o640)?;
        assert_eq!(faults(&config), []);
        chmod(0o600)?;
        named(&config, State::Fail, "run: chmod 0640 ");
        if nix::unistd::geteuid().is_root() {
            chown(&path, None, Some(12_345))?;
            chmod(0o640)?;
            named(&config, State::Fail, "run: chgrp ");
        }
        config.delegate.group = Some("nobody-is-called-so".into());
        chmod(0o640)?;
        assert_eq!(faults(&config), [], "that is found elsewhere");
        Ok(())
    }
}
