//! Where our Keystone's plugin says that something may have ended or changed: datagrams, which cost a
//! logout nothing, whoever is dead.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alliance_core::keystone_id::is_foreign_id;
use alliance_core::revocation::RevocationEvent;
use alliance_core::sign_out::LookAgain;
use alliance_store::Bulletin;
use anyhow::{Context, bail};
use serde::Deserialize;
use tokio::net::UnixDatagram;
use tokio::time::sleep;

use super::Daemon;

/// The socket's name, in the folder of the delegate API's.
const NAME: &str = "poke.sock";
/// Longest datagram that is looked at, in bytes.
const LONGEST: usize = 1024;
/// Pause after a socket that could not be read.
const PAUSE: Duration = Duration::from_secs(1);

/// The socket; its file goes when this goes.
pub(crate) struct Pokes {
    socket: UnixDatagram,
    path: PathBuf,
}

/// What a datagram says: nothing if Keystone's tables say it alone. Fields of later versions are left
/// out.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Poke {
    /// What Keystone has stored: its tables say it too.
    revoked: Option<RevocationEvent>,
    /// About whom hosts must ask again.
    look_again: Option<LookAgain>,
    /// It is about the catalog, and nothing has ended.
    catalog: bool,
}

impl Pokes {
    /// Listens beside the delegate API's socket `delegate`, mode 0660, group `group`. A file left by
    /// a daemon that died is replaced; that no other daemon is alive the delegate API has made sure.
    ///
    /// # Errors
    /// If the path is something else or cannot be used.
    pub(crate) fn bind(delegate: &Path, group: Option<u32>) -> anyhow::Result<Self> {
        let path = delegate.with_file_name(NAME);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(&path)?,
            Ok(_) => bail!("{} is no socket; move it away", path.display()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("looking at {}", path.display()));
            }
        }
        let socket = UnixDatagram::bind(&path)
            .with_context(|| format!("listening at {}", path.display()))?;
        fs::set_permissions(&path, Permissions::from_mode(0o660))?;
        chown(&path, None, group).with_context(|| {
            format!(
                "giving {} to the group of [delegate] group; is the daemon's user in it?",
                path.display()
            )
        })?;
        Ok(Self { socket, path })
    }
}

impl Drop for Pokes {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "the socket's file was already gone");
        }
    }
}

impl Daemon {
    /// Heeds pokes. Runs for ever.
    pub(crate) async fn heed_pokes(self: Arc<Self>, pokes: Pokes) {
        let mut datagram = [0; LONGEST + 1];
        loop {
            match pokes.socket.recv(&mut datagram).await {
                Ok(length) => match understand(datagram.get(..length).unwrap_or_default()) {
                    Some(Poke { catalog: true, .. }) => {
                        self.catalog.stale();
                        self.board.tell(Bulletin::Catalog);
                    }
                    Some(Poke {
                        revoked: Some(event),
                        ..
                    }) => self.noticing.revoked(event),
                    Some(poke) => self.noticing.poke(poke.look_again),
                    None => tracing::debug!(length, "a poke was not understood"),
                },
                Err(error) => {
                    tracing::error!(%error, "pokes of Keystone's plugin cannot be read; it is read now and then all the same");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

fn understand(datagram: &[u8]) -> Option<Poke> {
    if datagram.len() > LONGEST {
        return None;
    }
    let poke: Poke = serde_json::from_slice(datagram).ok()?;
    let look = poke.look_again.as_ref();
    let ids = look.map(|look| [&look.user_id, &look.project_id, &look.domain_id]);
    let mut ids = ids.into_iter().flatten().flatten();
    let are_ids = ids.all(|id| is_foreign_id(id));
    drop(ids);
    are_ids.then_some(poke)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileTypeExt;

    use super::*;

    #[test]
    fn what_is_no_poke_is_not_taken_for_one() {
        assert_eq!(understand(b"{}"), Some(Poke::default()));
        let ann = understand(br#"{"look_again": {"user_id": "ann", "newer": 1}}"#);
        let ann = ann.and_then(|poke| poke.look_again?.user_id);
        assert_eq!(ann, Some("ann".to_owned()));
        let logout = understand(
            br#"{"revoked": {"audit_id": "a", "issued_before": "2026-11-28T08:00:00.000000Z",
                "revoked_at": "2026-11-28T08:00:00.000000Z"}}"#,
        );
        let ended = logout.and_then(|poke| poke.revoked?.audit_id);
        assert_eq!(ended, Some("a".to_owned()));
        let catalog = understand(br#"{"catalog": true}"#);
        assert!(catalog.is_some_and(|poke| poke.catalog));
        let long = format!(r#"{{"newer": "{}"}}"#, "x".repeat(LONGEST));
        for wrong in [
            &b""[..],
            b"[7]",
            b"\xff",
            br#"{"look_again": {"user_id": "a b"}}"#,
            br#"{"look_again": {"user_id": 7}}"#,
            br#"{"catalog": 7}"#,
            br#"{"revoked": {"audit_id": "a"}}"#,
            br#"{"revoked": {"audit_id": 7, "issued_before": "2026-11-28T08:00:00Z"}}"#,
            br#"{"revoked": {"issued_before": "yesterday"}}"#,
            long.as_bytes(),
        ] {
            assert_eq!(understand(wrong), None, "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn a_file_that_a_dead_daemon_left_is_replaced_and_goes_at_the_end()
    -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let delegate = folder.path().join("delegate.sock");
        let path = folder.path().join(NAME);
        std::mem::forget(Pokes::bind(&delegate, None)?);
        let pokes = Pokes::bind(&delegate, None)?;
        let found = fs::metadata(&path)?;
        assert!(found.file_type().is_socket());
        assert_eq!(found.permissions().mode() & 0o777, 0o660);
        drop(pokes);
        assert!(!path.exists());
        fs::write(&path, "")?;
        assert!(Pokes::bind(&delegate, None).is_err());
        Ok(())
    }
}
