//! Whether partners are told the keys with which this cloud's Keystone signs tokens.

use std::collections::BTreeSet;

use super::keystone_conf::KeystoneConf;
use super::{Fault, State, with_causes};
use crate::config::Config;
use crate::daemon::key_files;

/// What to say if they are told none, or others. Keys are compared, wherever they are.
pub(super) fn fault(conf: &KeystoneConf, config: &Config) -> Option<Fault> {
    if !conf.signs() {
        return None;
    }
    let theirs = conf.own_keys();
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

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
}
