//! Who serves the daemon's socket.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tokio::net::UnixStream;
use tokio::net::unix::UCred;

use super::{Fault, State, owners};
use crate::config::Delegate;

/// What is made in a folder with this bit belongs to the folder's group.
const SETGID: u32 = 0o2000;

/// The process that listens there, by the kernel's word; none if nobody does, or this user may not ask.
pub(super) async fn of(socket: &Path) -> Option<UCred> {
    let stream = UnixStream::connect(socket).await.ok()?;
    stream.peer_cred().ok()
}

/// What to say of a socket that belongs to another than who serves it, since the plugin believes root and the
/// daemon's user only; or to another group, where the configuration names none.
pub(super) async fn stranger(delegate: &Delegate) -> Option<Fault> {
    let socket = &delegate.socket;
    let serves = of(socket).await?;
    let found = fs::metadata(socket).ok()?;
    let (shown, owner) = (socket.display(), found.uid());
    if owner != serves.uid() && owner != 0 {
        let daemon = owners::name(serves.uid());
        let detail = format!(
            "{shown} belongs to {}, and the daemon is {daemon}'s: Keystone does not speak to it, so that nobody's token is let in; run: chown {daemon} {shown}, or restart the daemon",
            owners::name(owner)
        );
        return Some((State::Fail, detail));
    }
    let hands_on =
        |folder: &Path| fs::metadata(folder).is_ok_and(|found| found.mode() & SETGID != 0);
    let (is, was) = (found.gid(), serves.gid());
    if delegate.group.is_some() || is == was || socket.parent().is_some_and(hands_on) {
        return None;
    }
    let (is, was) = (owners::group(is), owners::group(was));
    let detail = format!(
        "{shown} belongs to the group {is}, and the daemon makes it for {was}: who is in {is} may ask it about tokens, until it starts again; if that is Keystone, set [delegate] group = \"{is}\"; else run: chgrp {was} {shown}"
    );
    Some((State::Warn, detail))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::cli::doctor::tests::config_in;

    #[tokio::test]
    async fn a_socket_that_was_given_to_another_is_named() -> Result<(), Box<dyn std::error::Error>>
    {
        let folder = tempfile::tempdir()?;
        let mut delegate = config_in(folder.path())?.delegate;
        let path = folder.path().join("d.sock");
        delegate.socket.clone_from(&path);
        assert_eq!(stranger(&delegate).await, None, "it is not there");
        let listener = UnixListener::bind(&path)?;
        assert_eq!(stranger(&delegate).await, None);
        if nix::unistd::geteuid().is_root() {
            chown(&path, None, Some(12_345))?;
            let (state, said) = stranger(&delegate).await.ok_or("another group")?;
            assert!(
                state == State::Warn && said.ends_with(&format!("chgrp root {}", path.display())),
                "{said}"
            );
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o2755))?;
            assert_eq!(stranger(&delegate).await, None, "it is the folder's");
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
            delegate.group = Some("keystone".into());
            assert_eq!(
                stranger(&delegate).await,
                None,
                "that is looked at elsewhere"
            );
            delegate.group = None;
            chown(&path, Some(12_345), None)?;
            let (_, said) = stranger(&delegate).await.ok_or("another owner")?;
            assert!(
                said.contains("belongs to 12345, and the daemon is root's")
                    && said.contains(&format!("chown root {}", path.display())),
                "{said}"
            );
        }
        drop(listener);
        assert_eq!(stranger(&delegate).await, None, "nobody serves it");
        Ok(())
    }
}
