//! Configuration files in the dialect of oslo.config.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::lines::{self, Line};
use crate::config::read_text;

/// What begins a comment, though not behind a value.
const COMMENTS: [char; 2] = ['#', ';'];
/// Options of which each mention counts, not the last alone.
const REPEATED: [&str; 1] = ["backend_argument"];

/// Options, from files of which the later count more. With a file come those in the folder of its name
/// and `.d`, as oslo.config reads them; of a folder, all.
///
/// By section and name, each as often as it is written. oslo.config knows no comment behind a value: it is
/// left out of what is returned here, so that what was meant is judged, and [`Conf::comment`] tells it.
pub(super) struct Conf(BTreeMap<String, BTreeMap<String, Vec<String>>>);

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
                let text = read_text(&file).map_err(|error| about(&file, &error))?;
                conf.add(&text).map_err(|error| about(&file, &error))?;
            }
        }
        Ok(conf)
    }

    pub(super) fn empty() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn add(&mut self, text: &str) -> Result<(), String> {
        if let Some(wrong) = lines::fault(text) {
            return Err(wrong);
        }
        let (mut section, mut option) = (String::new(), String::new());
        for line in text.lines().map(Line::of) {
            match line {
                Line::Nothing => {}
                // The case of its name does not count.
                Line::Section(name) => section = name.to_lowercase(),
                Line::Option(name, value) => {
                    name.clone_into(&mut option);
                    let options = self.0.entry(section.clone()).or_default();
                    let values = options.entry(option.clone()).or_default();
                    values.push(value.to_owned());
                }
                Line::Further(rest) => {
                    let options = self.0.get_mut(&section);
                    let values = options.and_then(|options| options.get_mut(&option));
                    if let Some(value) = values.and_then(|values| values.last_mut()) {
                        value.push('\n');
                        value.push_str(rest);
                    }
                }
            }
        }
        Ok(())
    }

    fn written(&self, section: &str, option: &str) -> &[String] {
        let values = self.0.get(section).and_then(|options| options.get(option));
        values.map_or(&[], Vec::as_slice)
    }

    /// Whether it stands there, if only empty.
    pub(super) fn has(&self, section: &str, option: &str) -> bool {
        !self.written(section, option).is_empty()
    }

    pub(super) fn text(&self, section: &str, option: &str) -> Option<String> {
        let value = meant(self.written(section, option).last()?);
        Some(value).filter(|value| !value.is_empty())
    }

    /// Each value of an option that may be there more than once.
    pub(super) fn texts(&self, section: &str, option: &str) -> Vec<String> {
        let values = self.written(section, option).iter();
        values.map(|value| meant(value)).collect()
    }

    /// What begins a comment that oslo.config takes for a part of the value, if there is one.
    pub(super) fn comment(&self, section: &str, option: &str) -> Option<char> {
        let mut values = self.written(section, option).iter().rev();
        let last = values.next().into_iter();
        let further = values.filter(|_| REPEATED.contains(&option));
        let mut lines = last.chain(further).flat_map(|value| value.lines());
        lines.find_map(|line| line[comment_at(line)?..].chars().next())
    }

    /// The names of the options in a section.
    pub(super) fn options(&self, section: &str) -> Vec<String> {
        let options = self.0.get(section).into_iter().flatten();
        options.map(|(name, _)| name.clone()).collect()
    }

    /// Whether an option is on; `None` if it is not there.
    pub(super) fn flag(&self, section: &str, option: &str) -> Option<bool> {
        let value = self.text(section, option)?.to_lowercase();
        Some(matches!(value.as_str(), "1" | "true" | "yes" | "on"))
    }

    /// A whole number; one that is larger than all is as good as the largest.
    pub(super) fn number(&self, section: &str, option: &str) -> Option<i64> {
        let digits = whole(&self.text(section, option)?)?;
        let bound = match digits.starts_with('-') {
            true => i64::MIN,
            false => i64::MAX,
        };
        Some(digits.parse().unwrap_or(bound))
    }

    /// The members of a list: between commas, or each on a line of its own.
    pub(super) fn list(&self, section: &str, option: &str) -> Option<Vec<String>> {
        let text = self.text(section, option)?;
        let members = text.split([',', '\n']).map(str::trim);
        let members = members.filter(|member| !member.is_empty());
        Some(members.map(str::to_owned).collect())
    }
}

/// The digits of a whole number as Python reads it, with its sign: it may have underscores between them.
pub(super) fn whole(value: &str) -> Option<String> {
    let digits = value.strip_prefix(['+', '-']).unwrap_or(value);
    let mut groups = digits.split('_');
    let is_whole =
        groups.all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit()));
    is_whole.then(|| value.replace('_', ""))
}

/// A value without its quotes, and without comments that somebody wrote behind it.
fn meant(value: &str) -> String {
    if let Some(value) = unquoted(value) {
        return value.to_owned();
    }
    let lines = value.lines().filter_map(|line| match comment_at(line) {
        Some(0) => None,
        Some(at) => Some(line[..at].trim_end()),
        None => Some(line),
    });
    let value = lines.collect::<Vec<_>>().join("\n");
    unquoted(&value).map(str::to_owned).unwrap_or(value)
}

fn unquoted(value: &str) -> Option<&str> {
    ['"', '\''].into_iter().find_map(|quote| {
        let rest = value.strip_prefix(quote)?;
        rest.strip_suffix(quote)
    })
}

/// Where in a line of a value a comment begins that somebody wrote behind it.
fn comment_at(line: &str) -> Option<usize> {
    if unquoted(line).is_some() {
        return None;
    }
    let mut signs = line.match_indices(COMMENTS).map(|(at, _)| at);
    signs.find(|at| {
        line[..*at]
            .chars()
            .next_back()
            .is_none_or(char::is_whitespace)
    })
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
    fn whole_numbers_are_those_that_python_reads() -> Result<(), Box<dyn std::error::Error>> {
        for (written, read) in [
            ("3_600", Some(3600)),
            ("+5", Some(5)),
            ("-1_0", Some(-10)),
            ("007", Some(7)),
            ("99999999999999999999", Some(i64::MAX)),
            ("-99999999999999999999", Some(i64::MIN)),
            ("6__0", None),
            ("_60", None),
            ("60s", None),
            ("$other", None),
        ] {
            let mut conf = Conf::empty();
            conf.add(&format!("[a]\nnumber = {written}\n"))?;
            assert_eq!(conf.number("a", "number"), read, "{written}");
        }
        Ok(())
    }

    #[test]
    fn a_comment_behind_a_value_is_told_and_left_out() -> Result<(), Box<dyn std::error::Error>> {
        let mut conf = Conf::empty();
        conf.add(
            "[a]\nword = one  # or two\nquoted = 'one' ; or two\nlist = one, # first\n  # second\n  three\nnone = # nothing\n",
        )?;
        conf.add("[a]\nplain = a#b;c\nwhole = 'one # two'\nlater = one # or two\nlater = two\n")?;
        conf.add("[a]\nbackend_argument = url:one # or two\nbackend_argument = more:2\n")?;
        for (option, text, comment) in [
            ("word", Some("one"), Some('#')),
            ("quoted", Some("one"), Some(';')),
            ("none", None, Some('#')),
            ("plain", Some("a#b;c"), None),
            ("whole", Some("one # two"), None),
            ("later", Some("two"), None),
            ("backend_argument", Some("more:2"), Some('#')),
            ("absent", None, None),
        ] {
            assert_eq!(conf.text("a", option).as_deref(), text, "{option}");
            assert_eq!(conf.comment("a", option), comment, "{option}");
        }
        assert_eq!(conf.list("a", "list").unwrap_or_default(), ["one", "three"]);
        assert_eq!(conf.comment("a", "list"), Some('#'));
        assert_eq!(conf.texts("a", "backend_argument"), ["url:one", "more:2"]);
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
    fn what_is_no_file_to_be_read_is_refused_and_not_waited_for()
    -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let pipe = folder.path().join("keystone.conf");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR)?;
        for file in [pipe, PathBuf::from("/dev/zero")] {
            let error = Conf::read(std::slice::from_ref(&file))
                .err()
                .unwrap_or_default();
            let named = format!("{}: it is no regular file", file.display());
            assert!(error.starts_with(&named), "{error}");
        }
        Ok(())
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let missing = Conf::read(&[PathBuf::from("/nowhere/keystone.conf")]);
        let error = missing.err().unwrap_or_default();
        assert!(error.starts_with("/nowhere/keystone.conf: "), "{error}");
    }
}
