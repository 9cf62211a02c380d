//! Who is at the other end of the socket.

use nix::unistd::{Uid, User};
use tokio::net::UnixStream;

/// The uid of the process that connected, by the kernel's word (`SO_PEERCRED`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    /// `None` if the kernel would not say.
    pub uid: Option<u32>,
}

impl Caller {
    /// Who has connected.
    pub(crate) fn of(stream: &UnixStream) -> Self {
        let credentials = stream.peer_cred().ok();
        Self {
            uid: credentials.map(|credentials| credentials.uid()),
        }
    }

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
