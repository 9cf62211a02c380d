//! Configuration files in the dialect of oslo.config.

use std::fs;
use std::path::PathBuf;

use configparser::ini::Ini;

/// Options, from files of which the later count more.
pub(super) struct Conf(Ini);

impl Conf {
    /// Reads them.
    ///
    /// # Errors
    /// Which file cannot be read, and why.
    pub(super) fn read(files: &[PathBuf]) -> Result<Self, String> {
        let mut conf = Self::empty();
        for file in files {
            let about = |error: String| format!("{}: {error}", file.display());
            let text = fs::read_to_string(file).map_err(|error| about(error.to_string()))?;
            conf.add(text).map_err(about)?;
        }
        Ok(conf)
    }

    pub(super) fn empty() -> Self {
        let mut ini = Ini::new_cs();
        ini.set_multiline(true);
        // A comment has a line of its own.
        ini.set_inline_comment_symbols(Some(&[]));
        Self(ini)
    }

    pub(super) fn add(&mut self, text: String) -> Result<(), String> {
        self.0.read_and_append(text).map(drop)
    }

    pub(super) fn text(&self, section: &str, option: &str) -> Option<String> {
        let value = self.0.get(section, option)?;
        Some(value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// Whether an option is on; `None` if it is not there.
    pub(super) fn flag(&self, section: &str, option: &str) -> Option<bool> {
        let value = self.text(section, option)?.to_lowercase();
        Some(matches!(value.as_str(), "1" | "true" | "yes" | "on"))
    }

    pub(super) fn number(&self, section: &str, option: &str) -> Option<i64> {
        self.text(section, option)?.parse().ok()
    }

    /// The members of a list: between commas, or each on a line of its own.
    pub(super) fn list(&self, section: &str, option: &str) -> Option<Vec<String>> {
        let text = self.text(section, option)?;
        let members = text.split([',', '\n']).map(str::trim);
        let members = members.filter(|member| !member.is_empty());
        Some(members.map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_oslo_config_reads_them() -> Result<(), Box<dyn std::error::Error>> {
        let mut conf = Conf::empty();
        conf.add(
            "[a]\nlist = one, two,\n  three\nflag = Yes\nsecret = a#b;c\nnone =\n".to_owned(),
        )?;
        conf.add("[a]\nflag = off\nnumber = -1\n".to_owned())?;
        let list = conf.list("a", "list").unwrap_or_default();
        assert_eq!(list, ["one", "two", "three"]);
        assert_eq!(conf.flag("a", "flag"), Some(false));
        assert_eq!(conf.text("a", "secret").as_deref(), Some("a#b;c"));
        assert_eq!(conf.text("a", "none"), None);
        assert_eq!(conf.number("a", "number"), Some(-1));
        assert_eq!(conf.text("b", "number"), None);
        Ok(())
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let missing = Conf::read(&[PathBuf::from("/nowhere/keystone.conf")]);
        let error = missing.err().unwrap_or_default();
        assert!(error.starts_with("/nowhere/keystone.conf: "), "{error}");
    }
}
