//! `alliance token`

use std::ffi::OsString;

use alliance_core::label::clean;
use alliance_core::refusal::Reason;
use alliance_core::statement::{Passport, TokenFacts};
use alliance_token::MAX_TOKEN_LEN;
use anyhow::Context;
use clap::{Args, Subcommand};
use data_encoding::BASE64URL_NOPAD;

use super::output::Format;
use super::reason::explain;
use super::socket::Daemon;
use super::table::card;
use super::{Failure, Output, ask};
use crate::wire::{Path, ValidateRequest, Verdict, Via};

/// What is said to arguments that may hold a token; they are not repeated.
pub(super) const NEVER_AN_ARGUMENT: &str = "a token is never an argument: every user of this machine could see it, and the \
     shell keeps it. Use: alliance token validate - < FILE. If that was a token, revoke it: openstack token revoke";

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    Validate(Validate),
}

/// Judge a partner's token as Keystone would, and say why
///
/// Reads the token from standard input, so that neither `ps` nor the shell's history sees it.
///
/// Exit code 0 if it is valid.
#[derive(Debug, Args)]
pub(super) struct Validate {
    /// Always -: the token comes from standard input
    #[arg(value_name = "-")]
    source: OsString,

    /// Accept an answer of the partner that is up to this old; 0 asks it now
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    max_age: f64,
}

impl TokenCommand {
    pub(super) async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        let Self::Validate(validate) = self;
        validate.run(daemon, out).await
    }
}

impl Validate {
    async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        if self.source != "-" {
            return Err(Failure::Usage(NEVER_AN_ARGUMENT.to_owned()));
        }
        if ask::is_terminal() {
            out.prompt("Token: ");
        }
        let token = ask::line()
            .await
            .context("reading the token from standard input")?;
        let token = token.trim();
        let verdict: Verdict = if token.len() > MAX_TOKEN_LEN {
            // The daemon does not read that much.
            Verdict::Invalid {
                reason: Reason::Malformed,
                path: Path {
                    via: Via::Local,
                    took_ms: 0.0,
                },
            }
        } else {
            let validate = daemon.post(&["tokens", "validate"]);
            let request = ValidateRequest {
                token: token.to_owned(),
                max_age: self.max_age.max(0.0),
            };
            validate.json_or_unavailable(&request).await?
        };
        if out.format == Format::Json {
            out.json(&verdict)?;
        }
        match &verdict {
            Verdict::Valid {
                partner,
                passport,
                path,
                ..
            } => {
                if out.format == Format::Table {
                    let mut properties = vec![
                        ("answer", "valid".to_owned()),
                        (
                            "partner",
                            format!("{} ({})", partner.name, partner.cloud_id),
                        ),
                    ];
                    if let Some(facts) = passport.as_deref().and_then(facts) {
                        properties.extend(describe(&facts));
                    }
                    properties.push(("decided", decided(*path)));
                    out.line(card(properties));
                }
                Ok(())
            }
            Verdict::Invalid { reason, path } | Verdict::Indeterminate { reason, path } => {
                if out.format == Format::Table {
                    let answer = match verdict {
                        Verdict::Indeterminate { .. } => "nobody can tell",
                        _ => "invalid",
                    };
                    out.line(card([
                        ("answer", answer.to_owned()),
                        ("reason", reason.to_string()),
                        ("decided", decided(*path)),
                    ]));
                }
                Err(Failure::refused(explain(*reason)))
            }
        }
    }
}

/// What the passport says. The daemon has verified it.
fn facts(passport: &str) -> Option<TokenFacts> {
    let payload = passport.split('.').nth(1)?;
    let json = BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?;
    let passport: Passport = serde_json::from_slice(&json).ok()?;
    Some(passport.token_introspection)
}

fn describe(facts: &TokenFacts) -> Vec<(&'static str, String)> {
    let named = |name: &str, domain: &str, id: &str| {
        format!("{} in {} ({id})", clean(name, 64), clean(domain, 64))
    };
    let project = facts.project.as_ref().map_or_else(
        || "none: the token is unscoped".to_owned(),
        |project| named(&project.name, &project.domain.name, &project.id),
    );
    vec![
        (
            "user at home",
            named(&facts.username, &facts.user_domain.name, &facts.sub),
        ),
        ("project at home", project),
        (
            "roles at home",
            facts
                .roles
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", "),
        ),
        ("logged in by", facts.methods.join(", ")),
        ("issued", facts.issued_at.to_string()),
        ("expires", facts.expires_at.to_string()),
    ]
}

fn decided(path: Path) -> String {
    let how = match path.via {
        Via::Local => "here, without asking anybody",
        Via::Cache => "from a fresh answer of the partner",
        Via::Asked => "by asking the partner",
        Via::Shared => "by asking the partner, together with another request",
    };
    format!("{how}, in {:.1} ms", path.took_ms)
}
