//! `alliance agreement`

use std::collections::BTreeSet;

use alliance_core::Seconds;
use alliance_core::agreement::Door;
use alliance_core::label::clean;
use clap::{Args, Subcommand};

use super::output::Format;
use super::partner::{in_force, report};
use super::socket::Daemon;
use super::table::{card, listing};
use super::{Failure, Output, when};
use crate::wire::{AgreementApplied, AgreementRequest, AgreementView, EndRequest};

#[derive(Debug, Subcommand)]
pub(super) enum AgreementCommand {
    Create(Create),
    /// List the agreements that hold, given and received
    List {
        /// Also those that have ended
        #[arg(long)]
        all: bool,
        /// Only those with this partner
        #[arg(long, value_name = "NAME")]
        partner: Option<String>,
    },
    /// Show one agreement
    Show {
        /// Its id
        id: String,
    },
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

/// End an agreement at once
#[derive(Debug, Args)]
pub(super) struct End {
    /// What the partner is called here
    partner: String,

    #[command(flatten)]
    project: Project,
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
        };
        let create = daemon.post(&["agreements"]).patiently();
        let answer: AgreementApplied = create.json(&request).await?;
        conclude(&answer, "agreed", "it holds from now on", out)
    }
}

impl End {
    async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        let request = EndRequest {
            partner: self.partner,
            project: self.project.project,
            project_domain: self.project.project_domain,
        };
        let end = daemon.post(&["agreements", "end"]).patiently();
        let answer: AgreementApplied = end.json(&request).await?;
        conclude(&answer, "ended", "what it granted is taken back", out)
    }
}

fn conclude(
    answer: &AgreementApplied,
    done: &str,
    effect: &str,
    out: &mut Output,
) -> Result<(), Failure> {
    if out.format == Format::Json {
        out.json(answer)?;
        return in_force(&answer.applied);
    }
    for view in &answer.agreements {
        out.line(describe(view));
    }
    report(&answer.applied, done, effect, out)
}

async fn list(
    daemon: &Daemon,
    all: bool,
    partner: Option<&str>,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut agreements: Vec<AgreementView> = daemon.get(&["agreements"]).send().await?;
    agreements.retain(|view| {
        (all || matches!(view.state.as_str(), "live" | "future"))
            && partner.is_none_or(|name| name == view.partner_name)
    });
    if out.format == Format::Json {
        return Ok(out.json(&agreements)?);
    }
    if agreements.is_empty() {
        out.say("no agreements; to grant: alliance agreement create PARTNER --project PROJECT --role ROLE");
    }
    out.line(listing(
        [
            "ID", "PARTNER", "", "PROJECT", "ROLES", "SERVICES", "STATE", "TILL",
        ],
        agreements.into_iter().map(|view| {
            [
                view.agreement.id.clone(),
                view.partner_name.clone(),
                direction(&view).to_owned(),
                project(&view),
                join(view.agreement.roles.iter().map(String::as_str)),
                services(&view),
                view.state.clone(),
                when::rfc3339_or(view.agreement.till, "-"),
            ]
        }),
    ));
    Ok(())
}

fn describe(view: &AgreementView) -> String {
    let agreement = &view.agreement;
    let mut properties = vec![
        ("id", agreement.id.clone()),
        (
            "partner",
            format!("{} ({})", view.partner_name, agreement.partner),
        ),
        ("direction", direction(view).to_owned()),
        ("project", project(view)),
        ("project id at home", agreement.projects.to_string()),
        (
            "project id at the host",
            view.host_project_id.clone().unwrap_or_default(),
        ),
        ("roles", join(agreement.roles.iter().map(String::as_str))),
        ("services", services(view)),
        (
            "partner's guests too",
            if agreement.transitive { "yes" } else { "no" }.to_owned(),
        ),
        (
            "may outlive a login",
            match agreement.allow.is_empty() {
                true => "nothing".to_owned(),
                false => join(agreement.allow.iter().map(|door| door.as_str())),
            },
        ),
        ("state", view.state.clone()),
        ("since", when::rfc3339(agreement.since)),
        (
            "till",
            when::rfc3339_or(agreement.till, "never ends by itself"),
        ),
    ];
    if agreement.ended_at.is_some() {
        properties.push(("ended", when::rfc3339_or(agreement.ended_at, "")));
    }
    card(properties)
}

fn direction(view: &AgreementView) -> &'static str {
    if view.received { "received" } else { "given" }
}

fn project(view: &AgreementView) -> String {
    let agreement = &view.agreement;
    let id = agreement.projects.to_string();
    match (&agreement.project_name, &agreement.project_domain) {
        (Some(name), Some(domain)) => format!("{} in {}", clean(name, 64), clean(domain, 64)),
        (Some(name), None) => clean(name, 64),
        _ if id == "*" => "all".to_owned(),
        _ => id,
    }
}

fn services(view: &AgreementView) -> String {
    let services = view.agreement.services.as_ref();
    services.map_or_else(
        || "those of home".to_owned(),
        |services| join(services.iter().map(String::as_str)),
    )
}

fn join<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}
