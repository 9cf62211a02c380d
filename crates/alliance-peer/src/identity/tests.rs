use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;

fn state_dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn an_identity_is_made_once_and_stays() {
    let dir = state_dir();
    let first = Identity::load_or_create(dir.path()).unwrap();
    let again = Identity::load_or_create(dir.path()).unwrap();
    let read = Identity::load(dir.path()).unwrap();
    for other in [again, read] {
        assert_eq!(first.cloud_id(), other.cloud_id());
        assert_eq!(first.signing_key().public(), other.signing_key().public());
    }
    assert_ne!(first.identity_key().public(), first.signing_key().public());
    assert_eq!(first.identity_key().public().cloud_id(), *first.cloud_id());
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [IDENTITY_KEY, SIGNING_KEY], "nothing else is left");
    for name in names {
        assert_eq!(mode(&dir.path().join(name)), 0o600);
    }
}

#[test]
fn several_processes_that_make_it_at_once_agree() {
    let dir = state_dir();
    let ids: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| Identity::load_or_create(dir.path())))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap().unwrap().cloud_id().clone())
            .collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[test]
fn a_key_that_others_may_read_is_refused_with_the_remedy() {
    let dir = state_dir();
    Identity::load_or_create(dir.path()).unwrap();
    for wrong in [0o640, 0o604, 0o660, 0o601] {
        let path = dir.path().join(SIGNING_KEY);
        set_mode(&path, wrong);
        let error = Identity::load_or_create(dir.path()).unwrap_err();
        let expected = format!("{wrong:04o}");
        let text = error.to_string();
        assert!(
            text.contains(&expected) && text.contains("chmod 600"),
            "{text}"
        );
        set_mode(&path, 0o400);
        assert!(Identity::load(dir.path()).is_ok());
    }
}

#[test]
fn a_damaged_key_is_refused_and_neither_replaced_nor_shown() {
    let dir = state_dir();
    Identity::load_or_create(dir.path()).unwrap();
    let path = dir.path().join(IDENTITY_KEY);
    let whole = fs::read_to_string(&path).unwrap();
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)
        .unwrap()
        .serialize_pem();
    for content in [
        "",
        "garbage",
        &whole[..whole.len() / 2],
        &whole.replace('M', "N"),
        &p384,
    ] {
        fs::write(&path, content).unwrap();
        let error = Identity::load_or_create(dir.path()).unwrap_err();
        assert!(matches!(error, IdentityError::Damaged { .. }), "{error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(&whole[60..100]), "{shown}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn binary_rubbish_instead_of_a_key_is_refused() {
    let dir = state_dir();
    Identity::load_or_create(dir.path()).unwrap();
    fs::write(dir.path().join(IDENTITY_KEY), [0xff, 0xfe, 0]).unwrap();
    assert!(Identity::load(dir.path()).is_err());
}

#[test]
fn a_lost_identity_is_not_silently_replaced_by_a_new_one() {
    let dir = state_dir();
    Identity::load_or_create(dir.path()).unwrap();
    fs::remove_file(dir.path().join(IDENTITY_KEY)).unwrap();
    for refused in [Identity::load_or_create, Identity::load] {
        let error = refused(dir.path()).unwrap_err();
        assert!(matches!(error, IdentityError::Lost { .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains("another instance") && said.contains("backup"));
    }
    assert!(!dir.path().join(IDENTITY_KEY).exists());
}

#[test]
fn an_interrupted_creation_is_completed() {
    let dir = state_dir();
    let first = Identity::load_or_create(dir.path()).unwrap();
    fs::remove_file(dir.path().join(SIGNING_KEY)).unwrap();
    let error = Identity::load(dir.path()).unwrap_err();
    assert!(matches!(error, IdentityError::Missing(_)), "{error}");
    let again = Identity::load_or_create(dir.path()).unwrap();
    assert_eq!(first.cloud_id(), again.cloud_id());
}

#[test]
fn the_state_directory_must_be_there_and_not_be_everybodys() {
    let dir = state_dir();
    let missing = dir.path().join("none");
    let error = Identity::load_or_create(&missing).unwrap_err();
    assert!(matches!(error, IdentityError::NoDirectory(_)), "{error}");
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(
        Identity::load_or_create(&file),
        Err(IdentityError::NoDirectory(_))
    ));
    set_mode(dir.path(), 0o777);
    let error = Identity::load_or_create(dir.path()).unwrap_err();
    assert!(error.to_string().contains("chmod o-w"), "{error}");
    set_mode(dir.path(), 0o700);
}

#[test]
fn a_dangling_link_is_no_reason_to_make_a_new_identity() {
    let dir = state_dir();
    symlink("/nonexistent/identity.key", dir.path().join(IDENTITY_KEY)).unwrap();
    assert!(Identity::load_or_create(dir.path()).is_err());
}

#[test]
fn a_key_of_somebody_else_is_refused() {
    if !rustix::process::geteuid().is_root() {
        // Only root can give a file away.
        return;
    }
    let dir = state_dir();
    Identity::load_or_create(dir.path()).unwrap();
    let path = dir.path().join(IDENTITY_KEY);
    std::os::unix::fs::chown(&path, Some(4242), None).unwrap();
    let error = Identity::load(dir.path()).unwrap_err();
    assert!(error.to_string().contains("4242"), "{error}");
    // Root's commands read the keys of the daemon, which owns the directory.
    std::os::unix::fs::chown(dir.path(), Some(4242), None).unwrap();
    std::os::unix::fs::chown(dir.path().join(SIGNING_KEY), Some(4242), None).unwrap();
    assert!(Identity::load(dir.path()).is_ok());
    // What root makes there belongs to the daemon.
    fs::remove_file(dir.path().join(SIGNING_KEY)).unwrap();
    Identity::load_or_create(dir.path()).unwrap();
    let meta = fs::metadata(dir.path().join(SIGNING_KEY)).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&meta), 4242);
}

#[test]
fn keys_go_from_one_place_to_another_and_replace_none() {
    let (here, there, taken) = (state_dir(), state_dir(), state_dir());
    let identity = Identity::load_or_create(here.path()).unwrap();
    let [own, signing] = identity.to_pem();
    let copies = KeyCopies::read(&own, &signing).unwrap();
    assert_eq!(copies.cloud_id(), *identity.cloud_id());
    copies.put(there.path()).unwrap();
    // Once more changes nothing.
    copies.put(there.path()).unwrap();
    let moved = Identity::load(there.path()).unwrap();
    assert_eq!(moved.cloud_id(), identity.cloud_id());
    assert_eq!(
        moved.signing_key().public(),
        identity.signing_key().public()
    );
    assert_eq!(mode(&there.path().join(SIGNING_KEY)), 0o600);

    let other = Identity::load_or_create(taken.path()).unwrap();
    for refused in [
        copies.require_no_others(taken.path()),
        copies.put(taken.path()),
    ] {
        assert!(
            matches!(refused, Err(IdentityError::Another(_))),
            "{refused:?}"
        );
    }
    let kept = Identity::load(taken.path()).unwrap();
    assert_eq!(kept.cloud_id(), other.cloud_id());
    let swapped = KeyCopies::read(&own, &own).unwrap();
    assert!(matches!(
        swapped.require_no_others(here.path()),
        Err(IdentityError::Another(path)) if path.ends_with(SIGNING_KEY)
    ));
    let junk = KeyCopies::read("junk", &signing);
    assert!(matches!(
        junk,
        Err(IdentityError::DamagedCopy {
            name: IDENTITY_KEY,
            ..
        })
    ));
}
