//! Who answers, and whether anybody does, at addresses that a configuration names.

use std::time::Duration;

use alliance_cloud::token_cache;
use alliance_core::cloud::CloudId;
use alliance_peer::client::{Deadlines, PeerClient, PeerError};
use alliance_peer::identity::Identity;
use alliance_peer::request_id::RequestId;
use futures_util::future::join_all;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::conf::Conf;
use super::{Fault, State, memcached, with_causes};
use crate::config::Config;
use crate::daemon::delegate::status::{cache_away, cache_of_two};

/// For a cache to take a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// Where memcached is unless Keystone's options say something else.
const MEMCACHED: &str = "localhost";

/// What is wrong with the address that partners are told to find this cloud at, seen from here.
/// `is_running`: whether a daemon should answer there.
pub(super) async fn own_url(
    config: &Config,
    identity: &Identity,
    is_running: bool,
) -> Option<Fault> {
    let url = config.peer.url.as_str();
    let own = identity.cloud_id().clone();
    let client = match PeerClient::new(identity, own, url, Deadlines::default()) {
        Ok(client) => client,
        Err(error) => return Some((State::Fail, with_causes(error))),
    };
    match client.descriptor(RequestId::random(), None).await {
        Err(PeerError::WrongKey(wrong)) => {
            let detail = format!(
                "[peer] url {url} leads to another cloud, {}: partners are sent there in place of here; set it to where this cloud's daemon answers",
                wrong.found
            );
            Some((State::Fail, detail))
        }
        Err(error @ (PeerError::Unreachable(_) | PeerError::Timeout)) if is_running => {
            let why = match error {
                PeerError::Unreachable(why) => why,
                _ => "nothing in time".to_owned(),
            };
            let detail = format!(
                "no daemon answers at [peer] url {url} ({why}): partners do not find this cloud, unless only this machine cannot get there; mend the address, the balancer or the firewall"
            );
            Some((State::Warn, detail))
        }
        _ => None,
    }
}

/// What to say of each memcached of Keystone's that takes no connection, or that is another cloud's too.
/// `own`: this cloud's id, if it has one.
pub(super) async fn caches(conf: &Conf, own: Option<&CloudId>) -> Vec<Fault> {
    let backend = conf.text("cache", "backend").unwrap_or_default();
    if !backend.contains("memcache") || conf.flag("cache", "enabled") == Some(false) {
        return Vec::new();
    }
    let (mut servers, option) = match argument(conf, &backend) {
        Some(servers) => (servers, "[cache] backend_argument = url:"),
        None => {
            let servers = conf.list("cache", "memcache_servers");
            let servers = servers.unwrap_or_else(|| vec![MEMCACHED.to_owned()]);
            (servers, "[cache] memcache_servers")
        }
    };
    servers.retain(|server| !server.contains('$'));
    let found = join_all(servers.iter().map(|server| cache(server, option, own))).await;
    found.into_iter().flatten().collect()
}

/// The servers that the last `backend_argument` of the name `url` says; they count more than
/// `memcache_servers`.
fn argument(conf: &Conf, backend: &str) -> Option<Vec<String>> {
    let arguments = conf.texts("cache", "backend_argument").into_iter().rev();
    let mut urls = arguments.filter_map(|one| one.strip_prefix("url:").map(str::to_owned));
    let url = urls.next()?;
    // oslo.cache takes it for a list for these alone.
    let servers = match backend {
        "dogpile.cache.memcached" | "oslo_cache.memcache_pool" => url.split(',').collect(),
        _ => vec![url.as_str()],
    };
    let servers = servers.into_iter().map(|server| server.trim().to_owned());
    Some(servers.filter(|server| !server.is_empty()).collect())
}

/// `option` names it.
async fn cache(server: &str, option: &str, own: Option<&CloudId>) -> Option<Fault> {
    if let Err(error) = connected(server).await {
        let detail = format!(
            "nothing takes connections at {server}, where Keystone remembers tokens ({error}): each request of partners' users is asked about, and may take seconds; start memcached there, or mend {option}"
        );
        return Some((State::Warn, detail));
    }
    let other = memcached::other_cloud(server, own).await?;
    Some(memcached::shared(server, &other, option))
}

/// What to say of each of these memcached servers, from which the daemon takes services' tokens, that does
/// not answer, or that is another cloud's too. `own`: this cloud's id, if it has one.
pub(super) async fn service_caches(servers: &[&String], own: Option<&CloudId>) -> Vec<Fault> {
    let asked = servers.iter().map(|server| service_cache(server, own));
    join_all(asked).await.into_iter().flatten().collect()
}

async fn service_cache(server: &str, own: Option<&CloudId>) -> Option<Fault> {
    let owner = match connected(server).await {
        Ok(()) => token_cache::owner(server).await.map_err(with_causes),
        Err(error) => Err(format!("memcached at {server} was not reached: {error}")),
    };
    match owner {
        Ok(owner) => {
            let other = owner.filter(|owner| own.is_some_and(|own| own.as_str() != owner))?;
            Some((State::Fail, cache_of_two(server, &other)))
        }
        Err(error) => {
            let detail = format!(
                "{}; start memcached there, or mend [services] memcached",
                cache_away(&error)
            );
            Some((State::Warn, detail))
        }
    }
}

async fn connected(server: &str) -> Result<(), String> {
    let connecting = async {
        match server.strip_prefix("unix:") {
            Some(path) => UnixStream::connect(path).await.map(drop),
            None => TcpStream::connect(memcached::address(server))
                .await
                .map(drop),
        }
    };
    match timeout(CONNECT, connecting).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err(format!("within {} s", CONNECT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::cli::doctor::tests::memcached_of;

    #[tokio::test]
    async fn a_cache_that_is_away_is_named() -> Result<(), Box<dyn std::error::Error>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let at = listener.local_addr()?;
        let said = async |options: &str| -> Result<Vec<Fault>, String> {
            let mut conf = Conf::empty();
            conf.add(&format!("[cache]\n{options}\n"))?;
            Ok(caches(&conf, None).await)
        };
        let pymemcache = "backend = dogpile.cache.pymemcache\nmemcache_servers =";
        assert_eq!(said(&format!("{pymemcache} {at}")).await?, []);
        assert_eq!(
            said(&format!("{pymemcache} inet:{at}, $somewhere")).await?,
            []
        );
        let url = format!("backend_argument = url:{at}");
        let one = format!("{pymemcache} 127.0.0.1:1\n{url}");
        assert_eq!(said(&one).await?, [], "memcache_servers does not count");
        drop(listener);
        assert_eq!(said(&format!("memcache_servers = {at}")).await?, []);
        let url = format!("backend_argument = url:{at}");
        assert_eq!(said(&format!("{url}\nmemcache_servers = {at}")).await?, []);
        let url = format!("backend_argument = url:nowhere:none\n{url}\nbackend_argument = a:b");
        let found = said(&format!("{pymemcache} $somewhere\n{url}")).await?;
        assert!(
            matches!(&found[..], [(State::Warn, text)]
                if text.contains(&format!(" at {at},"))
                    && text.ends_with("mend [cache] backend_argument = url:")),
            "{found:?}"
        );
        let pool = "backend = oslo_cache.memcache_pool\nbackend_argument = url:";
        assert_eq!(said(&format!("{pool}{at},{at}")).await?.len(), 2);
        let found = said(&format!("{pymemcache} {at}, unix:/nowhere/at/all")).await?;
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].1.contains(&format!(" at {at},")), "{found:?}");
        assert!(found[1].1.contains("unix:/nowhere"), "{found:?}");
        Ok(())
    }

    #[tokio::test]
    async fn a_cache_of_another_cloud_is_named() -> Result<(), Box<dyn std::error::Error>> {
        let own = CloudId::from_spki(b"ours");
        let ours = memcached_of(Some(own.as_str())).await?;
        let others = memcached_of(Some("another")).await?;
        let said = async |options: &str| -> Result<Vec<Fault>, String> {
            let mut conf = Conf::empty();
            conf.add(&format!(
                "[cache]\nbackend = oslo_cache.memcache_pool\n{options}\n"
            ))?;
            Ok(caches(&conf, Some(&own)).await)
        };
        assert_eq!(said(&format!("memcache_servers = {ours}")).await?, []);
        let both = format!("memcache_servers = {ours},{others}");
        assert_eq!(said(&format!("{both}\nenabled = false")).await?, []);
        let found = said(&both).await?;
        assert!(
            matches!(&found[..], [(State::Fail, text)]
                if text.starts_with(&format!("{others} is used by cloud another too"))),
            "{found:?}"
        );
        Ok(())
    }
}
