//! `alliance session`

use alliance_core::label::clean;
use clap::{Args, Subcommand};

use super::output::Format;
use super::partner::report;
use super::socket::Daemon;
use super::table::{card, listing};
use super::{Failure, Output, when};
use crate::wire::{Applied, SessionView};

#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// List which users of partners are here, with what was made from their tokens, and which of ours
    /// are abroad
    List {
        /// Also those that were ended before their time
        #[arg(long)]
        all: bool,
        /// Only those of this partner
        #[arg(long, value_name = "NAME")]
        partner: Option<String>,
        /// Only those of this user, by the id at home
        #[arg(long, value_name = "ID")]
        user: Option<String>,
    },
    /// Show one session
    Show(Id),
    /// End a session here at once; its user can log in at home and come again
    End(Id),
}

#[derive(Debug, Args)]
pub(super) struct Id {
    /// Its id
    // One of 64 begins with a hyphen: it is Keystone's base64url.
    #[arg(allow_hyphen_values = true)]
    id: String,
}

impl SessionCommand {
    pub(super) async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        match self {
            Self::List { all, partner, user } => {
                let mut sessions = sessions(daemon).await?;
                sessions.retain(|view| {
                    (all || !view.ended)
                        && partner.as_ref().is_none_or(|name| *name == view.partner)
                        && user.as_ref().is_none_or(|id| *id == view.user_id)
                });
                list(&sessions, out)
            }
            Self::Show(Id { id }) => {
                let all = sessions(daemon).await?;
                let view = all.into_iter().find(|view| view.id == id);
                let view = view.ok_or_else(|| {
                    Failure::refused(format!(
                        "no session has the id {id:?}; see alliance session list"
                    ))
                })?;
                match out.format {
                    Format::Json => out.json(&view)?,
                    Format::Table => out.line(describe(&view)),
                }
                Ok(())
            }
            Self::End(Id { id }) => {
                let end = daemon.post(&["sessions", &id, "end"]).patiently();
                let applied: Applied = end.send().await?;
                report(&applied, "ended", "its tokens open nothing any more", out)
            }
        }
    }
}

async fn sessions(daemon: &Daemon) -> Result<Vec<SessionView>, Failure> {
    Ok(daemon.get(&["sessions"]).send().await?)
}

fn list(sessions: &[SessionView], out: &mut Output) -> Result<(), Failure> {
    if out.format == Format::Json {
        return Ok(out.json(&sessions)?);
    }
    if sessions.is_empty() {
        out.say("nobody is here, and nobody of ours abroad");
    }
    out.line(listing(
        [
            "ID",
            "PARTNER",
            "WHERE",
            "USER AT HOME",
            "PROJECT AT HOME",
            "ISSUED",
            "EXPIRES",
            "TOKENS",
            "STATE",
        ],
        sessions.iter().map(|view| {
            [
                view.id.clone(),
                view.partner.clone(),
                place(view).to_owned(),
                clean(&view.user_id, 64),
                project(view),
                when::rfc3339(view.issued_at),
                when::rfc3339(view.expires_at),
                view.tokens.to_string(),
                state(view).to_owned(),
            ]
        }),
    ));
    Ok(())
}

fn describe(view: &SessionView) -> String {
    card(vec![
        ("id", view.id.clone()),
        ("partner", view.partner.clone()),
        ("where", place(view).to_owned()),
        ("user at home", clean(&view.user_id, 64)),
        ("project at home", project(view)),
        ("issued", when::rfc3339(view.issued_at)),
        ("expires", when::rfc3339(view.expires_at)),
        ("tokens", view.tokens.to_string()),
        ("state", state(view).to_owned()),
    ])
}

fn project(view: &SessionView) -> String {
    view.project_id
        .as_ref()
        .map_or_else(|| "-".to_owned(), |id| clean(id, 64))
}

fn place(view: &SessionView) -> &'static str {
    if view.abroad { "there" } else { "here" }
}

fn state(view: &SessionView) -> &'static str {
    if view.ended { "ended" } else { "live" }
}
