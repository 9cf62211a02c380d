//! Where the command line writes. A reader that closes the pipe early ends the output quietly;
//! names that came from elsewhere cannot move the cursor.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use alliance_core::label::is_hostile;
use clap::ValueEnum;
use serde::Serialize;

/// How results can be printed, some of them by `alliance usage report` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AnyFormat {
    /// For people. Times are RFC 3339, UTC.
    Table,
    /// For programs. Times are seconds since 1970, UTC.
    Json,
    /// Comma-separated values (usage report only).
    Csv,
    /// FOCUS 1.2, as comma-separated values (usage report only).
    Focus,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people. Times are RFC 3339, UTC.
    Table,
    /// For programs. Times are seconds since 1970, UTC.
    Json,
}

impl AnyFormat {
    /// The form of everything that is no usage report.
    pub(crate) fn plain(self) -> Format {
        match self {
            AnyFormat::Json => Format::Json,
            AnyFormat::Table | AnyFormat::Csv | AnyFormat::Focus => Format::Table,
        }
    }
}

/// Standard output for results, standard error for everything else.
pub(crate) struct Output {
    /// How results are printed.
    pub format: Format,
    results: Stream,
    remarks: Stream,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            results: Stream::new(io::stdout()),
            remarks: Stream::new(io::stderr()),
        }
    }

    /// A result, on standard output; there at once, also in a pipe.
    pub(crate) fn line(&mut self, text: impl Display) {
        self.results.write(&tame(&text.to_string()));
    }

    /// A result for a program.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), serde_json::Error> {
        let text = serde_json::to_string_pretty(value)?;
        self.results.write(&escape(&text));
        Ok(())
    }

    /// A result for a program that reads one a line.
    pub(crate) fn json_line(&mut self, value: &impl Serialize) -> Result<(), serde_json::Error> {
        let text = serde_json::to_string(value)?;
        self.results.write(&escape(&text));
        Ok(())
    }

    /// A remark, on standard error.
    pub(crate) fn say(&mut self, text: impl Display) {
        self.remarks.write(&tame(&text.to_string()));
    }

    /// The beginning of a line on standard error that the operator ends.
    pub(crate) fn prompt(&mut self, text: impl Display) {
        self.remarks.write_raw(&tame(&text.to_string()));
    }

    /// The last word: `code`, unless results got lost, for instance on a full disk. That a reader
    /// closed the pipe is no loss.
    pub(crate) fn finish(mut self, code: ExitCode) -> ExitCode {
        match self.results.broken.take() {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                self.say(format_args!("error: cannot write the results: {error}"));
                ExitCode::FAILURE
            }
            _ => code,
        }
    }
}

struct Stream {
    sink: Box<dyn Write>,
    broken: Option<io::Error>,
}

impl Stream {
    fn new(sink: impl Write + 'static) -> Self {
        Self {
            sink: Box::new(sink),
            broken: None,
        }
    }

    fn write(&mut self, text: &str) {
        self.write_raw(&format!("{text}\n"));
    }

    fn write_raw(&mut self, text: &str) {
        if self.broken.is_none() {
            let written = self
                .sink
                .write_all(text.as_bytes())
                .and_then(|()| self.sink.flush());
            self.broken = written.err();
        }
    }
}

/// `text` without anything that a terminal would act upon; line ends stay.
fn tame(text: &str) -> String {
    let tamed = text.chars().map(|c| match c {
        '\n' => c,
        c if is_hostile(c) => '\u{fffd}',
        c => c,
    });
    tamed.collect()
}

/// JSON `text` in which such characters are escaped: the same value, harmless on a terminal.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && is_hostile(c) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_partner_wrote_moves_the_cursor() {
        assert_eq!(
            tame("a\u{1b}[2J\nb\u{9b}\u{202e}"),
            "a\u{fffd}[2J\nb\u{fffd}\u{fffd}"
        );
    }

    #[test]
    fn json_keeps_its_meaning() {
        let text = serde_json::to_string(&"\u{9b}\u{202e}\u{7f}ü").unwrap_or_default();
        assert!(!escape(&text).chars().any(is_hostile));
        assert_eq!(
            serde_json::from_str::<String>(&escape(&text))
                .ok()
                .as_deref(),
            Some("\u{9b}\u{202e}\u{7f}ü")
        );
    }
}
