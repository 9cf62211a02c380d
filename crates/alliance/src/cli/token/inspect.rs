//! `alliance token inspect`

use std::ffi::OsString;

use alliance_core::label::clean;
use alliance_token::inspect;
use anyhow::Context;
use clap::Args;
use serde_json::Value;

use super::read_token;
use crate::cli::output::Format;
use crate::cli::table::card;
use crate::cli::{Failure, Output};

/// Longest value that is shown, in characters.
const SHOWN: usize = 200;

/// Explain any token without validating it: format, issuer, signer, times, scope
///
/// Reads the token from standard input and never shows it. Asks nobody, not even the daemon: what a
/// token says is only worth something once it is validated.
///
/// Exit code 0 if it is a token.
#[derive(Debug, Args)]
pub(in crate::cli) struct Inspect {
    /// Always -: the token comes from standard input
    #[arg(value_name = "-")]
    source: OsString,
}

impl Inspect {
    pub(super) async fn run(self, out: &mut Output) -> Result<(), Failure> {
        let token = read_token(&self.source, out).await?;
        let inspection = inspect(&token);
        match out.format {
            Format::Json => out.json(&inspection)?,
            Format::Table => {
                let value = serde_json::to_value(&inspection).context("describing the token")?;
                let mut rows = Vec::new();
                flatten("", &value, &mut rows);
                rows.sort_by_key(|(name, _)| rank(name));
                out.line(card(
                    rows.iter()
                        .map(|(name, text)| (name.as_str(), text.clone())),
                ));
            }
        }
        if inspection.format.is_some() {
            Ok(())
        } else {
            Err(Failure::refused(
                "this is no token in its canonical spelling",
            ))
        }
    }
}

/// What a person looks for first.
const ORDER: [&str; 12] = [
    "format", "problems", "tag", "length", "signer", "user", "scope", "roles", "methods", "issued",
    "expires", "audit",
];

fn rank(name: &str) -> usize {
    let place = ORDER.iter().position(|first| name.starts_with(first));
    place.unwrap_or(ORDER.len())
}

/// One row for each value that is there; lists are joined, what is inside something is named by the
/// way to it.
fn flatten(name: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    let text = match value {
        Value::Null => return,
        Value::Object(fields) => {
            for (field, value) in fields {
                let field = field.replace('_', " ");
                let name = match name {
                    "" => field,
                    outer => format!("{outer} {field}"),
                };
                flatten(&name, value, rows);
            }
            return;
        }
        Value::Array(items) if items.is_empty() => return,
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            items.join(", ")
        }
        other => plain(other),
    };
    rows.push((name.to_owned(), clean(&text, SHOWN)));
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_value_is_a_row_and_none_can_drive_a_terminal() {
        let mut rows = Vec::new();
        let value = json!({
            "format": "pki",
            "tag": null,
            "problems": [],
            "roles": ["member", "reader\u{1b}[2J"],
            "project": {"id": "p", "domain": {"name": "Default"}},
        });
        flatten("", &value, &mut rows);
        let row = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(
            rows,
            [
                row("format", "pki"),
                row("project domain name", "Default"),
                row("project id", "p"),
                row("roles", &clean("member, reader\u{1b}[2J", SHOWN)),
            ]
        );
        assert!(!rows[3].1.contains('\u{1b}'));
    }
}
