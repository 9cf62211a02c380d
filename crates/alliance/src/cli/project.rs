//! `alliance project`

use alliance_core::limits::Standing;
use clap::Subcommand;

use super::output::Format;
use super::socket::Daemon;
use super::table::listing;
use super::{Failure, Output, when};
use crate::wire::{LimitView, ProjectView};

#[derive(Debug, Subcommand)]
pub(super) enum ProjectCommand {
    /// List which project here belongs to which project of which partner, and who of it is here
    ///
    /// Those that an agreement names, and those whose users were here. A project's name and domain are
    /// what its home last called them.
    List {
        /// Only those of this partner
        #[arg(long, value_name = "NAME")]
        partner: Option<String>,
    },
    /// List what this cloud's services allow partners' projects, and how much of it is used
    ///
    /// `alliance work` sets each limit of an agreement at the service that keeps it, within seconds after
    /// the first visit. A limit that was changed there by hand is left alone until the agreement changes.
    Limits {
        /// Only those of this partner
        #[arg(long, value_name = "NAME")]
        partner: Option<String>,
    },
}

impl ProjectCommand {
    pub(super) async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        match self {
            Self::List { partner } => list(partner, daemon, out).await,
            Self::Limits { partner } => limits(partner, daemon, out).await,
        }
    }
}

async fn list(partner: Option<String>, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
    let mut projects: Vec<ProjectView> = daemon.get(&["projects"]).send().await?;
    projects.retain(|view| partner.as_ref().is_none_or(|name| *name == view.partner));
    if out.format == Format::Json {
        return Ok(out.json(&projects)?);
    }
    if projects.is_empty() {
        out.say(
                "no projects: no agreement names one, and no partner's user was here; to agree: alliance agreement create",
            );
    }
    out.line(listing(
        [
            "PARTNER",
            "PROJECT AT HOME",
            "DOMAIN AT HOME",
            "ID AT HOME",
            "ID HERE",
            "AGREEMENTS",
            "USERS",
            "SESSIONS",
            "LAST SEEN",
        ],
        projects.into_iter().map(|view| {
            [
                view.partner,
                view.name.unwrap_or_default(),
                view.domain_name.unwrap_or_default(),
                view.project_id,
                view.host_project_id,
                view.agreements.len().to_string(),
                view.users.to_string(),
                view.sessions.to_string(),
                when::rfc3339_or(view.last_seen, "never"),
            ]
        }),
    ));
    Ok(())
}

async fn limits(partner: Option<String>, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
    let mut limits: Vec<LimitView> = daemon.get(&["projects", "limits"]).send().await?;
    limits.retain(|view| partner.as_ref().is_none_or(|name| *name == view.partner));
    if out.format == Format::Json {
        return Ok(out.json(&limits)?);
    }
    let mut problems: Vec<&str> = limits
        .iter()
        .filter_map(|view| view.problem.as_deref())
        .collect();
    problems.dedup();
    for problem in problems {
        out.say(format_args!("limits were not set: {problem}"));
    }
    let agreed: Vec<LimitView> = limits
        .into_iter()
        .filter(|view| view.standing != Standing::Free)
        .collect();
    if agreed.is_empty() {
        out.say("no limits: no agreement sets one for a project that was here; see alliance agreement change --quota");
    }
    out.line(listing(
        [
            "PARTNER",
            "PROJECT AT HOME",
            "REGION",
            "RESOURCE",
            "AGREED",
            "LIMIT",
            "USED",
            "STATE",
            "SEEN",
        ],
        agreed.into_iter().map(|view| {
            let state = in_words(&view);
            let limit = match view.limit {
                Some(-1) => "none".to_owned(),
                Some(limit) => limit.to_string(),
                None => String::new(),
            };
            [
                view.partner,
                view.project_name.unwrap_or(view.project_id),
                view.region,
                view.resource.map(|one| one.to_string()).unwrap_or_default(),
                view.agreed.map(|one| one.to_string()).unwrap_or_default(),
                limit,
                view.used.to_string(),
                state.to_owned(),
                when::rfc3339(view.at),
            ]
        }),
    ));
    Ok(())
}

fn in_words(view: &LimitView) -> &'static str {
    match view.standing {
        Standing::Free => "not agreed",
        Standing::Held => "as agreed",
        Standing::Over => "over: nothing more can be made",
        Standing::Altered => "changed by hand here",
        Standing::Watched => "only watched",
        Standing::WatchedOver => "over, only watched",
        Standing::Pending if view.problem.is_some() => "not set",
        Standing::Pending => "being set",
    }
}
