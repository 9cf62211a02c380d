//! The unix socket itself.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::extract::ConnectInfo;
use http::Extensions;
use tokio::net::{UnixListener, UnixStream};

use super::BODY_LIMIT;
use super::caller::Caller;
use crate::daemon::listening::{self, Limits};

/// A listening socket; its file goes when this goes.
pub(crate) struct Socket {
    listener: Option<UnixListener>,
    path: PathBuf,
}

impl Socket {
    /// Listens at `path`, mode 0660, group `group`. A file left by a daemon that died is replaced.
    ///
    /// # Errors
    /// If another daemon answers there, or the path is something else or cannot be used.
    pub(crate) fn bind(path: &Path, group: Option<u32>) -> anyhow::Result<Self> {
        make_way(path)?;
        let listener = UnixListener::bind(path).with_context(|| {
            format!(
                "listening at {}; does its folder exist, and may this user write there?",
                path.display()
            )
        })?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
        if group.is_some() {
            chown(path, None, group).with_context(|| {
                format!(
                    "giving {} to the group of [delegate] group; is the daemon's user in it?",
                    path.display()
                )
            })?;
        }
        Ok(Self {
            listener: Some(listener),
            path: path.to_owned(),
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "the socket's file was already gone");
        }
    }
}

/// Keystone's workers ask a few questions at once each; operators are few.
const LIMITS: Limits = Limits {
    connections: 512,
    patience: Duration::from_secs(10),
    body: BODY_LIMIT,
};

/// Serves `router` until `stop`, then lets running requests finish.
///
/// # Errors
/// If the socket is served already.
pub(crate) async fn serve(
    mut socket: Socket,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let Some(listener) = socket.listener.take() else {
        bail!("the socket is served already");
    };
    let tag = |stream: &UnixStream, tags: &mut Extensions| {
        tags.insert(ConnectInfo(Caller::of(stream)));
    };
    listening::serve(listener, router, tag, LIMITS, stop).await;
    Ok(())
}

fn make_way(path: &Path) -> anyhow::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("looking at {}", path.display())),
    };
    if !metadata.file_type().is_socket() {
        bail!(
            "[delegate] socket names {}, which is no socket; name another path",
            path.display()
        );
    }
    match net::UnixStream::connect(path) {
        Ok(_) => bail!(
            "another daemon is listening at {}; stop it first, or give this one another [delegate] socket",
            path.display()
        ),
        Err(_) => fs::remove_file(path)
            .with_context(|| format!("removing the dead socket {}", path.display())),
    }
}
