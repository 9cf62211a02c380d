//! What in a service's `[keystone_authtoken]` keeps tokens that have ended alive there.

use super::conf::Conf;
use super::{Fault, State};
use crate::config::Config;

const SECTION: &str = "keystone_authtoken";
/// keystonemiddleware's default of `token_cache_time`, in seconds.
const CACHE_TIME: i64 = 300;
/// Where memcached listens unless something else is said.
const PORT: &str = "11211";

/// What is wrong.
pub(super) fn faults(conf: &Conf, config: &Config) -> Vec<Fault> {
    let mut found = Vec::new();
    let mut warn = |detail: String| found.push((State::Warn, detail));
    let time = conf.number(SECTION, "token_cache_time");
    let time = time.unwrap_or(CACHE_TIME);
    if time < 0 {
        return found;
    }
    let lasts = format!("tokens that have ended work there for up to {time} s more");
    // The older name counts where the newer is absent.
    let servers = conf.list(SECTION, "memcached_servers");
    let servers = servers.or_else(|| conf.list(SECTION, "memcache_servers"));
    let Some(servers) = servers else {
        warn(format!(
            "each of its processes keeps tokens by itself, where nobody can drop them: {lasts}; set [{SECTION}] memcached_servers"
        ));
        return found;
    };
    let swept: Vec<_> = config
        .services
        .memcached
        .iter()
        .map(|each| address(each))
        .collect();
    for server in servers.iter().map(|each| address(each)) {
        if !server.contains('$') && !swept.contains(&server) {
            warn(format!(
                "the daemon does not know that it keeps tokens in {server}: {lasts}; add it to [services] memcached of the daemon"
            ));
        }
    }
    let strategy = conf.text(SECTION, "memcache_security_strategy");
    if strategy.is_some_and(|strategy| !strategy.eq_ignore_ascii_case("none")) {
        warn(format!(
            "[{SECTION}] memcache_security_strategy hides tokens from the daemon too: {lasts}; take it out where the network of memcached is private, or make token_cache_time shorter"
        ));
    }
    found
}

/// As `host:port`, however it is spelled.
fn address(server: &str) -> String {
    let server = server.strip_prefix("inet:").unwrap_or(server);
    if server.contains(':') {
        server.to_owned()
    } else {
        format!("{server}:{PORT}")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::doctor::tests::config_with;

    fn found(options: &str) -> Result<Vec<Fault>, Box<dyn std::error::Error>> {
        let services = r#"
        [services]
        memcached = ["10.0.0.1:11211", "10.0.0.2:11211"]
        "#;
        let config = config_with(Path::new("/var/lib/alliance"), services)?;
        let mut conf = Conf::empty();
        conf.add(format!("[keystone_authtoken]\n{options}\n"))?;
        Ok(faults(&conf, &config))
    }

    #[test]
    fn nothing_is_found_where_tokens_can_be_taken_back() -> Result<(), Box<dyn std::error::Error>> {
        for fine in [
            "memcached_servers = 10.0.0.1:11211",
            "memcached_servers = inet:10.0.0.1:11211,10.0.0.2",
            "memcache_servers = 10.0.0.2:11211\nmemcache_security_strategy = None",
            "memcached_servers = $elsewhere",
            "token_cache_time = -1",
        ] {
            assert_eq!(found(fine)?, [], "{fine}");
        }
        Ok(())
    }

    #[test]
    fn what_keeps_ended_tokens_is_named_with_what_mends_it()
    -> Result<(), Box<dyn std::error::Error>> {
        for (wrong, mended) in [
            ("", "set [keystone_authtoken] memcached_servers"),
            ("token_cache_time = 600", "600 s"),
            (
                "memcached_servers = 10.0.0.1:11211,10.0.0.3:11211",
                "10.0.0.3:11211",
            ),
            (
                "memcached_servers = 10.0.0.1:11211\nmemcache_security_strategy = MAC",
                "memcache_security_strategy",
            ),
        ] {
            let found = found(wrong)?;
            assert_eq!(found.len(), 1, "{wrong}: {found:?}");
            assert!(found[0].1.contains(mended), "{wrong}: {found:?}");
        }
        Ok(())
    }
}
