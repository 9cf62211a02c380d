//! To whom the daemon's files belong.

use std::ffi::CString;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use super::{Fault, State};

/// How deep in the state folder is looked.
const DEPTH: usize = 3;
/// The file system's own, where the folder is one.
const LOST_AND_FOUND: &str = "lost+found";
/// What somebody may do, as a mode has it for others: read a file, and pass a folder.
const READ: u32 = 0o004;
pub(super) const PASS: u32 = 0o001;

/// What to say if something in the folder belongs to somebody else than the folder itself, whose owner is
/// the daemon's user. Nothing of what cannot be looked at.
pub(super) fn fault(state_dir: &Path) -> Option<Fault> {
    let owner = fs::metadata(state_dir).ok()?.uid();
    let (path, found) = others(state_dir, owner, DEPTH).into_iter().next()?;
    let (shown, user) = (path.display(), name(owner));
    let mended = format!("run: chown -R {user} {}", state_dir.display());
    let what = match found.uid() {
        0 => format!(
            "belongs to root, and its folder to {user}: a daemon of {user} cannot open or replace it, as after a command that root gave"
        ),
        other => format!(
            "belongs to {}, who can read and change it, while its folder belongs to {user}",
            name(other)
        ),
    };
    Some((State::Fail, format!("{shown} {what}; {mended}")))
}

/// What to say of each file with secrets that is not there, or that the state folder's owner cannot read.
/// `secrets`: what they hold, and where they are.
pub(super) fn unreadable(state_dir: &Path, secrets: &[(&str, &Path)]) -> Vec<Fault> {
    let Ok(owner) = fs::metadata(state_dir).map(|folder| folder.uid()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (what, secret) in secrets {
        let shown = secret.display();
        let detail = match fs::metadata(secret) {
            Ok(file) if !may(READ, owner, &file) => {
                let user = name(owner);
                format!(
                    "{user}, to whom {} belongs, cannot read {shown}, which holds {what}: the daemon does not start; run: chown {user} {shown}",
                    state_dir.display()
                )
            }
            Err(error) if error.kind() == ErrorKind::NotFound => format!(
                "{shown}, which should hold {what}, is not there: the daemon does not start; put it back, or name another file in the configuration"
            ),
            _ => continue,
        };
        found.push((State::Fail, detail));
    }
    found
}

/// What to say of a configuration that everybody may write.
pub(super) fn everybodys(config: &Path) -> Option<Fault> {
    let is_open = fs::metadata(config).is_ok_and(|file| file.mode() & 0o002 != 0);
    is_open.then(|| {
        let detail = format!(
            "every user of this machine can change {0}, and so whom this cloud believes; run: chmod o-w {0}",
            config.display()
        );
        (State::Fail, detail)
    })
}

/// As far as can be told: nobody knows the groups of a user who is not among this machine's.
pub(super) fn may(what: u32, uid: u32, file: &Metadata) -> bool {
    if uid == 0 {
        return true;
    }
    let allows = |class: u32| file.mode() & class != 0;
    let (owner, group) = (what << 6, what << 3);
    if file.uid() == uid {
        return allows(owner);
    }
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let groups = user.and_then(|user| {
        let name = CString::new(user.name).ok()?;
        getgrouplist(&name, user.gid).ok()
    });
    match groups {
        Some(groups) if groups.contains(&Gid::from_raw(file.gid())) => allows(group),
        Some(_) => allows(what),
        None => allows(group | what),
    }
}

pub(super) fn name(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

/// Its name, or its number.
pub(super) fn group(gid: u32) -> String {
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
    group.map_or_else(|| gid.to_string(), |group| group.name)
}

fn others(folder: &Path, owner: u32, depth: usize) -> Vec<(PathBuf, Metadata)> {
    let mut found = Vec::new();
    let mut entries: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    entries.retain(|entry| entry.file_name() != LOST_AND_FOUND);
    entries.sort_by_key(fs::DirEntry::file_name);
    for path in entries.into_iter().map(|entry| entry.path()) {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.is_dir() && depth > 0 {
            found.extend(others(&path, owner, depth - 1));
        }
        if metadata.uid() != owner {
            found.push((path, metadata));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;

    use super::*;

    #[test]
    fn what_belongs_to_another_than_the_folder_is_named() -> Result<(), Box<dyn std::error::Error>>
    {
        let folder = tempfile::tempdir()?;
        let (keys, key) = (folder.path().join("keys"), folder.path().join("keys/new"));
        fs::create_dir(&keys)?;
        fs::write(&key, "")?;
        assert_eq!(fault(folder.path()), None);
        assert_eq!(fault(&folder.path().join("nowhere")), None);
        if !nix::unistd::geteuid().is_root() {
            return Ok(());
        }
        let lost = folder.path().join(LOST_AND_FOUND);
        fs::create_dir(&lost)?;
        chown(&lost, Some(12_345), None)?;
        assert_eq!(fault(folder.path()), None, "of the file system");
        chown(&key, Some(12_345), None)?;
        let (_, said) = fault(folder.path()).unwrap_or((State::Ok, String::new()));
        assert!(
            said.starts_with(&format!("{} belongs to 12345,", key.display())),
            "{said}"
        );
        assert!(
            said.ends_with(&format!("chown -R root {}", folder.path().display())),
            "{said}"
        );
        for path in [folder.path(), &keys] {
            chown(path, Some(12_345), None)?;
        }
        assert_eq!(fault(folder.path()), None, "all of it is another's");
        chown(&key, Some(0), None)?;
        let (_, said) = fault(folder.path()).unwrap_or((State::Ok, String::new()));
        assert!(
            said.contains("belongs to root, and its folder to 12345"),
            "{said}"
        );
        assert!(
            said.ends_with(&format!("chown -R 12345 {}", folder.path().display())),
            "{said}"
        );
        Ok(())
    }

    #[test]
    fn a_secret_that_the_daemons_user_cannot_read_is_named()
    -> Result<(), Box<dyn std::error::Error>> {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir()?;
        let (state, secret) = (folder.path().join("state"), folder.path().join("secret"));
        fs::create_dir(&state)?;
        fs::write(&secret, "")?;
        let modes = |mode| fs::set_permissions(&secret, PermissionsExt::from_mode(mode));
        let said = || unreadable(&state, &[("a secret", &secret)]);
        modes(0o600)?;
        assert_eq!(said(), []);
        assert_eq!(
            unreadable(&folder.path().join("nowhere"), &[("", &secret)]),
            []
        );
        let lost = unreadable(&state, &[("a secret", &state.join("nowhere"))]);
        assert!(
            matches!(&lost[..], [(State::Fail, text)] if text.contains("nowhere, which should hold a secret, is not there")),
            "{lost:?}"
        );
        if !nix::unistd::geteuid().is_root() {
            return Ok(());
        }
        let daemon = User::from_name("daemon")?.ok_or("every machine has it")?;
        chown(&state, Some(daemon.uid.as_raw()), None)?;
        let named = said();
        let [(State::Fail, detail)] = &named[..] else {
            return Err(format!("{named:?}").into());
        };
        assert!(
            detail.ends_with(&format!("run: chown daemon {}", secret.display())),
            "{detail}"
        );
        modes(0o640)?;
        assert_eq!(said().len(), 1, "of root's group");
        chown(&secret, None, Some(daemon.gid.as_raw()))?;
        assert_eq!(said(), []);
        modes(0o604)?;
        assert_eq!(said().len(), 1, "open for all but its group");
        chown(&secret, Some(daemon.uid.as_raw()), None)?;
        assert_eq!(said(), []);
        Ok(())
    }

    #[test]
    fn a_configuration_that_everybody_can_change_is_named() -> Result<(), Box<dyn std::error::Error>>
    {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir()?;
        let file = folder.path().join("alliance.toml");
        assert_eq!(everybodys(&file), None);
        fs::write(&file, "")?;
        for (mode, is_named) in [(0o640, false), (0o664, false), (0o646, true)] {
            fs::set_permissions(&file, PermissionsExt::from_mode(mode))?;
            let said = everybodys(&file);
            assert_eq!(said.is_some(), is_named, "{mode:o}: {said:?}");
        }
        let (_, said) = everybodys(&file).unwrap_or((State::Ok, String::new()));
        assert!(
            said.ends_with(&format!("chmod o-w {}", file.display())),
            "{said}"
        );
        Ok(())
    }
}
