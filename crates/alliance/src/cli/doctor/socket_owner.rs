//! Who serves the daemon's socket.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tokio::net::UnixStream;
use tokio::net::unix::UCred;

use super::{Fault, State, owners};

/// The process that listens there, by the kernel's word; none if nobody does, or this user may not ask.
pub(super) async fn of(socket: &Path) -> Option<UCred> {
    let stream = UnixStream::connect(socket).await.ok()?;
    stream.peer_cred().ok()
}

/// What to say of a socket that belongs to another than who serves it: the plugin believes root and the
/// daemon's user only.
pub(super) async fn stranger(socket: &Path) -> Option<Fault> {
    let served_by = of(socket).await?.uid();
    let owner = fs::metadata(socket).ok()?.uid();
    if owner == served_by || owner == 0 {
        return None;
    }
    let (shown, daemon) = (socket.display(), owners::name(served_by));
    let detail = format!(
        "{shown} belongs to {}, and the daemon is {daemon}'s: Keystone does not speak to it, so that nobody's token is let in; run: chown {daemon} {shown}, or restart the daemon",
        owners::name(owner)
    );
    Some((State::Fail, detail))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn a_socket_that_was_given_to_another_is_named() -> Result<(), Box<dyn std::error::Error>>
    {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("d.sock");
        assert_eq!(stranger(&path).await, None, "it is not there");
        let listener = UnixListener::bind(&path)?;
        assert_eq!(stranger(&path).await, None);
        if nix::unistd::geteuid().is_root() {
            chown(&path, Some(12_345), None)?;
            let (_, said) = stranger(&path).await.unwrap_or((State::Ok, String::new()));
            assert!(
                said.contains("belongs to 12345, and the daemon is root's")
                    && said.contains(&format!("chown root {}", path.display())),
                "{said}"
            );
        }
        drop(listener);
        assert_eq!(stranger(&path).await, None, "nobody serves it");
        Ok(())
    }
}
