//! `alliance token`

mod inspect;

use std::ffi::{OsStr, OsString};

use alliance_core::label::clean;
use alliance_core::refusal::Reason;
use alliance_core::statement::TokenFacts;
use alliance_core::token::Mode;
use alliance_token::{MAX_TOKEN_LEN, Malformed, Token};
use anyhow::Context;
use clap::{Args, Subcommand};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use self::inspect::Inspect;
use super::output::Format;
use super::partner::report;
use super::reason::explain;
use super::socket::Daemon;
use super::table::card;
use super::{Failure, Output, ask};
use crate::wire::{Applied, Path, RevokeRequest, ValidateRequest, Verdict, Via};

/// What is said to arguments that may hold a token; they are not repeated.
pub(super) const NEVER_AN_ARGUMENT: &str = "a token is never an argument: every user of this machine could see it, and the \
     shell keeps it. Use: alliance token validate - < FILE. If that was a token, revoke it: openstack token revoke";

/// Whether a token may stand among the arguments of a command that reads one. None begins with a
/// dash.
pub(super) fn may_be_an_argument(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let mut after = arguments
        .into_iter()
        .skip_while(|argument| {
            !["validate", "inspect", "revoke"]
                .iter()
                .any(|word| argument == word)
        })
        .skip(1);
    after.any(|argument| !argument.as_encoded_bytes().starts_with(b"-"))
}

/// More than any answer may be old: the daemon bounds it by its own max_staleness.
const AS_OLD_AS_ALLOWED: f64 = 1e6;

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    Inspect(Inspect),
    Validate(Validate),
    Revoke(Revoke),
}

/// End a token: one of this cloud's everywhere, a partner's here
///
/// With it ends what was made from it. Reads the token from standard input.
#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// Always -: the token comes from standard input
    #[arg(value_name = "-")]
    source: OsString,
}

/// Judge a partner's token as Keystone would, and say why
///
/// Reads the token from standard input, so that neither `ps` nor the shell's history sees it.
/// Without an option, the partner's policy decides how (alliance partner show), and whoever is asked
/// is asked now.
///
/// Exit code 0 if it is valid.
#[derive(Debug, Args)]
pub(super) struct Validate {
    /// Always -: the token comes from standard input
    #[arg(value_name = "-")]
    source: OsString,

    /// Ask its issuer now
    #[arg(long, group = "how")]
    hard: bool,

    /// Believe its issuer's last answer while it is fresh ([tokens] max_staleness)
    #[arg(long, group = "how")]
    soft: bool,

    /// By signature and revocation list alone, without asking anybody
    #[arg(long, group = "how")]
    offline: bool,
}

impl TokenCommand {
    pub(super) async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Inspect(inspect) => inspect.run(out).await,
            Self::Validate(validate) => validate.run(daemon, out).await,
            Self::Revoke(revoke) => {
                let token = read_token(&revoke.source, out).await?;
                let request = daemon.post(&["tokens", "revoke"]).patiently();
                let applied: Applied = request.json(&RevokeRequest { token }).await?;
                report(&applied, "revoked", "it opens nothing any more", out)
            }
        }
    }
}

/// The token on standard input; `source` is what stands in its place on the command line.
async fn read_token(source: &OsStr, out: &mut Output) -> Result<String, Failure> {
    if source != "-" {
        return Err(Failure::Usage(NEVER_AN_ARGUMENT.to_owned()));
    }
    if ask::is_terminal() {
        out.prompt("Token: ");
    }
    let token = ask::line()
        .await
        .context("reading the token from standard input")?;
    Ok(token.trim().to_owned())
}

impl Validate {
    fn request(&self, token: &str) -> ValidateRequest {
        let (mode, max_age) = match (self.hard, self.soft, self.offline) {
            (true, ..) => (Some(Mode::Hard), 0.0),
            (_, true, _) => (Some(Mode::Soft), AS_OLD_AS_ALLOWED),
            (.., true) => (Some(Mode::Offline), AS_OLD_AS_ALLOWED),
            (false, false, false) => (None, 0.0),
        };
        ValidateRequest {
            token: token.to_owned(),
            max_age,
            held_for: 0.0,
            mode,
            refuse_expired: true,
            explain: true,
        }
    }

    async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        let token = read_token(&self.source, out).await?;
        let verdict: Verdict = if token.len() > MAX_TOKEN_LEN {
            // The daemon does not read that much.
            Verdict::Invalid {
                reason: Reason::Malformed,
                path: Path {
                    via: Via::Local,
                    took_ms: 0.0,
                    steps: Vec::new(),
                },
            }
        } else {
            let validate = daemon.post(&["tokens", "validate"]);
            validate.json_or_unavailable(&self.request(&token)).await?
        };
        if out.format == Format::Json {
            out.json(&verdict)?;
        }
        match &verdict {
            Verdict::Valid {
                partner,
                passport,
                attestation,
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
                    let word = passport.as_deref().or(attestation.as_deref());
                    if let Some(facts) = word.and_then(facts) {
                        properties.extend(describe(&facts));
                    }
                    properties.extend(way(path));
                    out.line(card(properties));
                }
                Ok(())
            }
            Verdict::Invalid { reason, path } | Verdict::Indeterminate { reason, path } => {
                if out.format == Format::Table {
                    let answer = match verdict {
                        Verdict::Indeterminate { .. } => "indeterminate: nobody can tell now",
                        _ => "invalid",
                    };
                    let mut properties = vec![
                        ("answer", answer.to_owned()),
                        ("reason", reason.to_string()),
                    ];
                    properties.extend(way(path));
                    out.line(card(properties));
                }
                Err(match Token::parse(&token) {
                    // That is no matter of its spelling.
                    Err(why @ Malformed::TooLong) => Failure::refused(why.to_string()),
                    _ => Failure::refused(explain(*reason)),
                })
            }
        }
    }
}

/// What a passport or an attestation says. The daemon has verified or made it.
fn facts(word: &str) -> Option<TokenFacts> {
    #[derive(Deserialize)]
    struct Claims {
        token_introspection: TokenFacts,
    }
    let payload = word.split('.').nth(1)?;
    let json = BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?;
    let claims: Claims = serde_json::from_slice(&json).ok()?;
    Some(claims.token_introspection)
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

/// How the answer came about, step by step.
fn way(path: &Path) -> Vec<(&'static str, String)> {
    let how = match path.via {
        Via::Local => "here, without asking anybody",
        Via::Offline => "here, by signature and revocation list",
        Via::Cache => "from a fresh answer of the partner",
        Via::Asked => "by asking the partner",
        Via::Shared => "by asking the partner, together with another request",
    };
    let mut way = vec![("decided", format!("{how}, in {:.1} ms", path.took_ms))];
    if !path.steps.is_empty() {
        let steps: Vec<String> = path
            .steps
            .iter()
            .map(|step| format!("{} {:.2} ms", step.name, step.took_ms))
            .collect();
        way.push(("steps", steps.join(", ")));
    }
    way
}
