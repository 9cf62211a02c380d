//! Configuration files in the dialect of oslo.config.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use configparser::ini::Ini;

use super::lines;

/// Options, from files of which the later count more. With a file come those in the folder of its name
/// and `.d`, as oslo.config reads them; of a folder, all.
pub(super) struct Conf(Ini);

impl Conf {
    /// Reads them.
    ///
    /// # Errors
    /// Which file cannot be read, and why, or which of its lines is refused.
    pub(super) fn read(files: &[PathBuf]) -> Result<Self, String> {
        let mut conf = Self::empty();
        for path in files {
            let about = |path: &Path, error: &dyn ToString| {
                format!("{}: {}", path.display(), error.to_string())
            };
            for file in with_its_folder(path).map_err(|error| about(path, &error))? {
                let text = fs::read_to_string(&file).map_err(|error| about(&file, &error))?;
                conf.add(&text).map_err(|error| about(&file, &error))?;
            }
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

    pub(super) fn add(&mut self, text: &str) -> Result<(), String> {
        if let Some(wrong) = lines::fault(text) {
            return Err(wrong);
        }
        // The case of a section's name does not count.
        let lines = text.lines().map(|line| match line.starts_with('[') {
            true => line.to_lowercase(),
            false => line.to_owned(),
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        self.0.read_and_append(text).map(drop)
    }

    pub(super) fn text(&self, section: &str, option: &str) -> Option<String> {
        let value = self.0.get(section, option)?;
        let value = value.trim();
        let quoted = ['"', '\''].into_iter().find_map(|quote| {
            let rest = value.strip_prefix(quote)?;
            rest.strip_suffix(quote)
        });
        Some(quoted.unwrap_or(value).to_owned()).filter(|value| !value.is_empty())
    }

    /// The names of the options in a section.
    pub(super) fn options(&self, section: &str) -> Vec<String> {
        let sections = self.0.get_map_ref();
        let options = sections.get(section).into_iter().flatten();
        options.map(|(name, _)| name.clone()).collect()
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

fn with_its_folder(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path.is_dir() {
        return in_folder(path);
    }
    let mut files = vec![path.to_owned()];
    let mut folder = OsString::from(path);
    folder.push(".d");
    let folder = PathBuf::from(folder);
    if folder.is_dir() {
        files.extend(in_folder(&folder)?);
    }
    Ok(files)
}

fn in_folder(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "conf") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_oslo_config_reads_them() -> Result<(), Box<dyn std::error::Error>> {
        let mut conf = Conf::empty();
        conf.add(
            "[a]\nlist = one, two,\n  three\nflag = Yes\nsecret = a#b;c\nnone =\nquoted = '5'\n",
        )?;
        conf.add("[A]\nflag = off\nnumber = -1\n")?;
        let list = conf.list("a", "list").unwrap_or_default();
        assert_eq!(list, ["one", "two", "three"]);
        assert_eq!(conf.flag("a", "flag"), Some(false));
        assert_eq!(conf.text("a", "secret").as_deref(), Some("a#b;c"));
        assert_eq!(conf.text("a", "none"), None);
        assert_eq!(conf.number("a", "number"), Some(-1));
        assert_eq!(conf.number("a", "quoted"), Some(5));
        assert_eq!(conf.text("b", "number"), None);
        Ok(())
    }

    #[test]
    fn what_is_in_the_folder_beside_a_file_counts_more() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("keystone.conf");
        let beside = folder.path().join("keystone.conf.d");
        fs::create_dir(&beside)?;
        fs::write(&file, "[token]\nprovider = fernet\ncache_time = 1\n")?;
        fs::write(beside.join("2.conf"), "[token]\nprovider = alliance\n")?;
        fs::write(beside.join("1.conf"), "[token]\nprovider = jws\n")?;
        fs::write(beside.join("3.conf.bak"), "[token]\nprovider = uuid\n")?;
        let conf = Conf::read(&[file])?;
        let provider = conf.text("token", "provider");
        assert_eq!(provider.as_deref(), Some("alliance"));
        assert_eq!(conf.number("token", "cache_time"), Some(1));
        let alone = Conf::read(&[beside])?;
        assert_eq!(alone.number("token", "cache_time"), None);
        Ok(())
    }

    #[test]
    fn a_line_that_oslo_config_refuses_is_named_with_its_file()
    -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("keystone.conf");
        fs::write(&file, "[token]\nprovider = alliance\nsecret\n")?;
        let error = Conf::read(std::slice::from_ref(&file))
            .err()
            .unwrap_or_default();
        let named = format!("{}: line 3 has neither", file.display());
        assert!(error.starts_with(&named), "{error}");
        Ok(())
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let missing = Conf::read(&[PathBuf::from("/nowhere/keystone.conf")]);
        let error = missing.err().unwrap_or_default();
        assert!(error.starts_with("/nowhere/keystone.conf: "), "{error}");
    }
}
