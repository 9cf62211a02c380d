//! Memcached servers, as configurations name them: where they are, and whose.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};

use alliance_cloud::token_cache;
use alliance_core::cloud::CloudId;
use alliance_core::label::clean;
use futures_util::future::join_all;

use super::{Fault, State};

/// Where memcached listens unless something else is said.
const PORT: &str = "11211";

/// As `host:port`, however it is spelled.
pub(super) fn address(server: &str) -> String {
    let families = ["inet:", "inet6:"];
    let server = families
        .iter()
        .find_map(|family| server.strip_prefix(family))
        .unwrap_or(server);
    if server.contains(':') {
        server.to_owned()
    } else {
        format!("{server}:{PORT}")
    }
}

/// Servers that are known, as `host:port`.
pub(super) struct Known(Vec<String>);

impl Known {
    pub(super) fn new(servers: &[String]) -> Self {
        Self(servers.iter().map(|each| address(each)).collect())
    }

    /// Whether this one, as `host:port`, is among them, by another name too. Of a name that nobody knows
    /// here the spelling counts.
    pub(super) fn has(&self, server: &str) -> bool {
        if self.0.iter().any(|each| each == server) {
            return true;
        }
        let at = resolved(server);
        let is_there = |each: &String| resolved(each).iter().any(|place| at.contains(place));
        !at.is_empty() && self.0.iter().any(is_there)
    }
}

fn resolved(server: &str) -> Vec<SocketAddr> {
    let found = server.to_socket_addrs();
    found.map(Iterator::collect).unwrap_or_default()
}

/// The other cloud, if one says that it keeps its tokens in this memcached. `own`: this cloud's id, without
/// which nobody is another.
pub(super) async fn other_cloud(server: &str, own: Option<&CloudId>) -> Option<String> {
    let own = own?;
    if server.contains('$') || server.starts_with("unix:") {
        return None;
    }
    let owner = token_cache::owner(&address(server)).await.ok().flatten()?;
    (owner != own.as_str()).then(|| clean(&owner, 64))
}

/// The servers in which another cloud keeps its tokens, as `host:port`, each with that cloud.
pub(super) async fn other_clouds(
    servers: &[String],
    own: Option<&CloudId>,
) -> BTreeMap<String, String> {
    let asked = servers
        .iter()
        .map(async |server| Some((address(server), other_cloud(server, own).await?)));
    join_all(asked).await.into_iter().flatten().collect()
}

/// What to say of one in which another cloud keeps its tokens; `option` names those of this cloud.
pub(super) fn shared(server: &str, other: &str, option: &str) -> Fault {
    let detail = format!(
        "{server} is used by cloud {other} too: each takes the other's tokens from it as its own; give this cloud a memcached of its own, {option}. If it is the memcached of a cloud that is gone, restart it"
    );
    (State::Fail, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::tests::memcached_of;

    #[test]
    fn a_server_is_known_by_each_of_its_names() {
        let known = Known::new(&["localhost:11211".to_owned(), "10.0.0.1".to_owned()]);
        assert!(known.has("localhost:11211"));
        assert!(known.has("127.0.0.1:11211"));
        assert!(known.has("10.0.0.1:11211"));
        assert!(!known.has("127.0.0.1:11212"));
        assert!(!known.has("10.0.0.2:11211"));
        assert!(!known.has("nowhere:none"));
        assert!(Known::new(&["nowhere:none".to_owned()]).has("nowhere:none"));
    }

    #[tokio::test]
    async fn a_memcached_of_another_cloud_is_told_from_ones_own()
    -> Result<(), Box<dyn std::error::Error>> {
        let own = CloudId::from_spki(b"ours");
        let (ours, nobodys, others) = (
            memcached_of(Some(own.as_str())).await?,
            memcached_of(None).await?,
            memcached_of(Some("another")).await?,
        );
        let nowhere = ["$elsewhere", "unix:/nowhere", "127.0.0.1:1"].map(str::to_owned);
        let servers = [ours, nobodys, format!("inet:{others}")];
        let found = other_clouds(&[servers.to_vec(), nowhere.to_vec()].concat(), Some(&own)).await;
        let expected = BTreeMap::from([(others, "another".to_owned())]);
        assert_eq!(found, expected);
        Ok(())
    }
}
