//! What in `keystone.conf` keeps the plugin from what it promises.
//!
//! Only what is written there is judged: what an option is by default is Keystone's affair. A value
//! that refers to another one (`$name`) is not followed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use alliance_core::label::clean;

use super::conf::Conf;
use super::{Fault, State, signing, values};
use crate::config::Config;
use crate::daemon::{SNAPSHOT, key_files};

/// Drivers, each with what is lost without it.
const DRIVERS: [(&str, &str); 8] = [
    ("catalog", "nobody sees partners' regions"),
    ("revoke", "partners hear later of what ends here"),
    (
        "assignment",
        "partners hear later that somebody has lost a role",
    ),
    (
        "application_credential",
        "guests make application credentials that outlive their login",
    ),
    (
        "credential",
        "guests make EC2 and TOTP credentials that outlive their login",
    ),
    ("trust", "guests make trusts that outlive their login"),
    (
        "oauth1",
        "guests make OAuth tokens that outlive their login",
    ),
    (
        "federation",
        "protocols can be added to partners' identity providers",
    ),
];
/// Providers whose tokens partners may validate by their signature, or ask about.
const INNER: [&str; 2] = ["fernet", "jws"];
/// Keystone's default of `[alliance] max_staleness`.
const MAX_STALENESS: i64 = 60;
/// The longest that services remember tokens by default, in seconds: no promise is kept beyond.
const LONG: Duration = Duration::from_secs(300);
/// The plugin's default of `[alliance] admin_roles`.
const ADMIN: &str = "admin";
/// And of `[jwt_tokens] jws_public_key_repository`.
const JWS_KEYS: &str = "/etc/keystone/jws-keys/public";

/// What the plugin knows in `[alliance]`.
const OPTIONS: [&str; 12] = [
    "inner_provider",
    "socket",
    "snapshot",
    "socket_owners",
    "tag_tokens",
    "accept_untagged",
    "worker_threads",
    "deadline",
    "max_staleness",
    "clock_skew",
    "admin_roles",
    "grant_admin_roles",
];

/// Keystone's options.
pub(super) struct KeystoneConf(pub(super) Conf);

impl KeystoneConf {
    fn is_ours(&self, section: &str, option: &str) -> bool {
        self.0.text(section, option).as_deref() == Some("alliance")
    }

    /// What is wrong.
    pub(super) fn faults(&self, config: &Config) -> Vec<Fault> {
        let mut found = values::refused(&self.0, &values::OF_KEYSTONE);
        if !self.is_ours("token", "provider") {
            let was = self.0.text("token", "provider");
            let inner = was.as_deref().unwrap_or("fernet");
            let detail = format!(
                "Keystone knows no foreign tokens: set [token] provider = alliance and [alliance] inner_provider = {inner}"
            );
            found.push((State::Fail, detail));
        }
        found.extend(self.inner_provider());
        let (socket, snapshot) = (
            &config.delegate.socket,
            config.cloud.state_dir.join(SNAPSHOT),
        );
        found.extend(self.place("socket", "/run/alliance/delegate.sock", socket));
        found.extend(self.place("snapshot", "/var/lib/alliance/keystone.json", &snapshot));
        found.extend(self.owner(config));
        found.extend(self.unknown());
        found.extend(self.caches(config));
        for (section, lost) in DRIVERS {
            if !self.is_ours(section, "driver") {
                let detail = format!("{lost}: set [{section}] driver = alliance");
                found.push((State::Warn, detail));
            }
        }
        found.extend(self.methods());
        found.extend(self.powers());
        found.extend(self.admin_roles(config));
        found.extend(signing::fault(self, config));
        found
    }

    /// Whether its own tokens are signed, which partners are to know.
    pub(super) fn signs(&self) -> bool {
        let inner = self.0.text("alliance", "inner_provider");
        self.is_ours("token", "provider") && inner.is_some_and(|inner| inner == "jws")
    }

    /// Where the keys are with which that is checked.
    pub(super) fn key_folder(&self) -> String {
        let option = self.0.text("jwt_tokens", "jws_public_key_repository");
        option.unwrap_or_else(|| JWS_KEYS.to_owned())
    }

    /// The keys of which Keystone takes what they sign for a token of its own, if it has such tokens.
    pub(super) fn own_keys(&self) -> BTreeSet<String> {
        let folder = self.key_folder();
        // Without such tokens there is no such folder, and what is no key there makes no token.
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        let keys = files.filter_map(|file| key_files::read(&file.path()).ok());
        keys.flatten().map(|key| key.id().to_owned()).collect()
    }

    fn inner_provider(&self) -> Option<Fault> {
        let inner = self.0.text("alliance", "inner_provider")?;
        if INNER.contains(&inner.as_str()) {
            return None;
        }
        let (state, why) = match inner.as_str() {
            "alliance" => (
                State::Fail,
                "it would ask itself, and no token is made at all",
            ),
            "uuid" | "pki" | "pkiz" => (State::Warn, "that format is for labs"),
            _ => (State::Warn, "nobody has tried it with Alliance"),
        };
        let detail = format!("{why}: set [alliance] inner_provider = fernet in place of {inner}");
        Some((state, detail))
    }

    /// Whether the plugin looks where the daemon is.
    fn place(&self, option: &str, default: &str, daemons: &Path) -> Option<Fault> {
        let theirs = self.0.text("alliance", option);
        let theirs = theirs.as_deref().unwrap_or(default);
        if theirs.contains('$') || Path::new(theirs) == daemons {
            return None;
        }
        let detail = format!(
            "Keystone looks for the daemon's {option} at {theirs}, where it is not: set [alliance] {option} = {}",
            daemons.display()
        );
        Some((State::Fail, detail))
    }

    /// Whether the plugin speaks to a daemon that has a user of its own.
    fn owner(&self, config: &Config) -> Option<Fault> {
        config.delegate.group.as_ref()?;
        let uid = fs::symlink_metadata(&config.delegate.socket).ok()?.uid();
        let name = nix::unistd::User::from_uid(uid.into()).ok().flatten();
        let name = name.map_or_else(|| uid.to_string(), |user| user.name);
        let owners = self.0.list("alliance", "socket_owners").unwrap_or_default();
        if uid == 0
            || owners
                .iter()
                .any(|one| *one == name || *one == uid.to_string())
        {
            return None;
        }
        let detail = format!(
            "the socket belongs to {name}, to whom Keystone does not speak unless it runs as that user: nobody's token is let in; set [alliance] socket_owners = {name}"
        );
        Some((State::Warn, detail))
    }

    /// What somebody may have meant as something else.
    fn unknown(&self) -> Option<Fault> {
        let options = self.0.options("alliance").into_iter();
        let unknown: Vec<_> = options
            .filter(|name| !OPTIONS.contains(&name.as_str()))
            .map(|name| clean(&name, 64))
            .collect();
        (!unknown.is_empty()).then(|| {
            let detail = format!(
                "the plugin knows no option {} in [alliance], and does as if it were not there; its options: {}",
                unknown.join(", "),
                OPTIONS.join(", ")
            );
            (State::Warn, detail)
        })
    }

    /// Why nothing is remembered, if so.
    fn uncached(&self) -> Option<&'static str> {
        let backend = self.0.text("cache", "backend").unwrap_or_default();
        if self.0.flag("cache", "enabled") == Some(false) {
            Some("set [cache] enabled = true, and a backend")
        } else if backend.is_empty() || backend == "dogpile.cache.null" {
            Some("set [cache] backend = dogpile.cache.pymemcache, and memcache_servers")
        } else if self.0.flag("token", "caching") == Some(false) {
            Some("set [token] caching = true")
        } else {
            None
        }
    }

    /// Where things are remembered, if they are.
    fn backend(&self) -> Option<String> {
        let backend = self.0.text("cache", "backend");
        let backend = backend.filter(|_| self.0.flag("cache", "enabled") != Some(false));
        backend.filter(|backend| backend != "dogpile.cache.null")
    }

    /// Whether `[token] cache_time` counts: also where nothing is remembered but what is issued.
    fn is_cache_time_used(&self) -> bool {
        let is_off = |section, option| self.0.flag(section, option) == Some(false);
        let forgets = is_off("token", "caching") && is_off("token", "cache_on_issue");
        !is_off("cache", "enabled") && !forgets
    }

    fn caches(&self, config: &Config) -> Vec<Fault> {
        let mut found = Vec::new();
        let staleness = self.0.number("alliance", "max_staleness");
        let time = self.0.number("token", "cache_time");
        if let Some(mended) = self.uncached() {
            let detail = format!("partners are asked about each request of their users: {mended}");
            found.push((State::Warn, detail));
        } else if time == Some(0) && staleness != Some(0) {
            let detail = "Keystone remembers no token, and asks the daemon about each request of partners' users: take [token] cache_time out, and the plugin makes it a little less than [alliance] max_staleness";
            found.push((State::Warn, detail.to_owned()));
        } else if time.is_none() {
            found.extend(staleness.and_then(|staleness| promise(staleness, config)));
        }
        let staleness = staleness.unwrap_or(MAX_STALENESS);
        if let Some(time) = time.filter(|time| *time > staleness)
            && self.is_cache_time_used()
        {
            let detail = format!(
                "tokens of partners are refused, since Keystone would remember them for {time} s: take [token] cache_time out, or set it to at most [alliance] max_staleness ({staleness})"
            );
            found.push((State::Fail, detail));
        }
        let backend = self.backend().unwrap_or_default();
        if backend.starts_with("dogpile.cache.memory") || backend == "oslo_cache.dict" {
            let detail = "each of Keystone's processes remembers by itself, so that what is suspended or has ended is served by the others: set [cache] backend = dogpile.cache.pymemcache, and memcache_servers";
            found.push((State::Warn, detail.to_owned()));
        }
        if self.0.flag("revoke", "caching") == Some(true) && !backend.is_empty() {
            let detail = "after some 5,000 events Keystone tells nobody any more what has ended, for memcached takes no list so long: set [revoke] caching = false";
            found.push((State::Warn, detail.to_owned()));
        }
        found
    }

    /// As Keystone has them by default, or as somebody wrote them.
    fn methods(&self) -> Option<Fault> {
        let Some(methods) = self.0.list("auth", "methods") else {
            let detail = "logins by passport are refused, since Keystone's own list of methods has no alliance: where they are needed, set [auth] methods to that list and alliance, as external,password,token,oauth1,mapped,application_credential,alliance";
            return Some((State::Note, detail.to_owned()));
        };
        let has_ours = methods.iter().any(|one| one == "alliance");
        (!has_ours).then(|| {
            let detail =
                "logins by passport are refused: add alliance to [auth] methods".to_owned();
            (State::Warn, detail)
        })
    }

    /// Whether Keystone and the daemon hold the same roles to be an administrator's.
    fn admin_roles(&self, config: &Config) -> Vec<Fault> {
        let is_written = self
            .0
            .options("alliance")
            .iter()
            .any(|name| name == "admin_roles");
        let theirs = match self.0.list("alliance", "admin_roles") {
            Some(roles) => roles.into_iter().collect(),
            None if is_written => BTreeSet::new(),
            None => BTreeSet::from([ADMIN.to_owned()]),
        };
        let ours: BTreeSet<_> = config.tokens.admin_roles.iter().cloned().collect();
        if theirs.iter().any(|role| role.contains('$')) {
            return Vec::new();
        }
        let all: Vec<_> = ours.union(&theirs).cloned().collect();
        let missing = |from: &BTreeSet<String>| {
            let missing = all.iter().filter(|role| !from.contains(*role));
            let missing: Vec<_> = missing.map(|role| clean(role, 64)).collect();
            (!missing.is_empty()).then(|| missing.join(", "))
        };
        let keystone = missing(&theirs).map(|roles| {
            let all = all.join(",");
            format!("Keystone holds {roles} to be no administrator's, and the daemon does: users of partners get it here though no agreement names it; set [alliance] admin_roles = {all}")
        });
        let daemon = missing(&ours).map(|roles| {
            format!("the daemon holds {roles} to be no administrator's, and Keystone does: tokens with it are shown to partners; set [tokens] admin_roles = {all:?} in its configuration")
        });
        let found = [keystone, daemon].into_iter().flatten();
        found.map(|detail| (State::Warn, detail)).collect()
    }

    fn powers(&self) -> Vec<Fault> {
        let mut found = Vec::new();
        if self.0.flag("alliance", "grant_admin_roles") == Some(true) {
            let detail = "whoever breaks into the daemon can make partners' users administrators here: set [alliance] grant_admin_roles = false unless an agreement names such a role";
            found.push((State::Note, detail.to_owned()));
        }
        if self.0.flag("alliance", "tag_tokens") != Some(true) {
            let detail = "no partner can tell whose the tokens of this cloud are: when all nodes have the plugin, set [alliance] tag_tokens = true";
            found.push((State::Warn, detail.to_owned()));
        }
        found
    }
}

/// What to say if what Keystone remembers by `[alliance] max_staleness` outlasts what the daemon promises.
fn promise(staleness: i64, config: &Config) -> Option<Fault> {
    let most = config.tokens.max_staleness.min(LONG);
    let lasts = Duration::from_secs(u64::try_from(staleness).ok()?);
    let mended = most.as_secs().min(MAX_STALENESS.unsigned_abs());
    (lasts > most).then(|| {
        let detail = format!(
            "tokens of partners that have ended work here for up to {staleness} s more, since Keystone remembers them for so long: set [alliance] max_staleness = {mended}"
        );
        (State::Warn, detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::tests::config_in;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// As the guide has it, when tokens are tagged.
    const WELL: &str = "
[token]
provider = alliance
[auth]
methods = external,password,token,
  application_credential,alliance
[cache]
enabled = true
backend = dogpile.cache.pymemcache
[catalog]
driver = alliance
[revoke]
driver = alliance
[assignment]
driver = alliance
[application_credential]
driver = alliance
[credential]
driver = alliance
[trust]
driver = alliance
[oauth1]
driver = alliance
[federation]
driver = alliance
[database]
connection = mysql+pymysql://keystone:a#b;c@127.0.0.1/keystone
[alliance]
inner_provider = fernet
tag_tokens = True
";

    fn findings(further: &str) -> Result<Vec<Fault>, Box<dyn std::error::Error>> {
        let config = config_in(Path::new("/var/lib/alliance"))?;
        let mut conf = Conf::empty();
        conf.add(WELL)?;
        conf.add(further)?;
        Ok(KeystoneConf(conf).faults(&config))
    }

    #[test]
    fn nothing_is_found_where_all_is_as_the_guide_has_it() -> Outcome {
        assert_eq!(findings("")?, []);
        assert_eq!(findings("[token]\ncache_time = 60\n")?, []);
        for fine in [
            "[alliance]\nsocket = $rundir/d.sock\n",
            "[alliance]\nmax_staleness = 30\nadmin_roles = admin\n",
            "[alliance]\nmax_staleness = 0\n[token]\ncache_time = 0\n",
            "[alliance]\nmax_staleness = 600\n[token]\ncache_time = 60\n",
            "[revoke]\ncaching = false\n",
        ] {
            assert_eq!(findings(fine)?, [], "{fine}");
        }
        Ok(())
    }

    #[test]
    fn the_plugins_options_are_those_that_it_has() {
        let source = include_str!("../../../../../keystone-plugin/keystone_alliance/options.py");
        let lines: Vec<_> = source.lines().map(str::trim).collect();
        let named = lines.windows(2).filter_map(|pair| match pair {
            [option, name] if option.starts_with("cfg.") && option.ends_with("Opt(") => {
                Some(name.trim_matches(['\'', ',']))
            }
            _ => None,
        });
        assert_eq!(named.collect::<Vec<_>>(), OPTIONS);
    }

    #[test]
    fn a_daemon_to_whom_keystone_does_not_speak_is_named() -> Outcome {
        let folder = tempfile::tempdir()?;
        let mut config = config_in(folder.path())?;
        config.delegate.socket = folder.path().join("d.sock");
        config.delegate.group = Some("any".into());
        fs::write(&config.delegate.socket, "")?;
        let owner = |options: &str| -> Result<Option<Fault>, String> {
            let mut conf = Conf::empty();
            conf.add(&format!("[alliance]\n{options}\n"))?;
            Ok(KeystoneConf(conf).owner(&config))
        };
        if nix::unistd::geteuid().is_root() {
            assert_eq!(owner("")?, None, "root may");
            std::os::unix::fs::chown(&config.delegate.socket, Some(12_345), None)?;
        }
        let uid = fs::symlink_metadata(&config.delegate.socket)?.uid();
        let said = owner("socket_owners = someone, 54321")?.map(|(_, text)| text);
        let said = said.unwrap_or_default();
        assert!(said.contains("set [alliance] socket_owners = "), "{said}");
        assert_eq!(owner(&format!("socket_owners = {uid}"))?, None);
        Ok(())
    }

    #[test]
    fn each_mistake_is_named_with_what_mends_it() -> Outcome {
        use State::{Fail, Warn};
        for (mistake, state, mended) in [
            ("[token]\nprovider = jws", Fail, "inner_provider = jws"),
            ("[token]\ncache_time = 61", Fail, "[token] cache_time"),
            (
                "[token]\ncache_time = 50\n[alliance]\nmax_staleness = 40",
                Fail,
                "max_staleness (40)",
            ),
            ("[token]\ncache_time = '61'", Fail, "[token] cache_time"),
            ("[cache]\nenabled = no", Warn, "[cache] enabled = true"),
            ("[cache]\nbackend =", Warn, "[cache] backend ="),
            (
                "[cache]\nbackend = dogpile.cache.null",
                Warn,
                "[cache] backend =",
            ),
            (
                "[cache]\nbackend = dogpile.cache.memory",
                Warn,
                "[cache] backend =",
            ),
            (
                "[cache]\nbackend = oslo_cache.dict",
                Warn,
                "[cache] backend =",
            ),
            ("[token]\ncaching = off", Warn, "[token] caching = true"),
            ("[token]\ncache_time = 0", Warn, "[token] cache_time out"),
            ("[token]\ncache_time = 60s", Fail, "is no number"),
            (
                "[alliance]\nmax_staleness = 61",
                Warn,
                "[alliance] max_staleness = 60",
            ),
            (
                "[revoke]\ncaching = true",
                Warn,
                "set [revoke] caching = false",
            ),
            ("[auth]\nmethods =", State::Note, "set [auth] methods"),
            (
                "[alliance]\nadmin_roles =",
                Warn,
                "set [alliance] admin_roles = admin",
            ),
            (
                "[alliance]\nadmin_roles = root, admin",
                Warn,
                "set [tokens] admin_roles = [\"admin\", \"root\"]",
            ),
            ("[alliance]\nmax_stalenes = 9", Warn, "max_staleness"),
            ("[catalog]\ndriver = sql", Warn, "[catalog] driver"),
            ("[assignment]\ndriver = sql", Warn, "[assignment] driver"),
            ("[trust]\ndriver =", Warn, "[trust] driver"),
            ("[federation]\ndriver = sql", Warn, "[federation] driver"),
            ("[auth]\nmethods = password,token", Warn, "[auth] methods"),
            ("[alliance]\ninner_provider = alliance", Fail, "fernet"),
            ("[alliance]\ninner_provider = pkiz", Warn, "fernet"),
            ("[alliance]\ninner_provider = homemade", Warn, "fernet"),
            (
                "[alliance]\nsocket = /tmp/d.sock",
                Fail,
                "socket = /run/alliance/delegate.sock",
            ),
            (
                "[alliance]\nsnapshot = /tmp/s.json",
                Fail,
                "snapshot = /var/lib/alliance/keystone.json",
            ),
            (
                "[alliance]\ngrant_admin_roles = true",
                State::Note,
                "grant_admin_roles = false",
            ),
            ("[alliance]\ntag_tokens = 0", Warn, "tag_tokens = true"),
        ] {
            let found = findings(mistake)?;
            assert_eq!(found.len(), 1, "{mistake}: {found:?}");
            assert!(
                found[0].0 == state && found[0].1.contains(mended),
                "{mistake}: {found:?}"
            );
        }
        for two in [
            "[revoke]\ndriver = sql\ncaching = true",
            "[token]\ncaching = off\ncache_time = 600",
            "[alliance]\nadmin_roles = root",
        ] {
            let found = findings(two)?;
            assert_eq!(found.len(), 2, "{two}: {found:?}");
        }
        let off = "[token]\ncaching = off\ncache_on_issue = off\ncache_time = 600";
        assert_eq!(findings(off)?.len(), 1);
        Ok(())
    }
}
