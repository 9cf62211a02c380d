//! Reading TOML section by section, so that every mistake is found in one go.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Mistake};
use super::sections;

/// Turns a TOML value into an option; the error says what was expected and what was found.
pub(super) type Parser<T> = fn(&DeValue<'_>) -> Result<T, String>;

/// A section's declaration, as the reader and the sample see it.
pub(super) trait Section: Sized {
    /// Its name in brackets.
    const NAME: &'static str;
    /// What it is about.
    const DOC: &'static [&'static str];
    /// Its options.
    const KEYS: &'static [Key];

    /// Takes the options; `None` if a mistake was noted.
    fn read(reader: &mut Reader<'_, '_>) -> Option<Self>;
}

/// A section without its type.
#[derive(Clone, Copy)]
pub(super) struct Outline {
    pub(super) name: &'static str,
    pub(super) doc: &'static [&'static str],
    pub(super) keys: &'static [Key],
}

impl Outline {
    pub(super) fn of<S: Section>() -> Self {
        Self {
            name: S::NAME,
            doc: S::DOC,
            keys: S::KEYS,
        }
    }
}

/// An option's declaration.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) doc: &'static [&'static str],
    pub(super) presence: Presence,
    /// TOML: the default, or an example where there is none.
    pub(super) text: &'static str,
}

/// Whether an option must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It must.
    Required,
    /// Its default is meant otherwise.
    Default,
    /// Nothing is meant otherwise.
    Optional,
    /// As `Optional`, but most installations want it: set in the sample.
    Suggested,
}

/// Declares a section: the type, its documentation and its options in one place. An option reads
/// `name: Type = required|default|optional|suggested(parser, "TOML of the default or an example")`.
macro_rules! section {
    (
        $(#[doc = $doc:literal])+
        struct $name:ident as $section:literal {
            $($(#[doc = $key_doc:literal])+ $key:ident: $type:ty = $presence:ident($parser:expr, $text:expr)),+ $(,)?
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone)]
        pub(crate) struct $name {
            $($(#[doc = $key_doc])+ pub $key: $type),+
        }

        impl $crate::config::section::Section for $name {
            const NAME: &'static str = $section;
            const DOC: &'static [&'static str] = &[$($doc),+];
            const KEYS: &'static [$crate::config::section::Key] = &[
                $($crate::config::section::Key::$presence(stringify!($key), &[$($key_doc),+], $text)),+
            ];

            fn read(reader: &mut $crate::config::section::Reader<'_, '_>) -> Option<Self> {
                $(let $key = reader.$presence(stringify!($key), $parser, $text);)+
                Some(Self { $($key: $key?),+ })
            }
        }
    };
}

macro_rules! constructors {
    ($($name:ident = $presence:ident),+) => {
        impl Key {
            $(pub(super) const fn $name(
                name: &'static str,
                doc: &'static [&'static str],
                text: &'static str,
            ) -> Self {
                Self { name, doc, presence: Presence::$presence, text }
            })+
        }
    };
}

constructors!(
    required = Required,
    default = Default,
    optional = Optional,
    suggested = Suggested
);

/// A file that is being read, and what was found wrong with it so far.
pub(super) struct File<'a> {
    path: &'a Path,
    text: &'a str,
    tables: BTreeMap<String, (usize, Option<DeTable<'a>>)>,
    mistakes: Vec<Mistake>,
    missing: Vec<String>,
}

impl<'a> File<'a> {
    /// # Errors
    /// If it is no TOML.
    pub(super) fn parse(text: &'a str, path: &'a Path) -> Result<Self, ConfigError> {
        let root = DeTable::parse(text).map_err(|error| {
            ConfigError::Invalid(vec![Mistake {
                path: path.to_owned(),
                line: error.span().map(|span| line_of(text, span.start)),
                // The message alone: the error's own rendering quotes the line, maybe a password.
                text: error.message().trim().to_owned(),
            }])
        })?;
        let tables = root.into_inner().into_iter().map(|(name, value)| {
            let at = name.span().start;
            let table = match value.into_inner() {
                DeValue::Table(table) => Some(table),
                _ => None,
            };
            (name.into_inner().into_owned(), (at, table))
        });
        Ok(Self {
            path,
            text,
            tables: tables.collect(),
            mistakes: Vec::new(),
            missing: Vec::new(),
        })
    }

    /// Whether an option is there, and not an empty text.
    pub(super) fn is_set(&self, section: &str, key: &str) -> bool {
        let table = self
            .tables
            .get(section)
            .and_then(|(_, table)| table.as_ref());
        table
            .and_then(|table| table.get(key))
            .is_some_and(|value| value.get_ref().as_str() != Some(""))
    }

    /// Reads one section; an absent one is an empty one.
    pub(super) fn section<S: Section>(&mut self) -> Option<S> {
        let table = match self.tables.remove(S::NAME) {
            None => DeTable::new(),
            Some((_, Some(table))) => table,
            Some((at, None)) => {
                self.note(
                    Some(at),
                    format!("expected a section [{0}], found a value {0} = …", S::NAME),
                );
                return None;
            }
        };
        let mut reader = Reader {
            section: S::NAME,
            table,
            file: self,
        };
        let section = S::read(&mut reader);
        reader.refuse_others(S::KEYS);
        section
    }

    /// Notes every section that none of ours is.
    pub(super) fn refuse_other_sections(&mut self) {
        for (name, (at, table)) in std::mem::take(&mut self.tables) {
            let outlines = sections();
            let what = if table.is_some() { "section" } else { "key" };
            let hint = match nearest(&name, outlines.iter().map(|o| o.name)) {
                Some(known) if table.is_some() => format!("did you mean [{known}]?"),
                _ => match owner_of(&name) {
                    Some(section) if table.is_none() => format!("it belongs in [{section}]"),
                    _ => format!("known sections: {}", outlines.map(|o| o.name).join(", ")),
                },
            };
            self.note(Some(at), format!("unknown {what} {name:?}; {hint}"));
        }
    }

    /// Notes that an option's value cannot be used, whatever line it stands on.
    pub(super) fn refuse(&mut self, section: &str, key: &str, why: &str) {
        self.note(None, format!("[{section}] {key} {why}"));
    }

    /// Notes that an option is not there.
    pub(super) fn missing(&mut self, name: &str) {
        self.missing.push(name.to_owned());
    }

    /// # Errors
    /// Every mistake, in the order of the file; what is missing last.
    pub(super) fn finish<T>(mut self, config: Option<T>) -> Result<T, ConfigError> {
        self.mistakes
            .sort_by_key(|mistake| mistake.line.unwrap_or(usize::MAX));
        if !self.missing.is_empty() {
            let text = format!(
                "missing: {} (`alliance config sample` explains each)",
                self.missing.join(", ")
            );
            self.note(None, text);
        }
        match config {
            Some(config) if self.mistakes.is_empty() => Ok(config),
            _ => Err(ConfigError::Invalid(self.mistakes)),
        }
    }

    fn note(&mut self, at: Option<usize>, text: String) {
        self.mistakes.push(Mistake {
            path: self.path.to_owned(),
            line: at.map(|at| line_of(self.text, at)),
            text,
        });
    }
}

/// Takes the options out of one section.
pub(super) struct Reader<'a, 'f> {
    section: &'static str,
    table: DeTable<'f>,
    file: &'a mut File<'f>,
}

impl Reader<'_, '_> {
    pub(super) fn required<T>(&mut self, key: &str, parse: Parser<T>, _: &str) -> Option<T> {
        let found = self.take(key, parse)?;
        if found.is_none() {
            self.file.missing(&format!("{}.{key}", self.section));
        }
        found
    }

    pub(super) fn default<T>(&mut self, key: &str, parse: Parser<T>, text: &str) -> Option<T> {
        if let Some(value) = self.take(key, parse)? {
            return Some(value);
        }
        let default = DeValue::parse(text)
            .map_err(|error| error.message().to_owned())
            .and_then(|value| parse(value.get_ref()));
        default
            .map_err(|error| self.file.note(None, format!("default of {key}: {error}")))
            .ok()
    }

    #[expect(clippy::option_option, reason = "absent and wrong differ")]
    pub(super) fn optional<T>(
        &mut self,
        key: &str,
        parse: Parser<T>,
        _: &str,
    ) -> Option<Option<T>> {
        self.take(key, parse)
    }

    #[expect(clippy::option_option, reason = "absent and wrong differ")]
    pub(super) fn suggested<T>(
        &mut self,
        key: &str,
        parse: Parser<T>,
        _: &str,
    ) -> Option<Option<T>> {
        self.take(key, parse)
    }

    /// The value, `Some(None)` if it is not there, `None` if it is wrong (and noted).
    #[expect(clippy::option_option, reason = "absent and wrong differ")]
    fn take<T>(&mut self, key: &str, parse: Parser<T>) -> Option<Option<T>> {
        let Some(value) = self.table.remove(key) else {
            return Some(None);
        };
        parse(value.get_ref())
            .map(Some)
            .map_err(|error| {
                let text = format!("[{}] {key}: {error}", self.section);
                self.file.note(Some(start(&value)), text);
            })
            .ok()
    }

    fn refuse_others(self, keys: &[Key]) {
        for name in self.table.keys() {
            let hint = match nearest(name.get_ref(), keys.iter().map(|key| key.name)) {
                Some(known) => format!("did you mean {known:?}?"),
                None => match owner_of(name.get_ref()) {
                    Some(section) => format!("it belongs in [{section}]"),
                    None => format!(
                        "known: {}",
                        keys.iter().map(|k| k.name).collect::<Vec<_>>().join(", ")
                    ),
                },
            };
            self.file.note(
                Some(name.span().start),
                format!(
                    "unknown key {:?} in [{}]; {hint}",
                    name.get_ref(),
                    self.section
                ),
            );
        }
    }
}

fn start<T>(spanned: &Spanned<T>) -> usize {
    spanned.span().start
}

/// The known name that `found` is a misspelling of, if it is near to one.
pub(super) fn nearest<'k>(found: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known
        .map(|name| (strsim::damerau_levenshtein(found, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().min(found.len()) / 4)
        .min()
        .map(|(_, name)| name)
}

/// The section that has an option of this name.
fn owner_of(key: &str) -> Option<&'static str> {
    sections()
        .into_iter()
        .find(|outline| outline.keys.iter().any(|known| known.name == key))
        .map(|outline| outline.name)
}

/// The line of the byte `at`, counted from 1.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}
