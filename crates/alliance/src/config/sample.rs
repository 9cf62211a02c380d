//! The documented sample, printed from the declarations that also read the file.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::section::{Key, Outline, Presence, nearest};
use super::sections;

/// A sample configuration, with some options set to other values than the declared ones.
#[derive(Debug, Default, Clone)]
pub(crate) struct Sample {
    /// `section.key` to TOML.
    set: BTreeMap<String, String>,
}

/// Why an option cannot be set in a sample.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadSetting {
    /// No `=` in it.
    #[error("expected section.key=value, found {0:?}")]
    Form(String),
    /// No option of that name.
    #[error("there is no option {found:?}{}", hint.map(|known| format!("; did you mean {known:?}?")).unwrap_or_default())]
    Unknown {
        /// What was given.
        found: String,
        /// The option that was probably meant.
        hint: Option<&'static str>,
    },
}

impl Sample {
    /// Sets an option: `section.key` and a text, a number, `true`, or any other TOML value.
    ///
    /// # Errors
    /// If there is no such option.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), BadSetting> {
        let names = || {
            sections().into_iter().flat_map(|outline| {
                let pairs = outline.keys.iter();
                pairs.map(move |key| (outline.name, key.name))
            })
        };
        if !names().any(|(section, key)| name.split_once('.') == Some((section, key))) {
            let key = name.rsplit_once('.').map_or(name, |(_, key)| key);
            return Err(BadSetting::Unknown {
                found: name.to_owned(),
                hint: nearest(key, names().map(|(_, key)| key)),
            });
        }
        // What is no TOML by itself is meant as text: `cloud.name=west`.
        let toml = match toml::de::DeValue::parse(value) {
            Ok(_) => value.to_owned(),
            Err(_) => toml::Value::String(value.to_owned()).to_string(),
        };
        self.set.insert(name.to_owned(), toml);
        Ok(())
    }

    fn option(&self, f: &mut fmt::Formatter<'_>, section: &str, key: &Key) -> fmt::Result {
        for line in key.doc {
            writeln!(f, "#{line}")?;
        }
        let name = key.name;
        if let Some(value) = self.set.get(&format!("{section}.{name}")) {
            return writeln!(f, "{name} = {value}");
        }
        match key.presence {
            Presence::Required => writeln!(f, "# Required.\n{name} = {}", key.text),
            Presence::Suggested => writeln!(f, "{name} = {}", key.text),
            Presence::Default => writeln!(f, "#{name} = {}", key.text),
            Presence::Optional => writeln!(
                f,
                "# Not set by default; an example:\n#{name} = {}",
                key.text
            ),
        }
    }
}

impl FromStr for Sample {
    type Err = BadSetting;

    /// One `section.key=value`.
    fn from_str(text: &str) -> Result<Self, BadSetting> {
        let mut sample = Self::default();
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| BadSetting::Form(text.to_owned()))?;
        sample.set(name.trim(), value.trim())?;
        Ok(sample)
    }
}

impl Extend<Sample> for Sample {
    fn extend<I: IntoIterator<Item = Sample>>(&mut self, others: I) {
        for other in others {
            self.set.extend(other.set);
        }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# Configuration of the Alliance daemon. Lines that begin with #key show the default.\n\
             # Unknown keys are refused. Check changes with: alliance config check --config FILE"
        )?;
        for Outline { name, doc, keys } in sections() {
            writeln!(f)?;
            for line in doc {
                writeln!(f, "#{line}")?;
            }
            writeln!(f, "[{name}]")?;
            for (index, key) in keys.iter().enumerate() {
                if index > 0 {
                    writeln!(f)?;
                }
                self.option(f, name, key)?;
            }
        }
        Ok(())
    }
}
