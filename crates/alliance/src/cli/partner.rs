//! `alliance partner`

mod view;

use std::str::FromStr;

use alliance_core::Seconds;
use alliance_core::label::is_alias;
use alliance_core::partner::{Kind, Role};
use alliance_core::token::{Login, Mode, TokenFormat, TokenPolicy};
use clap::{Args, Subcommand, ValueEnum};

use super::accept::Accept;
use super::add_keystone::AddKeystone;
use super::invite::Invite;
use super::operator::Operator;
use super::output::Format;
use super::socket::Daemon;
use super::{Failure, Output, ask, when};
use crate::wire::{Applied, PartnerChange, PartnerView};

pub(super) use view::warnings;

#[derive(Debug, Subcommand)]
pub(super) enum PartnerCommand {
    Invite(Invite),
    Accept(Accept),
    AddKeystone(Box<AddKeystone>),
    /// List partners
    List,
    /// Show a partner, what both sides say of it, and what is wrong
    Show(Name),
    /// Stop a partner's tokens at once; `resume` brings it back
    Suspend(Name),
    /// Let a suspended or expired partner's tokens in again
    Resume(Name),
    Set(Set),
    /// Make what is missing in Keystone, enable what is disabled there, ask the partner for its news
    Repair(Name),
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(super) struct Name {
    /// What the partner is called here
    name: String,
}

/// What holds from the pairing on, until it is set anew
#[derive(Debug, Args)]
pub(super) struct Terms {
    /// When the trust ends by itself
    #[arg(long, value_name = "DATE", value_parser = when::till, long_help = when::FORMS)]
    pub trust_till: Option<Seconds>,

    /// How users of the two clouds log in at the other
    #[arg(
        long,
        value_name = "bearer|passport|both",
        default_value_t,
        hide_default_value = true,
        long_help = LOGIN
    )]
    pub login: Login,
}

/// Change a partner's limits, when the trust ends, or how its tokens are validated
#[derive(Debug, Args)]
pub(super) struct Set {
    /// What the partner is called here
    name: String,

    /// When the trust ends by itself: a date, a time, a duration, or never
    #[arg(long, value_name = "DATE|never", value_parser = trust_till)]
    trust_till: Option<Bound<Seconds>>,

    /// At most this many of its users here, or unlimited
    #[arg(long, value_name = "N|unlimited")]
    max_users: Option<Bound<u32>>,

    /// At most this many of its projects here, or unlimited
    #[arg(long, value_name = "N|unlimited")]
    max_projects: Option<Bound<u32>>,

    /// How its tokens of a format are validated; may be repeated
    #[arg(long, value_name = "FORMAT=MODE", value_parser = mode, long_help = MODES)]
    mode: Vec<(TokenFormat, Mode)>,

    /// Whether its signatures over SHA-1 count: for a Keystone that nobody can upgrade
    #[arg(long, value_name = "yes|no")]
    allow_sha1: Option<YesNo>,

    /// How users of the two clouds log in at the other
    #[arg(long, value_name = "bearer|passport|both", long_help = LOGIN)]
    login: Option<Login>,
}

pub(super) const LOGIN: &str = "\
How users of the two clouds log in at the other:
  bearer    with the token that they have at home; the host sees it
  passport  with a passport of home, once; the token stays at home. Users need the client
            plugin v3alliance; catalogs at home do not show the partner's regions
  both      either [default]";

const MODES: &str = "\
How its tokens of a format (uuid, fernet, pki, pkiz, jws) are validated; may be repeated. Modes:
  hard     its cloud is asked at each use, but for what Keystone itself remembers
  soft     its cloud's last word counts while it is fresh
  offline  by signature and revocation list, as far as these decide; else as soft. For pki, pkiz, jws";

/// An answer on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum YesNo {
    Yes,
    No,
}

/// End the partnership at once, also if the partner is dead
///
/// Its agreements end and its tokens stop. What was made for it in Keystone stays there, and is
/// named, unless --purge is given.
#[derive(Debug, Args)]
pub(super) struct Remove {
    /// What the partner is called here
    name: String,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// Delete what Alliance made for it in Keystone too, its users' and projects' entries included,
    /// with the OS_* credentials of this shell
    #[arg(long)]
    purge: bool,
}

/// A limit, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound<T>(Option<T>);

impl FromStr for Bound<u32> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "unlimited" => Ok(Self(None)),
            number => number
                .parse()
                .map(|number| Self(Some(number)))
                .map_err(|_| "expected a number or unlimited".to_owned()),
        }
    }
}

fn trust_till(text: &str) -> Result<Bound<Seconds>, when::BadTime> {
    match text {
        "never" => Ok(Bound(None)),
        time => when::till(time).map(|till| Bound(Some(till))),
    }
}

fn mode(text: &str) -> Result<(TokenFormat, Mode), String> {
    let (format, mode) = text
        .split_once('=')
        .ok_or("expected FORMAT=MODE, as pki=hard")?;
    let format = format
        .parse()
        .map_err(|error| format!("the format: {error}"))?;
    let mode = mode.parse().map_err(|error| format!("the mode: {error}"))?;
    TokenPolicy::default()
        .set(format, mode)
        .map_err(|error| error.to_string())?;
    Ok((format, mode))
}

/// Parses a name for a new partner.
pub(super) fn alias(text: &str) -> Result<String, String> {
    if is_alias(text) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 32 letters, digits, '-', '_' or '.', a letter or digit first".to_owned())
    }
}

impl PartnerCommand {
    pub(super) async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Invite(invite) => invite.run(daemon, out).await,
            Self::Accept(accept) => accept.run(daemon, out).await,
            Self::AddKeystone(add) => add.run(daemon, out).await,
            Self::List => {
                let partners: Vec<PartnerView> = daemon.get(&["partners"]).send().await?;
                view::list(&partners, out)
            }
            Self::Show(Name { name }) => view::show(&partner(daemon, &name).await?, out),
            Self::Suspend(Name { name }) => {
                let applied = turn(daemon, &name, "suspend").await?;
                let done = format!("{name} is suspended");
                report(&applied, &done, "its tokens are refused", out)
            }
            Self::Resume(Name { name }) => {
                let applied = turn(daemon, &name, "resume").await?;
                report(
                    &applied,
                    &format!("{name} is active"),
                    "its tokens are judged again",
                    out,
                )
            }
            Self::Set(set) => set.run(daemon, out).await,
            Self::Repair(Name { name }) => repair(daemon, &name, out).await,
            Self::Remove(remove) => remove.run(daemon, out).await,
        }
    }
}

impl Set {
    async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        let change = PartnerChange {
            trust_till: self.trust_till.map(|bound| bound.0),
            max_users: self.max_users.map(|bound| bound.0),
            max_projects: self.max_projects.map(|bound| bound.0),
            modes: self.mode.into_iter().collect(),
            allow_sha1: self.allow_sha1.map(|answer| answer == YesNo::Yes),
            login: self.login,
        };
        if change == PartnerChange::default() {
            return Err(Failure::Usage(
                "nothing to set: give --trust-till, --max-users, --max-projects, --mode, --allow-sha1 or --login"
                    .to_owned(),
            ));
        }
        let patch = daemon.patch(&["partners", &self.name]);
        let applied: Applied = patch.json(&change).await?;
        report(
            &applied,
            &format!("{} is changed", self.name),
            "in force at once",
            out,
        )
    }
}

impl Remove {
    async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        let operator = self.purge.then(Operator::from_env).transpose()?;
        let view = partner(daemon, &self.name).await?;
        let name = &view.partner.name;
        if !self.yes {
            let back = match view.partner.kind {
                Kind::Alliance => "only a new pairing brings it back",
                Kind::Keystone => "only adding it anew brings it back",
            };
            let question = format!(
                "Remove {name} ({})? Its agreements end, its tokens stop; {back}.",
                view.partner.cloud_id
            );
            if !ask::is_terminal() {
                return Err(Failure::refused(
                    "nobody can be asked here, for standard input is no terminal; nothing was changed. \
                     Say --yes if you mean it",
                ));
            }
            if !ask::confirm(out, &question).await {
                return Err(Failure::refused("not removed"));
            }
        }
        let applied = turn(daemon, name, "remove").await?;
        let reported = report(
            &applied,
            &format!("{name} is removed"),
            "its tokens are refused",
            out,
        );
        match operator {
            Some(operator) => {
                let purged = operator.purge(name, &view.partner.cloud_id, out).await;
                if let Err(error) = purged {
                    out.say(view::leftovers(&view));
                    return Err(error.into());
                }
            }
            None if view.partner.role.is_guest() => out.say(view::leftovers(&view)),
            None => {}
        }
        reported
    }
}

async fn repair(daemon: &Daemon, name: &str, out: &mut Output) -> Result<(), Failure> {
    let view = partner(daemon, name).await?;
    if let Some(operator) = Operator::if_guest(view.partner.role)? {
        let repaired = operator.repair(name, &view.partner.cloud_id, out).await;
        repaired.map_err(|error| error.context("Keystone is not repaired"))?;
    }
    let refresh = daemon.post(&["partners", name, "refresh"]).patiently();
    if let Err(error) = refresh.send::<PartnerView>().await {
        if error.is_unreachable() {
            return Err(error.into());
        }
        out.say(format_args!("warning: {name} gave no news: {error}"));
    }
    view::show(&partner(daemon, name).await?, out)
}

async fn partner(daemon: &Daemon, name: &str) -> Result<PartnerView, Failure> {
    Ok(daemon.get(&["partners", name]).send().await?)
}

async fn turn(daemon: &Daemon, name: &str, verb: &str) -> Result<Applied, Failure> {
    Ok(daemon.post(&["partners", name, verb]).send().await?)
}

/// Says that a change is stored, and if Keystone knows, what follows: if not, exit code 3.
pub(super) fn report(
    applied: &Applied,
    done: &str,
    effect: &str,
    out: &mut Output,
) -> Result<(), Failure> {
    match out.format {
        Format::Json => out.json(applied)?,
        Format::Table if applied.keystone_told => out.line(format_args!("{done}: {effect}")),
        Format::Table => out.line(done),
    }
    if let Some(detail) = applied.detail.as_deref().filter(|_| applied.keystone_told) {
        out.say(detail);
    }
    in_force(applied)
}

/// # Errors
/// If Keystone does not know yet.
pub(super) fn in_force(applied: &Applied) -> Result<(), Failure> {
    if applied.keystone_told {
        return Ok(());
    }
    let detail = applied.detail.as_deref();
    Err(Failure::Pending(
        detail
            .unwrap_or("stored, but Keystone has not been told; the daemon keeps trying")
            .to_owned(),
    ))
}

/// Says that a pairing is done, and what comes next.
pub(super) fn announce(name: &str, role: Role, fingerprint: &str, out: &mut Output) {
    out.say(format_args!(
        "Paired: {name} is active ({role}), fingerprint {fingerprint}."
    ));
    if role.is_guest() {
        out.say(format_args!(
            "Its users get nothing yet; to grant: alliance agreement create {name} --project PROJECT --role member"
        ));
    }
    if role.is_host() {
        out.say(format_args!(
            "Your users see its regions as soon as its operator grants your projects something."
        ));
    }
}
