//! What in a service's `[keystone_authtoken]` keeps tokens that have ended alive there.

use std::collections::BTreeMap;

use super::conf::Conf;
use super::memcached::{Known, address, shared};
use super::{Fault, State, values};
use crate::config::Config;

const SECTION: &str = "keystone_authtoken";
/// What is looked at there.
const OPTIONS: [&str; 4] = [
    "token_cache_time",
    "memcached_servers",
    "memcache_servers",
    "memcache_security_strategy",
];
/// keystonemiddleware's default of `token_cache_time`, in seconds.
const CACHE_TIME: i64 = 300;

/// Where it keeps tokens, if it is somewhere.
pub(super) fn servers(conf: &Conf) -> Option<Vec<String>> {
    // The older name counts where the newer is absent.
    let servers = conf.list(SECTION, "memcached_servers");
    servers.or_else(|| conf.list(SECTION, "memcache_servers"))
}

/// What is wrong. `others`: which of its servers another cloud keeps tokens in, as `host:port`, and which
/// cloud that is.
pub(super) fn faults(
    conf: &Conf,
    config: &Config,
    others: &BTreeMap<String, String>,
) -> Vec<Fault> {
    let options = OPTIONS.map(|option| (SECTION, option));
    let mut found = values::commented(conf, options);
    found.extend(values::refused(conf, &values::OF_SERVICES));
    let mut warn = |detail: String| found.push((State::Warn, detail));
    let time = conf.number(SECTION, "token_cache_time");
    let time = time.unwrap_or(CACHE_TIME);
    let is_long = time > CACHE_TIME;
    if time < 0 {
        return found;
    }
    let lasts = match time {
        0 => "tokens that have ended work there until they would have expired".to_owned(),
        _ => format!("tokens that have ended work there for up to {time} s more"),
    };
    if time == 0 {
        warn(format!(
            "[{SECTION}] token_cache_time = 0 means without end: {lasts}, unless somebody drops them; set token_cache_time = {CACHE_TIME} or less, not 0"
        ));
    }
    let Some(servers) = servers(conf) else {
        warn(format!(
            "each of its processes keeps tokens by itself, where nobody can drop them: {lasts}; set [{SECTION}] memcached_servers"
        ));
        return found;
    };
    found.extend(of_servers(&servers, config, others, &lasts));
    let strategy = conf.text(SECTION, "memcache_security_strategy");
    if strategy.is_some_and(|strategy| !strategy.eq_ignore_ascii_case("none")) {
        let detail = format!(
            "[{SECTION}] memcache_security_strategy hides tokens from the daemon too: {lasts}; take it out where the network of memcached is private, or make token_cache_time shorter"
        );
        found.push((State::Warn, detail));
    }
    if found.is_empty() && is_long {
        let detail = format!(
            "tokens that end unseen, as when a partner's daemon is away, work there for up to {time} s more: set [{SECTION}] token_cache_time = {CACHE_TIME} or less"
        );
        found.push((State::Warn, detail));
    }
    found
}

/// What is wrong with where it keeps tokens; `lasts`: what is lost where they stay.
fn of_servers(
    servers: &[String],
    config: &Config,
    others: &BTreeMap<String, String>,
    lasts: &str,
) -> Vec<Fault> {
    let swept = Known::new(&config.services.memcached);
    let fault = |server: String| match others.get(&server) {
        Some(other) => {
            let option = "[keystone_authtoken] memcached_servers";
            Some(shared(&server, other, option))
        }
        None if server.contains('$') || swept.has(&server) => None,
        None => {
            let detail = format!(
                "the daemon does not know that it keeps tokens in {server}: {lasts}; add it to [services] memcached of the daemon"
            );
            Some((State::Warn, detail))
        }
    };
    let servers = servers.iter().map(|each| address(each));
    servers.filter_map(fault).collect()
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
        conf.add(&format!("[keystone_authtoken]\n{options}\n"))?;
        let others = BTreeMap::from([("10.0.0.9:11211".to_owned(), "another".to_owned())]);
        Ok(faults(&conf, &config, &others))
    }

    #[test]
    fn nothing_is_found_where_tokens_can_be_taken_back() -> Result<(), Box<dyn std::error::Error>> {
        for fine in [
            "memcached_servers = 10.0.0.1:11211",
            "memcached_servers = inet:10.0.0.1:11211,10.0.0.2",
            "memcache_servers = 10.0.0.2:11211\nmemcache_security_strategy = None",
            "memcached_servers = $elsewhere",
            "memcached_servers = 10.0.0.1\ntoken_cache_time = 60",
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
                "memcached_servers = 10.0.0.1:11211\ntoken_cache_time = 3600",
                "token_cache_time = 300",
            ),
            (
                "memcached_servers = 10.0.0.1:11211,10.0.0.3:11211",
                "10.0.0.3:11211",
            ),
            (
                "memcached_servers = 10.0.0.1:11211\nmemcache_security_strategy = MAC",
                "memcache_security_strategy",
            ),
            (
                "memcached_servers = 10.0.0.1:11211\ntoken_cache_time = 0",
                "token_cache_time = 300 or less, not 0",
            ),
            (
                "memcached_servers = 10.0.0.1:11211  # the first\ntoken_cache_time = 60",
                "[keystone_authtoken] memcached_servers: what stands behind #",
            ),
            (
                "memcached_servers = 10.0.0.1:11211\ntoken_cache_time = 5m",
                "token_cache_time = 5m is no number",
            ),
            (
                "memcached_servers = 10.0.0.1:11211,10.0.0.9",
                "10.0.0.9:11211 is used by cloud another too",
            ),
        ] {
            let found = found(wrong)?;
            assert_eq!(found.len(), 1, "{wrong}: {found:?}");
            assert!(found[0].1.contains(mended), "{wrong}: {found:?}");
        }
        Ok(())
    }
}
