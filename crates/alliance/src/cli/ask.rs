//! The operator at the terminal: questions, and Ctrl-C.

use std::future::Future;
use std::io::{self, BufRead, IsTerminal, Read};
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::output::Output;

/// More than any invitation or token.
const MAX_LINE: u64 = 1 << 20;

/// Whether somebody can be asked.
pub(crate) fn is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Asks; anything but `y` or `yes` is a no, also the end of input.
pub(crate) async fn confirm(out: &mut Output, question: &str) -> bool {
    out.prompt(format_args!("{question} [y/N] "));
    let answer = line().await.unwrap_or_default();
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// One line of standard input, without its end. Given up, it keeps nobody from exiting.
///
/// # Errors
/// If it cannot be read, or is no text.
pub(crate) async fn line() -> io::Result<String> {
    let (sender, receiver) = oneshot::channel();
    // A thread of our own: the runtime would wait for one of its blocking threads at the end.
    thread::spawn(move || {
        let mut text = String::new();
        let read = io::stdin().lock().take(MAX_LINE).read_line(&mut text);
        let line = read.map(|_| text.trim_end_matches(['\r', '\n']).to_owned());
        drop(sender.send(line));
    });
    receiver
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::UnexpectedEof.into()))
}

/// Ctrl-C and a request to terminate, held back from when this exists: what must be undone can be.
pub(crate) struct Interrupt {
    ctrl_c: Signal,
    terminate: Signal,
}

impl Interrupt {
    /// # Errors
    /// If the system gives no signals.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            ctrl_c: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// What `work` comes to, or `None` if the operator wanted out before it was done.
    pub(crate) async fn or<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            _ = self.ctrl_c.recv() => None,
            _ = self.terminate.recv() => None,
            done = work => Some(done),
        }
    }
}
