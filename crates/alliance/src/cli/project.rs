//! `alliance project`

use clap::Subcommand;

use super::output::Format;
use super::socket::Daemon;
use super::table::listing;
use super::{Failure, Output, when};
use crate::wire::ProjectView;

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
}

impl ProjectCommand {
    pub(super) async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        let Self::List { partner } = self;
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
}
