//! What in `keystone.conf` keeps the plugin from what it promises.
//!
//! Only what is written there is judged: what an option is by default is Keystone's affair. A value
//! that refers to another one (`$name`) is not followed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::conf::Conf;
use super::{Fault, State};
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
/// And of `[jwt_tokens] jws_public_key_repository`.
const JWS_KEYS: &str = "/etc/keystone/jws-keys/public";

/// Keystone's options.
pub(super) struct KeystoneConf(pub(super) Conf);

impl KeystoneConf {
    fn is_ours(&self, section: &str, option: &str) -> bool {
        self.0.text(section, option).as_deref() == Some("alliance")
    }

    /// What is wrong.
    pub(super) fn faults(&self, config: &Config) -> Vec<Fault> {
        let mut found = Vec::new();
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
        found.extend(self.caches());
        for (section, lost) in DRIVERS {
            if !self.is_ours(section, "driver") {
                let detail = format!("{lost}: set [{section}] driver = alliance");
                found.push((State::Warn, detail));
            }
        }
        found.extend(self.methods());
        found.extend(self.powers());
        found
    }

    /// The keys of which Keystone takes what they sign for a token of its own, if it has such tokens.
    pub(super) fn own_keys(&self) -> BTreeSet<String> {
        let option = self.0.text("jwt_tokens", "jws_public_key_repository");
        let folder = option.as_deref().unwrap_or(JWS_KEYS);
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

    fn caches(&self) -> Vec<Fault> {
        let mut found = Vec::new();
        let staleness = self.0.number("alliance", "max_staleness");
        let staleness = staleness.unwrap_or(MAX_STALENESS);
        if self.0.flag("cache", "enabled") == Some(false) {
            let detail = "partners are asked about each request of their users: set [cache] enabled = true, and a backend";
            found.push((State::Warn, detail.to_owned()));
        } else if let Some(time) = self.0.number("token", "cache_time")
            && time > staleness
        {
            let detail = format!(
                "tokens of partners are refused, since Keystone would remember them for {time} s: take [token] cache_time out, or set it to at most [alliance] max_staleness ({staleness})"
            );
            found.push((State::Fail, detail));
        }
        if self.0.flag("revoke", "caching") == Some(true) && !self.is_ours("revoke", "driver") {
            let detail = "after some 5,000 events Keystone tells nobody any more what has ended: set [revoke] driver = alliance, or caching = false";
            found.push((State::Warn, detail.to_owned()));
        }
        found
    }

    fn methods(&self) -> Option<Fault> {
        let methods = self.0.list("auth", "methods")?;
        let has_ours = methods.iter().any(|one| one == "alliance");
        (!has_ours).then(|| {
            let detail =
                "logins by passport are refused: add alliance to [auth] methods".to_owned();
            (State::Warn, detail)
        })
    }

    fn powers(&self) -> Vec<Fault> {
        let mut found = Vec::new();
        if self.0.flag("alliance", "grant_admin_roles") == Some(true) {
            let detail = "whoever breaks into the daemon can make partners' users administrators here: set [alliance] grant_admin_roles = false unless an agreement names such a role";
            found.push((State::Warn, detail.to_owned()));
        }
        if self.0.flag("alliance", "tag_tokens") != Some(true) {
            let detail = "no partner can tell whose the tokens of this cloud are: when all nodes have the plugin, set [alliance] tag_tokens = true";
            found.push((State::Warn, detail.to_owned()));
        }
        found
    }
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
        conf.add(WELL.to_owned())?;
        conf.add(further.to_owned())?;
        Ok(KeystoneConf(conf).faults(&config))
    }

    #[test]
    fn nothing_is_found_where_all_is_as_the_guide_has_it() -> Outcome {
        assert_eq!(findings("")?, []);
        assert_eq!(findings("[token]\ncache_time = 60\n")?, []);
        assert_eq!(findings("[alliance]\nsocket = $rundir/d.sock\n")?, []);
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
            ("[cache]\nenabled = no", Warn, "[cache] enabled = true"),
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
                Warn,
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
        let both = findings("[revoke]\ndriver = sql\ncaching = true")?;
        assert_eq!(both.len(), 2, "{both:?}");
        Ok(())
    }
}
