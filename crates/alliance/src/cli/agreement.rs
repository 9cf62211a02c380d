//! `alliance agreement`

mod terms;
mod view;

use std::collections::BTreeSet;

use alliance_core::Seconds;
use alliance_core::agreement::Door;
use clap::{Args, Subcommand};

use self::terms::{Limits, Unlimited, list as list_change};
use self::view::{describe, direction, history, join, project, services, version};

use super::output::Format;
use super::partner::{in_force, report};
use super::socket::Daemon;
use super::table::listing;
use super::{Failure, Output, when};
use crate::wire::{
    AgreementApplied, AgreementRequest, AgreementView, ChangeRequest, EndRequest, ReplyRequest,
    Standing,
};

pub(super) use self::view::waits;

#[derive(Debug, Subcommand)]
pub(super) enum AgreementCommand {
    #[command(visible_alias = "add")]
    Create(Box<Create>),
    Change(Box<Change>),
    /// List the agreements that hold, given and received
    List {
        /// Also those that have ended
        #[arg(long)]
        all: bool,
        /// Only those with this partner
        #[arg(long, value_name = "NAME")]
        partner: Option<String>,
    },
    /// Show one agreement: what it says, which version is in force, and who has signed it
    Show {
        /// Its id
        id: String,
    },
    /// Show all versions of an agreement, and who changed what when
    History {
        /// Its id
        id: String,
    },
    Accept(Accept),
    Reject(Reject),
    End(End),
}

/// Grant a partner's project roles here
#[derive(Debug, Args)]
pub(super) struct Create {
    /// What the partner is called here
    partner: String,

    #[command(flatten)]
    project: Project,

    /// A role that its users may have here if they have it at home too; may be repeated
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<String>,

    /// A service type that the project's users see; may be repeated [default: those that their own
    /// cloud has]
    #[arg(long = "service", value_name = "TYPE")]
    services: Vec<String>,

    /// When the agreement ends by itself
    #[arg(long, value_name = "DATE", value_parser = when::till, long_help = when::FORMS)]
    till: Option<Seconds>,

    /// Let the partner's own guests come as well
    #[arg(long)]
    transitive: bool,

    /// What the project's users may make here although it outlives their login: any of
    /// application-credentials, ec2, totp, trusts, oauth
    ///
    /// It works as long as home, which is asked at each use, stands by the user, the project and the
    /// roles; while home cannot be reached, for [tokens] guest_grace. A logout at home does not end it.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    allow: Vec<Door>,

    #[command(flatten)]
    limits: Limits,
}

/// Make the next version of an agreement that this cloud gave
///
/// What is not named stays as it is. What costs the partner nothing, or no more than it has agreed to,
/// is in force at once; with other prices the version before is in force until the partner's operator
/// has accepted the new one.
#[derive(Debug, Args)]
pub(super) struct Change {
    /// The agreement's id
    id: String,

    /// A role that the project's users may have, in place of those so far; may be repeated
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,

    /// A service type that they see, in place of those so far; may be repeated
    #[arg(long = "service", value_name = "TYPE")]
    services: Vec<String>,

    /// They see the service types that their own cloud has
    #[arg(long, conflicts_with = "services")]
    any_service: bool,

    /// When the agreement ends by itself
    #[arg(long, value_name = "DATE", value_parser = when::till, long_help = when::FORMS)]
    till: Option<Seconds>,

    /// It does not end by itself
    #[arg(long, conflicts_with = "till")]
    no_till: bool,

    /// Whether the partner's own guests may come as well
    #[arg(long, value_name = "yes|no", value_parser = yes_or_no)]
    transitive: Option<bool>,

    /// What the project's users may make although it outlives their login, in place of that so far
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    allow: Vec<Door>,

    /// They may make nothing that outlives their login
    #[arg(long, conflicts_with = "allow")]
    allow_none: bool,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    unlimited: Unlimited,
}

/// Accept the newest version of an agreement that a partner gave
///
/// Only versions with prices wait for that; it is in force as soon as the partner's daemon has heard it.
#[derive(Debug, Args)]
pub(super) struct Accept {
    /// The agreement's id
    id: String,

    /// The version that is meant, so that nothing is accepted that came meanwhile
    #[arg(long, value_name = "N")]
    version: Option<u32>,
}

/// Say no to the newest version of an agreement; the version before goes on
#[derive(Debug, Args)]
pub(super) struct Reject {
    /// The agreement's id
    id: String,

    /// The version that is meant
    #[arg(long, value_name = "N")]
    version: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct Project {
    /// The project at the partner: its name, its id, or '*' for each of that cloud's own
    #[arg(long, value_name = "NAME|ID|*")]
    project: String,

    /// The project's domain at the partner, where several projects have that name
    #[arg(long, value_name = "NAME|ID")]
    project_domain: Option<String>,
}

/// End an agreement at once, given or received
#[derive(Debug, Args)]
pub(super) struct End {
    /// The agreement's id; or, with --project, what the partner is called here
    #[arg(value_name = "ID|PARTNER")]
    what: String,

    /// The project at the partner: its name, its id, or '*', for an agreement that this cloud gave
    #[arg(long, value_name = "NAME|ID|*")]
    project: Option<String>,

    /// The project's domain at the partner, where several projects have that name
    #[arg(long, value_name = "NAME|ID", requires = "project")]
    project_domain: Option<String>,
}

fn yes_or_no(text: &str) -> Result<bool, &'static str> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("expected yes or no"),
    }
}

impl AgreementCommand {
    pub(super) async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(daemon, out).await,
            Self::List { all, partner } => list(daemon, all, partner.as_deref(), out).await,
            Self::Show { id } => {
                let view: AgreementView = daemon.get(&["agreements", &id]).send().await?;
                match out.format {
                    Format::Json => out.json(&view)?,
                    Format::Table => out.line(describe(&view)),
                }
                Ok(())
            }
            Self::History { id } => {
                let view: AgreementView = daemon.get(&["agreements", &id]).send().await?;
                match (&view.contract, out.format) {
                    (Some(contract), Format::Json) => out.json(&contract.versions)?,
                    (Some(contract), Format::Table) => out.line(history(contract)),
                    (None, _) => {
                        return Err(Failure::refused(
                            "the host's daemon signs no agreements: nothing is known of earlier versions",
                        ));
                    }
                }
                Ok(())
            }
            Self::Change(change) => change.run(daemon, out).await,
            Self::Accept(Accept { id, version }) => {
                reply(daemon, &id, "accept", version, "accepted", out).await
            }
            Self::Reject(Reject { id, version }) => {
                reply(daemon, &id, "reject", version, "rejected", out).await
            }
            Self::End(end) => end.run(daemon, out).await,
        }
    }
}

impl Create {
    async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        let services: BTreeSet<String> = self.services.into_iter().collect();
        let request = AgreementRequest {
            partner: self.partner,
            project: self.project.project,
            project_domain: self.project.project_domain,
            roles: self.roles.into_iter().collect(),
            services: (!services.is_empty()).then_some(services),
            till: self.till,
            transitive: self.transitive,
            allow: self.allow.into_iter().collect(),
            limits: self.limits.request(&Unlimited::default()),
        };
        let create = daemon.post(&["agreements"]).patiently();
        let answer: AgreementApplied = create.json(&request).await?;
        conclude(&answer, "agreed", "it holds from now on", out)
    }
}

impl Change {
    async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        let roles: BTreeSet<String> = self.roles.into_iter().collect();
        let allow: BTreeSet<Door> = self.allow.into_iter().collect();
        let request = ChangeRequest {
            roles: (!roles.is_empty()).then_some(roles),
            services: list_change(self.services, self.any_service),
            till: match self.no_till {
                true => Some(None),
                false => self.till.map(Some),
            },
            transitive: self.transitive,
            allow: (!allow.is_empty() || self.allow_none).then_some(allow),
            limits: self.limits.request(&self.unlimited),
        };
        let change = daemon.patch(&["agreements", &self.id]).patiently();
        let answer: AgreementApplied = change.json(&request).await?;
        conclude(&answer, "changed", "it holds from now on", out)
    }
}

impl End {
    async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        let answer: AgreementApplied = match self.project {
            Some(project) => {
                let request = EndRequest {
                    partner: self.what,
                    project,
                    project_domain: self.project_domain,
                };
                let end = daemon.post(&["agreements", "end"]).patiently();
                end.json(&request).await?
            }
            None => {
                let end = daemon.post(&["agreements", &self.what, "end"]);
                end.patiently().send().await?
            }
        };
        conclude(&answer, "ended", "what it granted is taken back", out)
    }
}

async fn reply(
    daemon: &Daemon,
    id: &str,
    verb: &str,
    version: Option<u32>,
    done: &str,
    out: &mut Output,
) -> Result<(), Failure> {
    let reply = daemon.post(&["agreements", id, verb]).patiently();
    let answer: AgreementApplied = reply.json(&ReplyRequest { version }).await?;
    conclude(&answer, done, "the host knows it", out)
}

fn conclude(
    answer: &AgreementApplied,
    done: &str,
    effect: &str,
    out: &mut Output,
) -> Result<(), Failure> {
    if out.format == Format::Json {
        out.json(answer)?;
    } else {
        for view in &answer.agreements {
            out.line(describe(view));
        }
    }
    if answer.host_told == Some(false) {
        return Err(Failure::Pending(
            "stored, but the host has not heard it; the daemon tells it as soon as it answers"
                .to_owned(),
        ));
    }
    if out.format == Format::Json {
        return in_force(&answer.applied);
    }
    let open = answer.agreements.iter().find_map(|view| {
        let contract = view.contract.as_ref()?;
        let is_open = !view.received && contract.standing == Standing::Proposed;
        is_open.then(|| format!("proposed: {}", waits(view, contract)))
    });
    match open.filter(|_| done != "ended") {
        Some(open) => {
            out.line(open);
            in_force(&answer.applied)
        }
        None => report(&answer.applied, done, effect, out),
    }
}

async fn list(
    daemon: &Daemon,
    all: bool,
    partner: Option<&str>,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut agreements: Vec<AgreementView> = daemon.get(&["agreements"]).send().await?;
    agreements.retain(|view| {
        (all || matches!(
            view.state.as_str(),
            "live" | "future" | "proposed" | "rejected" | "withheld"
        )) && partner.is_none_or(|name| name == view.partner_name)
    });
    if out.format == Format::Json {
        return Ok(out.json(&agreements)?);
    }
    if agreements.is_empty() {
        out.say("no agreements; to grant: alliance agreement create PARTNER --project PROJECT --role ROLE");
    }
    out.line(listing(
        [
            "ID", "PARTNER", "", "PROJECT", "ROLES", "SERVICES", "STATE", "VERSION", "TILL",
        ],
        agreements.into_iter().map(|view| {
            [
                view.agreement.id.clone(),
                view.partner_name.clone(),
                direction(&view).to_owned(),
                project(&view),
                join(view.agreement.terms.roles.iter().map(String::as_str)),
                services(&view.agreement.terms),
                view.state.clone(),
                version(&view),
                when::rfc3339_or(view.agreement.terms.till, "-"),
            ]
        }),
    ));
    Ok(())
}
