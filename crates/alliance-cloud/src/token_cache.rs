//! Dropping tokens from the memcached of services, where keystonemiddleware has cached them: as
//! `tokens/` and the hex SHA-256 of the token (`auth_token/_cache.py`). With
//! `memcache_security_strategy` set the keys are others, which nobody can compute without the
//! token; such caches run out by themselves.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long sweeping one memcached may take.
const LIMIT: Duration = Duration::from_secs(2);
/// Deletions that are under way at once. Their answers fit into a socket's buffer.
const BATCH: usize = 256;
/// Longest line of memcached's that is read, in bytes.
const LINE: u64 = 128;
/// Length of a SHA-256 in hex.
const HASH: usize = 64;

/// Why a cache was not swept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenCacheError {
    /// No connection, or it broke.
    #[error("memcached at {address} was not reached: {reason}; is [services] memcached right?")]
    Unreachable {
        /// `host:port`.
        address: String,
        /// Why.
        reason: String,
    },
    /// No answer in time.
    #[error("memcached at {address} did not answer within {} s", .limit.as_secs_f32())]
    TimedOut {
        /// `host:port`.
        address: String,
        /// How long it was given.
        limit: Duration,
    },
    /// Not memcached, or not its text protocol.
    #[error(
        "{address} does not speak memcached's text protocol: expected DELETED or NOT_FOUND, found {found:?}"
    )]
    NotMemcached {
        /// `host:port`.
        address: String,
        /// What it answered.
        found: String,
    },
    /// Not the hash of a token; nothing was deleted.
    #[error("{0:?} is not a SHA-256 in lowercase hex")]
    NotAHash(String),
}

/// Deletes these tokens, given by the lowercase hex SHA-256 of each, from the memcached at
/// `address` (`host:port`). Says how many of them it had. Takes at most two seconds.
///
/// # Errors
/// If some may be left.
pub async fn forget(address: &str, sha256_hex: &[String]) -> Result<usize, TokenCacheError> {
    if let Some(wrong) = sha256_hex.iter().find(|hash| !is_hash(hash)) {
        return Err(TokenCacheError::NotAHash(wrong.clone()));
    }
    if sha256_hex.is_empty() {
        return Ok(0);
    }
    let swept = timeout(LIMIT, sweep(address, sha256_hex)).await;
    swept.unwrap_or_else(|_| {
        Err(TokenCacheError::TimedOut {
            address: address.to_owned(),
            limit: LIMIT,
        })
    })
}

async fn sweep(address: &str, hashes: &[String]) -> Result<usize, TokenCacheError> {
    let unreachable = |error: std::io::Error| TokenCacheError::Unreachable {
        address: address.to_owned(),
        reason: error.to_string(),
    };
    let stream = TcpStream::connect(address).await.map_err(unreachable)?;
    let mut stream = BufReader::new(stream);
    let mut deleted = 0;
    for batch in hashes.chunks(BATCH) {
        let commands: String = batch
            .iter()
            .map(|hash| format!("delete tokens/{hash}\r\n"))
            .collect();
        stream
            .write_all(commands.as_bytes())
            .await
            .map_err(unreachable)?;
        for _ in batch {
            let mut line = Vec::new();
            (&mut stream)
                .take(LINE)
                .read_until(b'\n', &mut line)
                .await
                .map_err(unreachable)?;
            match line.as_slice() {
                b"DELETED\r\n" => deleted += 1,
                b"NOT_FOUND\r\n" => {}
                b"" => return Err(unreachable(std::io::ErrorKind::UnexpectedEof.into())),
                other => {
                    return Err(TokenCacheError::NotMemcached {
                        address: address.to_owned(),
                        found: String::from_utf8_lossy(other).into_owned(),
                    });
                }
            }
        }
    }
    Ok(deleted)
}

fn is_hash(text: &str) -> bool {
    text.len() == HASH && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use tokio::net::TcpListener;

    use super::*;

    struct Memcached {
        child: Child,
        address: String,
    }

    impl Drop for Memcached {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    /// None where it is not installed.
    async fn memcached() -> Option<Memcached> {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let child = Command::new("memcached")
            .args([
                "-l",
                "127.0.0.1",
                "-U",
                "0",
                "-u",
                "nobody",
                "-p",
                &port.to_string(),
            ])
            .stdin(Stdio::null())
            .spawn()
            .ok()?;
        let memcached = Memcached {
            child,
            address: format!("127.0.0.1:{port}"),
        };
        let up = async {
            while TcpStream::connect(&memcached.address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(10), up).await.unwrap();
        Some(memcached)
    }

    async fn tell(address: &str, commands: String, answer_ends_with: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let read = async {
            let mut answer = String::new();
            let mut buffer = [0; 4096];
            while !answer.ends_with(answer_ends_with) {
                let n = reader.read(&mut buffer).await.unwrap();
                assert_ne!(n, 0, "{answer}");
                answer.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
            }
            answer
        };
        let (written, answer) = tokio::join!(writer.write_all(commands.as_bytes()), read);
        written.unwrap();
        answer
    }

    fn hash(n: usize) -> String {
        format!("{n:064x}")
    }

    #[tokio::test]
    async fn a_real_memcached_forgets_what_it_is_told_and_nothing_else() {
        let Some(memcached) = memcached().await else {
            return;
        };
        let sets: String = (0..1000)
            .map(|n| format!("set tokens/{} 0 0 1 noreply\r\nx\r\n", hash(n)))
            .collect();
        tell(&memcached.address, format!("{sets}version\r\n"), "\r\n").await;
        let hashes: Vec<_> = (100..2000).map(hash).collect();
        assert_eq!(forget(&memcached.address, &hashes).await, Ok(900));
        assert_eq!(forget(&memcached.address, &hashes).await, Ok(0));
        let left = tell(
            &memcached.address,
            format!("get tokens/{}\r\n", hash(99)),
            "END\r\n",
        )
        .await;
        assert!(left.starts_with("VALUE"));
    }

    #[tokio::test]
    async fn what_is_no_hash_reaches_nobody() {
        let wrong = format!("{}\r\nflush_all", hash(1));
        for wrong in [wrong.as_str(), "", "xyz", &"A".repeat(64)] {
            let hashes = [hash(1), wrong.to_owned()];
            let refused = forget("127.0.0.1:1", &hashes).await;
            assert_eq!(refused, Err(TokenCacheError::NotAHash(wrong.to_owned())));
        }
    }

    #[tokio::test]
    async fn a_dead_a_silent_and_a_strange_server_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let silent = forget(&address, &[hash(1)]).await;
        assert!(
            matches!(silent, Err(TokenCacheError::TimedOut { .. })),
            "{silent:?}"
        );
        tokio::spawn(async move {
            // The first is what the silent server never answered.
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream
                    .write_all(b"HTTP/1.1 400 Bad Request\r\n")
                    .await
                    .unwrap();
            }
        });
        let strange = forget(&address, &[hash(1)]).await;
        assert!(
            matches!(strange, Err(TokenCacheError::NotMemcached { .. })),
            "{strange:?}"
        );
        let dead = forget("127.0.0.1:1", &[hash(1)]).await;
        assert!(
            matches!(dead, Err(TokenCacheError::Unreachable { .. })),
            "{dead:?}"
        );
    }
}
