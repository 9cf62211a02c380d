//! The keys with which this cloud's Keystone signs tokens: whether it has them, whether partners are told
//! them, and whether a partner's is among them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::keystone_conf::KeystoneConf;
use super::{Fault, State, with_causes};
use crate::config::Config;
use crate::daemon::key_files;

/// Keystone's default of `[jwt_tokens] jws_public_key_repository`.
const JWS_KEYS: &str = "/etc/keystone/jws-keys/public";
/// And of `jws_private_key_repository`.
const JWS_PRIVATE_KEYS: &str = "/etc/keystone/jws-keys/private";

impl KeystoneConf {
    /// Whether its own tokens are signed, which partners are to know.
    pub(super) fn signs(&self) -> bool {
        self.is_ours("token", "provider") && self.is_to_sign()
    }

    /// Whether the plugin has it sign its own tokens, where the plugin is the provider.
    pub(super) fn is_to_sign(&self) -> bool {
        let inner = self.0.text("alliance", "inner_provider");
        inner.is_some_and(|inner| inner == "jws")
    }

    /// Where the keys are with which that is checked.
    pub(super) fn key_folder(&self) -> String {
        let option = self.0.text("jwt_tokens", "jws_public_key_repository");
        option.unwrap_or_else(|| JWS_KEYS.to_owned())
    }

    /// The key with which they are signed.
    pub(super) fn private_key(&self) -> PathBuf {
        let option = self.0.text("jwt_tokens", "jws_private_key_repository");
        let folder = option.unwrap_or_else(|| JWS_PRIVATE_KEYS.to_owned());
        Path::new(&folder).join("private.pem")
    }

    /// The keys of which Keystone takes what they sign for a token of its own, if it has such tokens, by
    /// the files in which they are.
    pub(super) fn own_keys(&self) -> BTreeMap<PathBuf, BTreeSet<String>> {
        let folder = self.key_folder();
        // Without such tokens there is no such folder, and what is no key there makes no token.
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        let files = files.map(|file| file.path()).filter(|path| path.is_file());
        let keys = files.filter_map(|path| {
            let keys = key_files::read(&path).ok()?;
            Some((path, keys.iter().map(|key| key.id().to_owned()).collect()))
        });
        keys.collect()
    }
}

/// What to say if they are told none, or others. Keys are compared, wherever they are.
pub(super) fn fault(conf: &KeystoneConf, config: &Config) -> Option<Fault> {
    if !conf.signs() {
        return None;
    }
    let theirs: BTreeSet<_> = conf.own_keys().into_values().flatten().collect();
    let folder = conf.key_folder();
    let set = format!("set [signing] jws_public_keys = {folder} in the daemon's configuration");
    let asked = "partners ask about each token of this cloud";
    let Some(path) = &config.signing.jws_public_keys else {
        let detail = format!(
            "Keystone signs its tokens, and no partner is told with which keys: {asked}; {set}"
        );
        return Some((State::Warn, detail));
    };
    let ours: BTreeSet<_> = match key_files::read(path) {
        Ok(keys) => keys.iter().map(|key| key.id().to_owned()).collect(),
        Err(error) => {
            let detail = format!(
                "no partner is told with which keys Keystone signs its tokens ([signing] jws_public_keys: {}): {asked}; {set}, with its public keys in it",
                with_causes(error)
            );
            return Some((State::Warn, detail));
        }
    };
    // Where Keystone has no key that can be read here, nobody knows.
    if theirs.is_empty() || ours == theirs {
        return None;
    }
    let path = path.display();
    let why = match ours.is_superset(&theirs) {
        true => format!(
            "{path} has keys that {folder} has not: partners let in what they sign, which Keystone refuses"
        ),
        false => format!("{folder} has keys that {path} has not: {asked} that they sign"),
    };
    Some((State::Warn, format!("{why}; {set}")))
}

/// What to say if Keystone is to sign its tokens and has no keys for that: its provider then ends it. Nothing
/// where this user cannot look.
pub(super) fn without_keys(conf: &KeystoneConf) -> Option<Fault> {
    if !conf.is_to_sign() {
        return None;
    }
    let (public, private) = (conf.key_folder(), conf.private_key());
    let is_absent = |error: &io::Error| error.kind() == ErrorKind::NotFound;
    let mut lacks = Vec::new();
    // Where not even the folder is, this may be another machine, or a container, than Keystone's.
    let mut state = State::Warn;
    if !public.contains('$') {
        let lack = match fs::read_dir(&public) {
            Ok(mut files) => {
                state = State::Fail;
                files.next().is_none().then_some("is empty")
            }
            Err(error) => is_absent(&error).then_some("is not there"),
        };
        let lack =
            lack.map(|lack| format!("{public} {lack} ([jwt_tokens] jws_public_key_repository)"));
        lacks.extend(lack);
    }
    let shown = private.display();
    let is_known = !shown.to_string().contains('$');
    if private.parent().is_some_and(Path::is_dir) {
        state = State::Fail;
    }
    if is_known && fs::metadata(&private).is_err_and(|error| is_absent(&error)) {
        lacks.push(format!(
            "{shown} is not there ([jwt_tokens] jws_private_key_repository)"
        ));
    }
    (!lacks.is_empty()).then(|| {
        let detail = format!(
            "Keystone does not start, for it is to sign its tokens ([alliance] inner_provider = jws) and has no keys: {}; run keystone-manage create_jws_keypair, and move public.pem to {public} and private.pem to {shown}",
            lacks.join(", ")
        );
        (state, detail)
    })
}

/// What to say if a key of this partner is among those of which Keystone takes what they sign for its own,
/// which `own` has by their files.
pub(super) fn stranger(
    partner: &str,
    keys: &BTreeSet<String>,
    own: &BTreeMap<PathBuf, BTreeSet<String>>,
) -> Option<String> {
    let files = own.iter().filter(|(_, found)| !keys.is_disjoint(found));
    let mended: Vec<_> = files
        .map(|(file, found)| match found.is_subset(keys) {
            true => format!("take the file {} out", file.display()),
            false => format!(
                "take that key out of {}, and leave the others in it",
                file.display()
            ),
        })
        .collect();
    let folder = own.keys().find_map(|file| file.parent());
    (!mended.is_empty()).then(|| {
        let folder = folder.unwrap_or(Path::new("")).display();
        format!(
            "a key of {partner} is among this cloud's own in {folder} ([jwt_tokens] jws_public_key_repository): what {partner} signs is taken for a token of this cloud, whoever it names; {}. If it is this cloud's own key, {partner} tells it as its own: its operator takes it out of [signing] jws_public_keys there",
            mended.join("; ")
        )
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};

    use super::*;
    use crate::cli::doctor::conf::Conf;
    use crate::cli::doctor::tests::config_in;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn key() -> Result<String, rcgen::Error> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Ok(pair.public_key_pem())
    }

    fn said(inner: &str, keystones: &Path, config: &Config) -> Result<Option<Fault>, String> {
        let mut conf = Conf::empty();
        let folder = keystones.display();
        conf.add(&format!(
            "[token]\nprovider = alliance\n[alliance]\ninner_provider = {inner}\n[jwt_tokens]\njws_public_key_repository = {folder}\n"
        ))?;
        Ok(fault(&KeystoneConf(conf), config))
    }

    #[test]
    fn keys_that_partners_are_not_told_are_named() -> Outcome {
        let folder = tempfile::tempdir()?;
        let [theirs, ours] = ["theirs", "ours"].map(|name| folder.path().join(name));
        let mut config = config_in(folder.path())?;
        for path in [&theirs, &ours] {
            fs::create_dir(path)?;
        }
        let (first, second) = (key()?, key()?);
        fs::write(theirs.join("1.pem"), &first)?;
        let names = |words: &str, config: &Config| -> Outcome {
            let found = said("jws", &theirs, config)?;
            let set = format!("set [signing] jws_public_keys = {}", theirs.display());
            assert!(
                matches!(&found, Some((State::Warn, text)) if text.contains(words) && text.contains(&set)),
                "{found:?}"
            );
            Ok(())
        };
        assert_eq!(said("fernet", &theirs, &config)?, None);
        names("no partner is told with which keys:", &config)?;
        config.signing.jws_public_keys = Some(ours.clone());
        assert_eq!(said("fernet", &theirs, &config)?, None);
        names("there is no key in", &config)?;
        fs::write(ours.join("another name.pem"), &first)?;
        assert_eq!(said("jws", &theirs, &config)?, None, "they are copies");
        fs::write(theirs.join("2.pem"), &second)?;
        names("ask about each token", &config)?;
        fs::write(ours.join("2.pem"), &second)?;
        fs::remove_file(theirs.join("1.pem"))?;
        names("which Keystone refuses", &config)?;
        assert_eq!(said("jws", Path::new("/nowhere"), &config)?, None);
        Ok(())
    }

    #[test]
    fn a_keystone_that_is_to_sign_without_keys_is_named() -> Outcome {
        let folder = tempfile::tempdir()?;
        let [public, private] = ["public", "private"].map(|name| folder.path().join(name));
        let said = |inner: &str| -> Result<String, String> {
            let mut conf = Conf::empty();
            conf.add(&format!(
                "[alliance]\ninner_provider = {inner}\n[jwt_tokens]\njws_public_key_repository = {}\njws_private_key_repository = {}\n",
                public.display(),
                private.display()
            ))?;
            let found = without_keys(&KeystoneConf(conf));
            Ok(found
                .map(|(state, text)| format!("{state:?} {text}"))
                .unwrap_or_default())
        };
        assert_eq!(said("fernet")?, "");
        let names = |state: &str, words: &str| -> Outcome {
            let found = said("jws")?;
            let is_so = found.starts_with(state)
                && found.contains(words)
                && found.contains("run keystone-manage create_jws_keypair");
            assert!(is_so, "{words}: {found}");
            Ok(())
        };
        names("Warn ", &format!("{} is not there", public.display()))?;
        fs::create_dir(&private)?;
        names("Fail ", &format!("{} is not there", public.display()))?;
        fs::create_dir(&public)?;
        names("Fail ", &format!("{} is empty", public.display()))?;
        fs::write(public.join("public.pem"), key()?)?;
        names(
            "Fail ",
            &format!("{}/private.pem is not there", private.display()),
        )?;
        fs::write(private.join("private.pem"), "")?;
        assert_eq!(said("jws")?, "");
        Ok(())
    }

    #[test]
    fn a_partners_key_among_ones_own_is_named_with_its_files() -> Outcome {
        let folder = tempfile::tempdir()?;
        let [ours, wests, both] =
            ["ours.pem", "wests.pem", "both.pem"].map(|name| folder.path().join(name));
        let (own, strange) = (key()?, key()?);
        fs::write(&ours, &own)?;
        let mut conf = Conf::empty();
        conf.add(&format!(
            "[jwt_tokens]\njws_public_key_repository = {}\n",
            folder.path().display()
        ))?;
        let conf = KeystoneConf(conf);
        fs::write(&wests, &strange)?;
        let files = conf.own_keys();
        let keys = files.get(&wests).ok_or("a key")?.clone();
        fs::remove_file(&wests)?;
        assert_eq!(stranger("west", &keys, &conf.own_keys()), None);
        fs::write(&wests, &strange)?;
        fs::write(&both, format!("{own}{strange}"))?;
        let text = stranger("west", &keys, &conf.own_keys()).ok_or("it is among them")?;
        for words in [
            format!("own in {} ([jwt_tokens]", folder.path().display()),
            format!("take the file {} out", wests.display()),
            format!("take that key out of {}, and leave", both.display()),
        ] {
            assert!(text.contains(&words), "{words}: {text}");
        }
        assert!(!text.contains("ours.pem"), "{text}");
        Ok(())
    }
}
