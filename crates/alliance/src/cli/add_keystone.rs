//! `alliance partner add-keystone`

use std::path::PathBuf;

use alliance_core::Seconds;
use alliance_core::partner::{AuthUrl, KeystoneAccess, Role};
use alliance_core::token::TokenFormat;
use anyhow::Context;
use clap::Args;

use super::ask::{self, Interrupt};
use super::operator::Operator;
use super::socket::Daemon;
use super::table::card;
use super::{Failure, Output, partner, when};
use crate::wire::{Applied, KeystoneFound, KeystoneRequest};

/// Make a cloud without Alliance a partner, by its Keystone: show what is there, ask, store
///
/// Its users come here with tokens that have no tag: from then on every untagged token of the
/// formats named is taken to be one of that cloud, and sent there to be validated. Its Keystone is
/// asked by a service user that its operator makes for you.
///
/// What this cloud's Keystone needs for its users is made with the OS_* credentials of this shell.
#[derive(Debug, Args)]
pub(super) struct AddKeystone {
    /// What the partner shall be called here
    #[arg(value_parser = partner::alias)]
    name: String,

    /// Its Keystone's version 3 URL
    #[arg(long, value_name = "URL")]
    auth_url: AuthUrl,

    /// The service user that you have there
    #[arg(long, value_name = "USER")]
    username: String,

    /// The file that holds the user's password, readable by the daemon's user and not by others
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,

    /// The domain of the user
    #[arg(long, value_name = "DOMAIN", default_value = "Default")]
    user_domain: String,

    /// The project on which the user holds role service
    #[arg(long, value_name = "PROJECT", default_value = "service")]
    project: String,

    /// The domain of that project
    #[arg(long, value_name = "DOMAIN", default_value = "Default")]
    project_domain: String,

    /// The formats of its tokens, separated by commas: uuid, fernet, pki, pkiz, jws
    #[arg(
        long,
        value_name = "FORMAT",
        value_delimiter = ',',
        num_args = 1,
        required = true
    )]
    token_format: Vec<TokenFormat>,

    /// Its keys, PEM: certificates that verify pki and pkiz tokens, public keys that verify jws ones
    #[arg(long, value_name = "FILE|FOLDER")]
    signing_keys: Option<PathBuf>,

    /// The authorities that sign its https certificate, PEM [default: those of this machine]
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// When the trust ends by itself
    #[arg(long, value_name = "DATE", value_parser = when::till, long_help = when::FORMS)]
    trust_till: Option<Seconds>,

    /// At most this many of its users here
    #[arg(long, value_name = "N")]
    max_users: Option<u32>,

    /// At most this many of its projects here
    #[arg(long, value_name = "N")]
    max_projects: Option<u32>,

    /// Add it without a question
    #[arg(long)]
    yes: bool,
}

impl AddKeystone {
    pub(super) async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        let yes = self.yes;
        let request = self.request().context("finding the files that are named")?;
        if !yes && !ask::is_terminal() {
            return Err(Failure::refused(
                "nobody can be asked here, for standard input is no terminal; nothing was changed. Run it on a \
                 terminal, or with --yes",
            ));
        }
        let operator = Operator::from_env()?;
        let mut interrupt = Interrupt::listen().context("listening to signals")?;

        let inspect = daemon.post(&["keystones", "inspect"]).patiently();
        let found: KeystoneFound = inspect.json(&request).await?;
        out.say(format_args!(
            "This Keystone answers:\n{}\n{}",
            describe(&request, &found),
            meaning(&request),
        ));
        for warning in &found.warnings {
            out.say(format_args!("warning: {warning}"));
        }
        if !yes {
            match interrupt.or(ask::confirm(out, "Add it?")).await {
                Some(true) => {}
                Some(false) | None => {
                    return Err(Failure::refused("not added; nothing was changed"));
                }
            }
        }

        let created = operator
            .ensure(&request.name, &found.cloud_id, out)
            .await
            .context("not added: Keystone was not prepared for the partner's users")?;
        let add = daemon.post(&["keystones"]).patiently();
        let added: Result<Applied, _> = add.json(&request).await;
        let applied = match added {
            Ok(applied) => applied,
            Err(error) if error.is_unreachable() => {
                return Err(Failure::from(error).context(
                    "nobody knows whether it was added; see alliance partner list, and repeat the command if it is not there",
                ));
            }
            Err(error) => {
                operator.undo(&created, out).await;
                return Err(error.into());
            }
        };
        out.say(format_args!(
            "Added: {0} is active ({1}, a plain Keystone).\n\
             Its users get nothing yet; to grant: alliance agreement create {0} --project PROJECT --role member",
            request.name,
            Role::Guest,
        ));
        partner::in_force(&applied)
    }

    /// What the daemon is told; it has another working directory.
    fn request(self) -> std::io::Result<KeystoneRequest> {
        let absolute = |path: PathBuf| std::path::absolute(path);
        Ok(KeystoneRequest {
            name: self.name,
            access: KeystoneAccess {
                auth_url: self.auth_url,
                username: self.username,
                user_domain_name: self.user_domain,
                project_name: self.project,
                project_domain_name: self.project_domain,
                password_file: absolute(self.password_file)?,
                ca_file: self.ca_file.map(absolute).transpose()?,
                formats: self.token_format.into_iter().collect(),
                signing_keys: self.signing_keys.map(absolute).transpose()?,
            },
            trust_till: self.trust_till,
            max_users: self.max_users,
            max_projects: self.max_projects,
        })
    }
}

/// What was found there.
fn describe(request: &KeystoneRequest, found: &KeystoneFound) -> String {
    let access = &request.access;
    let roles: Vec<_> = found.roles.iter().map(String::as_str).collect();
    let mut properties = vec![
        ("Keystone", access.auth_url.to_string()),
        ("Identity API", found.version.clone()),
        ("cloud id", found.cloud_id.to_string()),
        ("asked as", asked_as(access)),
        ("roles there", roles.join(", ")),
        ("token formats", formats(access)),
    ];
    if let Some(path) = &access.signing_keys {
        let keys = format!("{}, in {}", found.signing_keys, path.display());
        properties.push(("signing keys", keys));
    }
    card(properties)
}

/// What it may do, and what that costs.
fn meaning(request: &KeystoneRequest) -> String {
    let KeystoneRequest { name, access, .. } = request;
    format!(
        "{name} becomes a guest: its users may come here as far as agreements that you make allow, none for now. \
         Its tokens have no tag that says whose they are. So every untagged token of the formats {} that is shown \
         to this cloud is taken to be one of {name}'s and sent to {}, whoever's it is. Tokens are bearer tokens: this \
         cloud sees those of {name} and could use them there, as those users, until they expire.",
        formats(access),
        access.auth_url,
    )
}

/// `uuid, pki`
pub(super) fn formats(access: &KeystoneAccess) -> String {
    let formats: Vec<_> = access
        .formats
        .iter()
        .map(|format| format.as_str())
        .collect();
    formats.join(", ")
}

/// The service user, in words.
pub(super) fn asked_as(access: &KeystoneAccess) -> String {
    format!(
        "{} of domain {}, on project {} of domain {}",
        access.username, access.user_domain_name, access.project_name, access.project_domain_name
    )
}
