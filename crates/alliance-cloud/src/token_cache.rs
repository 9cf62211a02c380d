//! The memcached of services. Dropping tokens that keystonemiddleware has cached there: as
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
/// Where it is said whose a memcached is.
const OWNER: &str = "alliance/cloud";
/// For how long, in seconds.
const OWNED_FOR: u32 = 86_400;
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
        "{address} does not speak memcached's text protocol: expected {expected}, found {found:?}"
    )]
    NotMemcached {
        /// `host:port`.
        address: String,
        /// What it should have answered.
        expected: &'static str,
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
    swept.unwrap_or_else(|_| Err(timed_out(address)))
}

/// Says in the memcached at `address` (`host:port`) that it is this cloud's, unless another cloud has
/// said so within the last day. Returns that other one's id. Takes at most two seconds.
///
/// # Errors
/// If memcached does not say.
pub async fn claim(address: &str, cloud_id: &str) -> Result<Option<String>, TokenCacheError> {
    let claimed = timeout(LIMIT, try_claim(address, cloud_id)).await;
    let owner = claimed.unwrap_or_else(|_| Err(timed_out(address)))?;
    Ok(Some(owner).filter(|owner| owner != cloud_id))
}

/// The id of the cloud that has said within the last day that the memcached at `address` (`host:port`) is
/// its own. Takes at most two seconds.
///
/// # Errors
/// If memcached does not say.
pub async fn owner(address: &str) -> Result<Option<String>, TokenCacheError> {
    let asked = timeout(LIMIT, try_owner(address)).await;
    asked.unwrap_or_else(|_| Err(timed_out(address)))
}

async fn try_owner(address: &str) -> Result<Option<String>, TokenCacheError> {
    let mut memcached = Memcached::connect(address).await?;
    memcached.tell(&format!("get {OWNER}\r\n")).await?;
    let value = memcached.line().await?;
    if value == b"END" {
        return Ok(None);
    }
    memcached.owner(&value).await.map(Some)
}

async fn try_claim(address: &str, cloud_id: &str) -> Result<String, TokenCacheError> {
    let mut memcached = Memcached::connect(address).await?;
    let length = cloud_id.len();
    memcached
        .tell(&format!(
            "add {OWNER} 0 {OWNED_FOR} {length}\r\n{cloud_id}\r\nget {OWNER}\r\n"
        ))
        .await?;
    match memcached.line().await?.as_slice() {
        b"STORED" | b"NOT_STORED" => {}
        other => return Err(memcached.strange("STORED or NOT_STORED", other)),
    }
    let value = memcached.line().await?;
    memcached.owner(&value).await
}

async fn sweep(address: &str, hashes: &[String]) -> Result<usize, TokenCacheError> {
    let mut memcached = Memcached::connect(address).await?;
    let mut deleted = 0;
    for batch in hashes.chunks(BATCH) {
        let commands: String = batch
            .iter()
            .map(|hash| format!("delete tokens/{hash}\r\n"))
            .collect();
        memcached.tell(&commands).await?;
        for _ in batch {
            match memcached.line().await?.as_slice() {
                b"DELETED" => deleted += 1,
                b"NOT_FOUND" => {}
                other => return Err(memcached.strange("DELETED or NOT_FOUND", other)),
            }
        }
    }
    Ok(deleted)
}

/// A connection.
struct Memcached<'a> {
    address: &'a str,
    stream: BufReader<TcpStream>,
}

impl<'a> Memcached<'a> {
    async fn connect(address: &'a str) -> Result<Self, TokenCacheError> {
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(|error| unreachable(address, &error))?;
        Ok(Self {
            address,
            stream: BufReader::new(stream),
        })
    }

    async fn tell(&mut self, commands: &str) -> Result<(), TokenCacheError> {
        let told = self.stream.write_all(commands.as_bytes()).await;
        told.map_err(|error| unreachable(self.address, &error))
    }

    /// The next line of what it answers, or as much of it as is read.
    async fn line(&mut self) -> Result<Vec<u8>, TokenCacheError> {
        let mut line = Vec::new();
        let read = (&mut self.stream)
            .take(LINE)
            .read_until(b'\n', &mut line)
            .await;
        read.map_err(|error| unreachable(self.address, &error))?;
        if line.is_empty() {
            let ended = std::io::ErrorKind::UnexpectedEof.into();
            return Err(unreachable(self.address, &ended));
        }
        Ok(line
            .strip_suffix(b"\r\n")
            .map_or(line.clone(), <[u8]>::to_vec))
    }

    /// Who is named after this line.
    async fn owner(&mut self, value: &[u8]) -> Result<String, TokenCacheError> {
        if !value.starts_with(b"VALUE ") {
            return Err(self.strange("VALUE", value));
        }
        let owner = self.line().await?;
        Ok(String::from_utf8_lossy(&owner).into_owned())
    }

    fn strange(&self, expected: &'static str, found: &[u8]) -> TokenCacheError {
        TokenCacheError::NotMemcached {
            address: self.address.to_owned(),
            expected,
            found: String::from_utf8_lossy(found).into_owned(),
        }
    }
}

fn unreachable(address: &str, error: &std::io::Error) -> TokenCacheError {
    TokenCacheError::Unreachable {
        address: address.to_owned(),
        reason: error.to_string(),
    }
}

fn timed_out(address: &str) -> TokenCacheError {
    TokenCacheError::TimedOut {
        address: address.to_owned(),
        limit: LIMIT,
    }
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
    async fn a_memcached_is_the_clouds_that_said_so_first() {
        let Some(memcached) = memcached().await else {
            return;
        };
        let address = &memcached.address;
        assert_eq!(owner(address).await, Ok(None));
        assert_eq!(claim(address, "west").await, Ok(None));
        assert_eq!(claim(address, "west").await, Ok(None));
        assert_eq!(owner(address).await, Ok(Some("west".to_owned())));
        assert_eq!(claim(address, "east").await, Ok(Some("west".to_owned())));
        assert_eq!(claim(address, "west").await, Ok(None));
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
            for _ in 0..4 {
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
        let strange = claim(&address, "west").await;
        assert!(
            matches!(strange, Err(TokenCacheError::NotMemcached { .. })),
            "{strange:?}"
        );
        let strange = owner(&address).await;
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
