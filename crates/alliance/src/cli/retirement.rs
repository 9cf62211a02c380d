//! `alliance retirement` and `alliance orphan`

use alliance_core::label::clean;
use alliance_core::retirement::Phase;
use clap::{Args, Subcommand};

use super::output::Format;
use super::socket::Daemon;
use super::table::{card, listing};
use super::{Failure, Output, ask, when};
use crate::wire::{OrphanView, OrphansToRetire, RetirementView};

#[derive(Debug, Subcommand)]
pub(super) enum RetirementCommand {
    /// List partners' projects that are being retired here, and ours that were retired at partners
    List {
        /// Also those that are over
        #[arg(long)]
        all: bool,
    },
    /// Show one, with what became of each resource
    Show {
        /// Its id
        id: String,
    },
    /// Stop the clock of one: nothing more is stopped or deleted until `resume`
    Hold {
        /// Its id
        id: String,
    },
    /// Let one go on that was held
    Resume {
        /// Its id
        id: String,
    },
    Now(Now),
}

/// Do not wait for the dates of one; what home has to confirm it still has to
#[derive(Debug, Args)]
pub(super) struct Now {
    /// Its id
    id: String,

    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum OrphanCommand {
    /// List partners' projects here that no agreement covers and nobody retires
    ///
    /// Those of clouds that are no partners any more too.
    List,
    Retire(Retire),
}

/// Stop and delete what orphans have here
///
/// As when an agreement ends: what the last agreement says about times holds, a week if there was none. A
/// new agreement calls it off.
#[derive(Debug, Args)]
pub(super) struct Retire {
    /// Their ids here, as `alliance orphan list` shows them
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    ids: Vec<String>,

    /// All of them
    #[arg(long)]
    all: bool,

    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl RetirementCommand {
    pub(super) async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        match self {
            Self::List { all } => {
                let found: Vec<RetirementView> = daemon.get(&["retirements"]).send().await?;
                let shown = found.into_iter().filter(|view| all || is_open(view));
                list(&shown.collect::<Vec<_>>(), out)
            }
            Self::Show { id } => show(&daemon.get(&["retirements", &id]).send().await?, out),
            Self::Hold { id } => steer(daemon, &id, "hold", out).await,
            Self::Resume { id } => steer(daemon, &id, "resume", out).await,
            Self::Now(Now { id, yes }) => {
                let view: RetirementView = daemon.get(&["retirements", &id]).send().await?;
                let question = format!(
                    "Everything that project {} of {} has here is stopped and deleted now. Go on?",
                    view.project_id, view.partner
                );
                agree(yes, &question, out).await?;
                steer(daemon, &id, "now", out).await
            }
        }
    }
}

impl OrphanCommand {
    pub(super) async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        match self {
            Self::List => {
                let found: Vec<OrphanView> = daemon.get(&["orphans"]).send().await?;
                orphans(found, out)
            }
            Self::Retire(Retire { ids, all, yes }) => {
                let question = "Everything that these projects have here is stopped and, when their time is over, deleted. Go on?";
                agree(yes, question, out).await?;
                let wanted = OrphansToRetire {
                    host_project_ids: ids,
                    all,
                };
                let retire = daemon.post(&["orphans", "retire"]);
                let begun: Vec<RetirementView> = retire.json(&wanted).await?;
                list(&begun, out)
            }
        }
    }
}

/// Goes on only if the operator means it.
async fn agree(yes: bool, question: &str, out: &mut Output) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !ask::is_terminal() {
        return Err(Failure::refused(
            "nobody can be asked here, for standard input is no terminal; nothing was changed. \
             Say --yes if you mean it",
        ));
    }
    if ask::confirm(out, question).await {
        Ok(())
    } else {
        Err(Failure::refused("nothing was changed"))
    }
}

async fn steer(daemon: &Daemon, id: &str, how: &str, out: &mut Output) -> Result<(), Failure> {
    show(&daemon.post(&["retirements", id, how]).send().await?, out)
}

/// What is of interest without being asked for: what is not over, and what a partner has done.
fn is_open(view: &RetirementView) -> bool {
    !view.here || view.ended_at.is_none() || is_untold(view)
}

fn is_untold(view: &RetirementView) -> bool {
    let receipt = view.receipt.as_ref();
    receipt.is_some_and(|receipt| !receipt.acknowledged)
}

fn list(views: &[RetirementView], out: &mut Output) -> Result<(), Failure> {
    if out.format == Format::Json {
        return Ok(out.json(&views)?);
    }
    if views.is_empty() {
        out.say("no project is being retired");
    }
    out.line(listing(
        [
            "ID",
            "PARTNER",
            "WHERE",
            "PROJECT AT HOME",
            "CAUSE",
            "STATE",
            "STOPS",
            "DELETES",
            "LEFT",
            "RECEIPT",
        ],
        views.iter().map(|view| {
            [
                view.id.clone(),
                view.partner.clone(),
                place(view).to_owned(),
                view.project_id.clone(),
                view.cause.to_string(),
                state(view),
                when::rfc3339_or(view.quarantine_at, "-"),
                when::rfc3339_or(view.delete_at, "-"),
                view.remainder.to_string(),
                receipt(view),
            ]
        }),
    ));
    Ok(())
}

fn show(view: &RetirementView, out: &mut Output) -> Result<(), Failure> {
    if out.format == Format::Json {
        return Ok(out.json(view)?);
    }
    out.line(card(vec![
        ("id", view.id.clone()),
        ("partner", view.partner.clone()),
        ("where", place(view).to_owned()),
        ("project at home", clean(&view.project_id, 64)),
        ("project at the host", view.host_project_id.clone()),
        ("cause", view.cause.to_string()),
        ("state", state(view)),
        ("access ended", when::rfc3339(view.began)),
        ("stops", when::rfc3339_or(view.quarantine_at, "-")),
        ("stopped", when::rfc3339_or(view.quarantined_at, "-")),
        ("deletes", when::rfc3339_or(view.delete_at, "-")),
        ("over", when::rfc3339_or(view.ended_at, "-")),
        ("receipt", receipt(view)),
    ]));
    out.line(listing(
        ["KIND", "ID", "NAME", "STATE"],
        view.items.iter().map(|item| {
            [
                item.kind.clone(),
                item.id.clone(),
                item.name.clone().unwrap_or_default(),
                item.state.clone(),
            ]
        }),
    ));
    let left = view.items.iter().filter(|item| item.state == "left");
    for (item, why) in left.filter_map(|item| Some((item, item.detail.as_ref()?))) {
        let (kind, id) = (clean(&item.kind, 32), clean(&item.id, 64));
        out.line(format_args!("{kind} {id}: {}", clean(why, 400)));
    }
    Ok(())
}

fn place(view: &RetirementView) -> &'static str {
    if view.here { "here" } else { "there" }
}

fn state(view: &RetirementView) -> String {
    let phase = match view.phase {
        Phase::Deletion if view.remainder > 0 => "deletion, some is left".to_owned(),
        phase => phase.to_string(),
    };
    if view.held {
        format!("{phase}, held")
    } else if view.waits_since.is_some() {
        format!("{phase}, waits for home's word")
    } else {
        phase
    }
}

fn receipt(view: &RetirementView) -> String {
    match &view.receipt {
        None => "-".to_owned(),
        Some(receipt) => match (&receipt.refusal, receipt.acknowledged) {
            (Some(why), _) => format!("refused: {}", clean(why, 300)),
            (None, true) => "acknowledged".to_owned(),
            (None, false) => "not acknowledged yet".to_owned(),
        },
    }
}

fn orphans(found: Vec<OrphanView>, out: &mut Output) -> Result<(), Failure> {
    if out.format == Format::Json {
        return Ok(out.json(&found)?);
    }
    if found.is_empty() {
        out.say("no orphans: an agreement covers each partner's project, or it is being retired");
    }
    out.line(listing(
        [
            "ID HERE",
            "PARTNER",
            "PROJECT AT HOME",
            "ID AT HOME",
            "METERED RESOURCES",
            "LAST SEEN",
        ],
        found.into_iter().map(|view| {
            [
                view.host_project_id,
                view.partner,
                view.name.unwrap_or_default(),
                view.project_id,
                view.resources.to_string(),
                when::rfc3339_or(view.last_seen, "never"),
            ]
        }),
    ));
    Ok(())
}
