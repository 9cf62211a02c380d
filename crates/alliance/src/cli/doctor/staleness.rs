//! For how long Keystone goes on by what it remembers of partners' tokens, and how.

use std::time::Duration;

use super::conf::Conf;
use super::{Fault, State};
use crate::config::Config;

/// The plugin's default of `[alliance] max_staleness`.
const MAX_STALENESS: i64 = 60;
/// What `[token] cache_time` is while it is there and empty: oslo.cache's default of `[cache]
/// expiration_time`, in seconds.
const EXPIRATION_TIME: i64 = 600;
/// The longest that services remember tokens by default, in seconds: no promise is kept beyond.
const LONG: Duration = Duration::from_secs(300);

/// What is wrong with what is remembered.
pub(super) fn faults(conf: &Conf, config: &Config) -> Vec<Fault> {
    let mut found = Vec::new();
    let (staleness, time) = (max_staleness(conf), cache_time(conf));
    if let Some(mended) = uncached(conf) {
        let detail = format!("partners are asked about each request of their users: {mended}");
        found.push((State::Warn, detail));
    } else if time == Some(0) && staleness != Some(0) {
        let detail = "Keystone remembers no token, and asks the daemon about each request of partners' users: take [token] cache_time out, and the plugin makes it a little less than [alliance] max_staleness";
        found.push((State::Warn, detail.to_owned()));
    } else {
        found.extend(promise(conf, config));
    }
    if let (Some(time), Some(staleness)) = (time, staleness)
        && time > staleness
        && is_cache_time_used(conf)
    {
        let detail = format!(
            "tokens of partners are refused, since Keystone would remember them for {time} s: take [token] cache_time out, or set it to at most [alliance] max_staleness ({staleness})"
        );
        found.push((State::Fail, detail));
    }
    let backend = backend(conf).unwrap_or_default();
    if backend.starts_with("dogpile.cache.memory") || backend == "oslo_cache.dict" {
        let detail = "each of Keystone's processes remembers by itself, so that what is suspended or has ended is served by the others: set [cache] backend = dogpile.cache.pymemcache, and memcache_servers";
        found.push((State::Warn, detail.to_owned()));
    }
    if conf.flag("revoke", "caching") == Some(true) && !backend.is_empty() {
        let detail = "after some 5,000 events Keystone tells nobody any more what has ended, for memcached takes no list so long: set [revoke] caching = false";
        found.push((State::Warn, detail.to_owned()));
    }
    found
}

/// Why nothing is remembered, if so.
fn uncached(conf: &Conf) -> Option<&'static str> {
    let backend = conf.text("cache", "backend").unwrap_or_default();
    if conf.flag("cache", "enabled") == Some(false) {
        Some("set [cache] enabled = true, and a backend")
    } else if backend.is_empty() || backend == "dogpile.cache.null" {
        Some("set [cache] backend = dogpile.cache.pymemcache, and memcache_servers")
    } else if conf.flag("token", "caching") == Some(false) {
        Some("set [token] caching = true")
    } else {
        None
    }
}

/// Where things are remembered, if they are.
fn backend(conf: &Conf) -> Option<String> {
    let backend = conf.text("cache", "backend");
    let backend = backend.filter(|_| conf.flag("cache", "enabled") != Some(false));
    backend.filter(|backend| backend != "dogpile.cache.null")
}

/// Whether `[token] cache_time` counts: also where nothing is remembered but what is issued.
fn is_cache_time_used(conf: &Conf) -> bool {
    let is_off = |section, option| conf.flag(section, option) == Some(false);
    let forgets = is_off("token", "caching") && is_off("token", "cache_on_issue");
    !is_off("cache", "enabled") && !forgets
}

/// `[alliance] max_staleness`, if that is a number.
fn max_staleness(conf: &Conf) -> Option<i64> {
    match conf.has("alliance", "max_staleness") {
        true => conf.number("alliance", "max_staleness"),
        false => Some(MAX_STALENESS),
    }
}

/// `[token] cache_time`, if somebody set it to a number. Where it is absent, the plugin makes it less
/// than `max_staleness`, but not where it is empty.
fn cache_time(conf: &Conf) -> Option<i64> {
    let is_empty = conf.text("token", "cache_time").is_none();
    if is_empty && conf.has("token", "cache_time") {
        let time = conf.number("cache", "expiration_time");
        return Some(time.unwrap_or(EXPIRATION_TIME));
    }
    conf.number("token", "cache_time")
}

/// What to say if Keystone goes on for longer by what it remembers than the daemon promises.
fn promise(conf: &Conf, config: &Config) -> Option<Fault> {
    let staleness = max_staleness(conf)?;
    let is_set = conf.has("token", "cache_time");
    let (lasts, first) = match is_set {
        // Above it nothing is remembered: tokens of partners are refused.
        true => (
            cache_time(conf).filter(|time| *time <= staleness)?,
            "take [token] cache_time out, and ",
        ),
        false => (staleness, ""),
    };
    let promised = config.tokens.max_staleness;
    let whose = match promised <= LONG {
        true => "the daemon's [tokens] max_staleness",
        false => "as long as services remember them by default",
    };
    let most = promised.min(LONG);
    let mended = most.as_secs().min(MAX_STALENESS.unsigned_abs());
    let is_long = Duration::from_secs(u64::try_from(lasts).ok()?) > most;
    is_long.then(|| {
        let detail = format!(
            "tokens of partners that have ended work here for longer than {} s ({whose}), since Keystone remembers them for up to {lasts} s: {first}set [alliance] max_staleness = {mended}",
            most.as_secs_f64()
        );
        (State::Warn, detail)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::doctor::tests::config_with;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// By a daemon with this `max_staleness`.
    fn found(daemons: u32, keystones: &str) -> Result<Vec<Fault>, Box<dyn std::error::Error>> {
        let tokens = format!("[tokens]\nmax_staleness = {daemons}");
        let config = config_with(Path::new("/var/lib/alliance"), &tokens)?;
        let mut conf = Conf::empty();
        conf.add("[cache]\nenabled = true\nbackend = dogpile.cache.pymemcache\n")?;
        conf.add(keystones)?;
        Ok(faults(&conf, &config))
    }

    #[test]
    fn a_keystone_that_remembers_for_longer_than_the_daemon_promises_is_named() -> Outcome {
        for (daemons, keystones, mended) in [
            (20, "", "up to 60 s: set [alliance] max_staleness = 20"),
            (
                20,
                "[token]\ncache_time = 55",
                "up to 55 s: take [token] cache_time out, and set [alliance] max_staleness = 20",
            ),
            (
                20,
                "[token]\ncache_time = 5_5\n[alliance]\nmax_staleness = 60",
                "longer than 20 s (the daemon's [tokens] max_staleness)",
            ),
            (
                900,
                "[alliance]\nmax_staleness = 400",
                "longer than 300 s (as long as services",
            ),
        ] {
            let found = found(daemons, keystones)?;
            assert!(
                matches!(&found[..], [(State::Warn, text)] if text.contains(mended)),
                "{daemons} {keystones}: {found:?}"
            );
        }
        for (daemons, fine) in [
            (60, ""),
            (90, ""),
            (20, "[alliance]\nmax_staleness = 20"),
            (20, "[token]\ncache_time = 20"),
            (20, "[alliance]\nmax_staleness = $other"),
            (20, "[token]\ncache_time = $other"),
        ] {
            assert_eq!(found(daemons, fine)?, [], "{daemons} {fine}");
        }
        Ok(())
    }
}
