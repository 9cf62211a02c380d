//! Who is at the other end of the socket.

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use nix::unistd::{Uid, User};
use tokio::net::UnixListener;

/// The uid of the process that connected, by the kernel's word (`SO_PEERCRED`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    /// `None` if the kernel would not say.
    pub uid: Option<u32>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self {
            uid: stream
                .io()
                .peer_cred()
                .ok()
                .map(|credentials| credentials.uid()),
        }
    }
}

impl Caller {
    /// Its user's name on this machine, for the record of who did what.
    pub(crate) fn name(self) -> String {
        let Some(uid) = self.uid else {
            return "operator".to_owned();
        };
        match User::from_uid(Uid::from_raw(uid)) {
            Ok(Some(user)) => user.name,
            Ok(None) | Err(_) => format!("uid {uid}"),
        }
    }
}
