//! What in `keystone.conf` keeps the plugin from what it promises.
//!
//! Only what is written there is judged: what an option is by default is Keystone's affair. A value
//! that refers to another one (`$name`) is not followed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use alliance_core::label::clean;

use super::conf::Conf;
use super::{Fault, State, signing, staleness, values};
use crate::config::Config;
use crate::daemon::SNAPSHOT;

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
/// Where Keystone's own providers are, which older configurations name by their classes.
const CLASSES: &str = "keystone.token.providers.";
/// The plugin's default of `[alliance] admin_roles`.
const ADMIN: &str = "admin";

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

/// What else of Keystone's is looked at, beside drivers and what [`values::OF_KEYSTONE`] has.
const FURTHER: [(&str, &str); 7] = [
    ("token", "provider"),
    ("auth", "methods"),
    ("cache", "backend"),
    ("cache", "memcache_servers"),
    ("cache", "backend_argument"),
    ("jwt_tokens", "jws_public_key_repository"),
    ("jwt_tokens", "jws_private_key_repository"),
];

/// Keystone's options.
pub(super) struct KeystoneConf(pub(super) Conf);

impl KeystoneConf {
    pub(super) fn is_ours(&self, section: &str, option: &str) -> bool {
        self.0.text(section, option).as_deref() == Some("alliance")
    }

    /// What is wrong.
    pub(super) fn faults(&self, config: &Config) -> Vec<Fault> {
        let mut found = values::commented(&self.0, looked_at());
        found.extend(values::refused(&self.0, &values::OF_KEYSTONE));
        found.extend(self.provider());
        found.extend(self.inner_provider());
        let (socket, snapshot) = (
            &config.delegate.socket,
            config.cloud.state_dir.join(SNAPSHOT),
        );
        found.extend(self.place("socket", "/run/alliance/delegate.sock", socket));
        found.extend(self.place("snapshot", "/var/lib/alliance/keystone.json", &snapshot));
        found.extend(self.owner(config));
        found.extend(self.unknown());
        found.extend(staleness::faults(&self.0, config));
        for (section, lost) in DRIVERS {
            if !self.is_ours(section, "driver") {
                let detail = format!("{lost}: set [{section}] driver = alliance");
                found.push((State::Warn, detail));
            }
        }
        found.extend(self.methods());
        found.extend(self.powers());
        found.extend(self.admin_roles(config));
        found.extend(signing::without_keys(self));
        found.extend(signing::fault(self, config));
        found
    }

    fn provider(&self) -> Option<Fault> {
        if self.is_ours("token", "provider") {
            return None;
        }
        let was = self.0.text("token", "provider");
        let inner = self.0.text("alliance", "inner_provider");
        // What asks the plugin is no provider for the plugin to ask.
        let inner = [was, inner].into_iter().flatten().find(|one| {
            let one = one.to_lowercase();
            !one.starts_with("alliance") && !one.starts_with("keystone_alliance")
        });
        let inner = inner.as_deref().map_or("fernet", of_class);
        let detail = format!(
            "Keystone knows no foreign tokens: set [token] provider = alliance and [alliance] inner_provider = {}",
            clean(inner, 64)
        );
        Some((State::Fail, detail))
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
            _ if inner.starts_with(CLASSES) => (
                State::Fail,
                "Keystone knows its providers by name, not by class, and does not start",
            ),
            _ => (State::Warn, "nobody has tried it with Alliance"),
        };
        let named = of_class(&inner);
        let supported = INNER.into_iter().find(|one| *one == named);
        let detail = format!(
            "{why}: set [alliance] inner_provider = {} in place of {}",
            supported.unwrap_or("fernet"),
            clean(&inner, 64)
        );
        Some((state, detail))
    }

    /// Whether the plugin looks where the daemon is.
    fn place(&self, option: &str, default: &str, daemons: &Path) -> Option<Fault> {
        let theirs = self.0.text("alliance", option);
        let theirs = theirs.as_deref().unwrap_or(default);
        if theirs.contains('$') || real(Path::new(theirs)) == real(daemons) {
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

/// The options that are looked at, by section and name.
fn looked_at() -> BTreeSet<(&'static str, &'static str)> {
    let drivers = DRIVERS.map(|(section, _)| (section, "driver"));
    let plugins = OPTIONS.map(|option| ("alliance", option));
    let values = values::OF_KEYSTONE.iter().map(values::Rule::names);
    let others = drivers.into_iter().chain(plugins).chain(FURTHER);
    values.chain(others).collect()
}

/// The name of a provider that is named by its class in Keystone; any other name as it is.
fn of_class(provider: &str) -> &str {
    let class = provider.strip_prefix(CLASSES);
    let name = class.and_then(|class| class.split('.').next());
    name.unwrap_or(provider)
}

/// Where a file is behind all symbolic links, or will be, as far as its folders are there.
fn real(path: &Path) -> PathBuf {
    let beside = || {
        let (folder, name) = (path.parent()?, path.file_name()?);
        Some(real(folder).join(name))
    };
    // From where Keystone takes one that is not absolute is not known.
    let found = path.is_absolute().then(|| fs::canonicalize(path).ok());
    let found = found.map(|found| found.or_else(beside));
    found.flatten().unwrap_or_else(|| path.to_owned())
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
    fn a_file_is_the_same_by_each_of_its_paths() -> Outcome {
        let folder = tempfile::tempdir()?;
        let [run, var] = ["run", "var"].map(|name| folder.path().join(name));
        fs::create_dir(&run)?;
        std::os::unix::fs::symlink(&run, &var)?;
        let mut config = config_in(&run.join("state"))?;
        config.delegate.socket = run.join("alliance/d.sock");
        let said = |folder: &Path| -> Result<Vec<Fault>, String> {
            let mut conf = Conf::empty();
            conf.add(WELL)?;
            let folder = folder.display();
            conf.add(&format!(
                "[alliance]\nsocket = {folder}/alliance/d.sock\nsnapshot = {folder}/state/keystone.json\n"
            ))?;
            Ok(KeystoneConf(conf).faults(&config))
        };
        assert_eq!(said(&run)?, []);
        assert_eq!(said(&var)?, [], "neither is there yet");
        fs::create_dir(run.join("alliance"))?;
        assert_eq!(said(&var)?, [], "its folder is there");
        fs::write(&config.delegate.socket, "")?;
        assert_eq!(said(&var)?, []);
        assert_eq!(said(folder.path())?.len(), 2);
        Ok(())
    }

    #[test]
    fn a_comment_behind_a_value_is_named_and_what_was_meant_is_judged() -> Outcome {
        for (option, written) in [
            (
                "[token] provider",
                "[token]\nprovider = alliance  # foreign",
            ),
            ("[token] cache_time", "[token]\ncache_time = 30 # seconds"),
            (
                "[alliance] inner_provider",
                "[alliance]\ninner_provider = fernet ; as before",
            ),
            (
                "[alliance] tag_tokens",
                "[alliance]\ntag_tokens = true # all",
            ),
            ("[trust] driver", "[trust]\ndriver = alliance # no trusts"),
            (
                "[auth] methods",
                "[auth]\nmethods = password,\n  # of guests\n  alliance",
            ),
            (
                "[cache] memcache_servers",
                "[cache]\nmemcache_servers = 10.0.0.1:11211 # ours",
            ),
        ] {
            let found = findings(written)?;
            let words = format!("{option}: what stands behind ");
            assert!(
                matches!(&found[..], [(State::Fail, text)]
                    if text.starts_with(&words) && text.contains("on a line of its own")),
                "{written}: {found:?}"
            );
        }
        let wrong = findings("[token]\ncache_time = 600 # ten minutes")?;
        assert!(
            wrong[1].1.contains("tokens of partners are refused"),
            "{wrong:?}"
        );
        Ok(())
    }

    #[test]
    fn no_provider_is_advised_that_asks_the_plugin_or_is_a_class() -> Outcome {
        for (written, advised) in [
            (
                "provider = keystone.token.providers.fernet.Provider",
                "fernet",
            ),
            (
                "provider = keystone.token.providers.jws.core.Provider",
                "jws",
            ),
            ("provider = alliance, fernet", "fernet"),
            ("provider = Alliance", "fernet"),
            (
                "provider = keystone_alliance.token.Provider\n[alliance]\ninner_provider = jws",
                "jws",
            ),
            ("provider =", "fernet"),
        ] {
            let mut conf = Conf::empty();
            conf.add(&format!("[token]\n{written}\n"))?;
            let (_, said) = KeystoneConf(conf).provider().ok_or("a fault")?;
            let end = format!("[alliance] inner_provider = {advised}");
            assert!(said.ends_with(&end), "{written}: {said}");
        }
        let class = "[alliance]\ninner_provider = keystone.token.providers.jws.Provider";
        let found = findings(class)?;
        assert!(
            matches!(&found[..], [(State::Fail, text)]
                if text.contains("set [alliance] inner_provider = jws in place of")),
            "{found:?}"
        );
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
            ("[token]\ncache_time = 3_600", Fail, "for 3600 s"),
            ("[token]\ncache_time =", Fail, "for 600 s"),
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
        let unsigned =
            "[alliance]\ninner_provider = jws\n[jwt_tokens]\njws_public_key_repository = /nowhere";
        let found = findings(unsigned)?;
        // It may be that only this machine has none.
        let is_named = |(state, text): &Fault| *state == Warn && text.contains("/nowhere is not");
        assert!(found.iter().any(is_named), "{found:?}");
        let off = "[token]\ncaching = off\ncache_on_issue = off\ncache_time = 600";
        assert_eq!(findings(off)?.len(), 1);
        Ok(())
    }
}
