//! A wire between two clouds that counts connections and can go dead without a word.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    dead: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Wire {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        Self::saying("", target).await
    }

    /// One that says this first, in each connection.
    pub(crate) async fn saying(first: &'static str, target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let dead = Arc::new(AtomicBool::new(false));
        let (count, cut) = (connections.clone(), dead.clone());
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                // Whoever connects after the cut gets a new wire: only old ones stay dead.
                let dead = Arc::new(AtomicBool::new(false));
                let mut far = TcpStream::connect(target).await.unwrap();
                far.write_all(first.as_bytes()).await.unwrap();
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                tokio::spawn(carry(near_in, far_out, dead.clone(), cut.clone()));
                tokio::spawn(carry(far_in, near_out, dead, cut.clone()));
            }
        });
        Self {
            address,
            connections,
            dead,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// From now on nothing passes in connections that carry something; nobody is told.
    pub(crate) fn go_dead(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    pub(crate) fn come_back(&self) {
        self.dead.store(false, Ordering::SeqCst);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    dead: Arc<AtomicBool>,
    cut: Arc<AtomicBool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if cut.load(Ordering::SeqCst) {
            dead.store(true, Ordering::SeqCst);
        }
        if !dead.load(Ordering::SeqCst) && to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
