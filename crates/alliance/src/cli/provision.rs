//! `alliance provision`

mod file;
mod progress;

use std::path::PathBuf;

use alliance_core::provision::{Change, Parameters, What};
use alliance_peer::wire::StackReport;
use clap::{Args, Subcommand};
use serde_json::json;

use self::progress::follow;
use super::output::Format;
use super::socket::{Daemon, SocketError};
use super::table::listing;
use super::{Failure, Output, when};
use crate::wire::{
    OrderRequest, OrderView, OrderWanted, OrderedView, PlanRequest, PlanView, StacksView, Target,
    TemplateRequest,
};

/// What an order that makes no stack is called.
const PREPARED: &str = "project";

#[derive(Debug, Subcommand)]
pub(super) enum ProvisionCommand {
    /// Have a partner make a project ready before its first use
    ///
    /// The project is made there, and what agreements allow it at once is set. `apply` does so too, where
    /// none of the project's users has been yet.
    Prepare {
        #[command(flatten)]
        place: Place,
    },
    /// Show what `apply` would do, and do nothing
    Plan(Planned),
    /// Have a partner make what a plan says, or change what it made before
    ///
    /// The plan is a template as Heat reads it (HOT), of which networks, subnets, routers, security
    /// groups, ports, servers, volumes, attachments and web images are known. What it makes is a stack,
    /// and has a name in its project. If something cannot be made, what this order made is removed again.
    /// The order is kept and told again until the partner's daemon has it.
    ///
    /// With --format json: one event a line.
    Apply {
        #[command(flatten)]
        planned: Planned,
        /// Do not wait until it is done
        #[arg(long)]
        no_wait: bool,
    },
    /// Show how stacks are at a partner
    Status {
        /// The stack; all if none
        name: Option<String>,
        /// The partner
        #[arg(long, value_name = "PARTNER")]
        at: String,
        /// The project of this cloud; all if none
        #[arg(long, value_name = "NAME|ID")]
        project: Option<String>,
        /// Its domain, where several projects have that name
        #[arg(long, value_name = "NAME|ID")]
        project_domain: Option<String>,
    },
    /// Give up an apply that is under way: what it made is removed
    Cancel(Ordered),
    /// Remove all of a stack
    Destroy(Ordered),
}

#[derive(Debug, Args)]
pub(super) struct Place {
    /// The partner
    #[arg(long, value_name = "PARTNER")]
    at: String,

    /// The project of this cloud
    #[arg(long, value_name = "NAME|ID")]
    project: String,

    /// Its domain, where several projects have that name
    #[arg(long, value_name = "NAME|ID")]
    project_domain: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Planned {
    /// The plan, as YAML or JSON
    file: PathBuf,

    #[command(flatten)]
    place: Place,

    /// What the stack is called; the file's name without its ending if not given
    #[arg(long)]
    name: Option<String>,

    /// A value for a parameter of the plan
    #[arg(long = "parameter", value_name = "KEY=VALUE", value_parser = file::parameter)]
    parameters: Vec<(String, String)>,

    /// Delete resources that have changed, and make them again with all that needs them
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Args)]
pub(super) struct Ordered {
    /// The stack
    name: String,

    #[command(flatten)]
    place: Place,

    /// Do not wait until it is done
    #[arg(long)]
    no_wait: bool,
}

impl ProvisionCommand {
    pub(super) async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Prepare { place } => prepare(place, daemon, out).await,
            Self::Plan(planned) => {
                let request = planned.request()?;
                let plan: PlanView = ask_for_plan(daemon, &request).await?;
                match out.format {
                    Format::Json => Ok(out.json(&plan)?),
                    Format::Table => {
                        show_changes(&plan.changes, out);
                        Ok(())
                    }
                }
            }
            Self::Apply { planned, no_wait } => {
                let request = planned.request()?;
                match ask_for_plan(daemon, &request).await {
                    Ok(plan) if out.format == Format::Json => {
                        out.json_line(&json!({"event": "planned", "changes": plan.changes}))?;
                    }
                    Ok(plan) => show_changes(&plan.changes, out),
                    // The order waits until the partner can be reached.
                    Err(error @ SocketError::Internal { .. }) => {
                        out.say(format_args!("what would change is not known: {error}"));
                    }
                    Err(error) => return Err(error.into()),
                }
                let order = OrderRequest {
                    target: request.target,
                    name: request.name,
                    wanted: OrderWanted::Apply {
                        template: request.template,
                        replace: request.replace,
                    },
                };
                give(daemon, order, no_wait, out).await
            }
            Self::Status {
                name,
                at,
                project,
                project_domain,
            } => {
                let mut question = daemon.get(&["provisions"]).with("partner", &at).patiently();
                let filters = [
                    ("name", &name),
                    ("project", &project),
                    ("project_domain", &project_domain),
                ];
                for (key, value) in filters {
                    if let Some(value) = value {
                        question = question.with(key, value);
                    }
                }
                let view: StacksView = question.send().await?;
                if out.format == Format::Json {
                    return Ok(out.json(&view)?);
                }
                show_stacks(&view, name.is_some(), out);
                Ok(())
            }
            Self::Cancel(ordered) => ordered.give(OrderWanted::Cancel, daemon, out).await,
            Self::Destroy(ordered) => ordered.give(OrderWanted::Destroy, daemon, out).await,
        }
    }
}

impl Place {
    fn target(self) -> Target {
        Target {
            partner: self.at,
            project: self.project,
            project_domain: self.project_domain,
        }
    }
}

impl Planned {
    fn request(self) -> Result<PlanRequest, Failure> {
        let template = file::read(&self.file)?;
        let stem = self.file.file_stem().and_then(|stem| stem.to_str());
        let name = self.name.or_else(|| stem.map(str::to_owned));
        let parameters: Parameters = self.parameters.into_iter().collect();
        Ok(PlanRequest {
            target: self.place.target(),
            name: name.unwrap_or_default(),
            template: TemplateRequest {
                template,
                parameters,
            },
            replace: self.replace,
        })
    }
}

impl Ordered {
    async fn give(
        self,
        wanted: OrderWanted,
        daemon: &Daemon,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let order = OrderRequest {
            target: self.place.target(),
            name: self.name,
            wanted,
        };
        give(daemon, order, self.no_wait, out).await
    }
}

async fn prepare(place: Place, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
    let order = OrderRequest {
        target: place.target(),
        name: PREPARED.to_owned(),
        wanted: OrderWanted::Prepare,
    };
    let question = daemon.post(&["provisions"]).patiently();
    let ordered: OrderedView = question.json(&order).await?;
    if out.format == Format::Json {
        return Ok(out.json(&ordered)?);
    }
    let partner = &order.target.partner;
    match &ordered.detail {
        Some(why) => out.say(format_args!(
            "{partner} does not have the order {} yet, and is told again: {why}",
            ordered.order_id
        )),
        None => out.line(format_args!(
            "the project {} is at {partner} as {}",
            ordered.project_id, ordered.host_project_id
        )),
    }
    Ok(())
}

async fn ask_for_plan(daemon: &Daemon, request: &PlanRequest) -> Result<PlanView, SocketError> {
    let question = daemon.post(&["provisions", "plan"]).patiently();
    question.json(request).await
}

/// Gives an order, and waits until it is carried out.
async fn give(
    daemon: &Daemon,
    order: OrderRequest,
    no_wait: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let question = daemon.post(&["provisions"]).patiently();
    let ordered: OrderedView = question.json(&order).await?;
    if out.format == Format::Json {
        out.json_line(
            &json!({"event": "ordered", "order_id": ordered.order_id, "heard": ordered.heard}),
        )?;
    }
    let partner = &order.target.partner;
    match &ordered.detail {
        Some(why) => out.say(format_args!(
            "{partner} does not have the order {} yet, and is told again: {why}",
            ordered.order_id
        )),
        None if ordered.stack.is_none() => {
            out.say(format_args!("there is nothing to do at {partner}"));
            return Ok(());
        }
        None => {}
    }
    if no_wait {
        out.say(format_args!(
            "how it goes: alliance provision status {} --at {partner}",
            order.name
        ));
        return Ok(());
    }
    follow(daemon, &order, &ordered, out).await
}

fn show_changes(changes: &[Change], out: &mut Output) {
    if changes.iter().all(|change| change.what == What::Keep) {
        out.say("nothing would change");
    }
    let rows = changes.iter().map(|change| {
        let why = match &change.what {
            What::Replace { because } => format!("because of {because}"),
            What::Keep | What::Create | What::Delete => String::new(),
        };
        [
            change.what.as_str().to_owned(),
            change.resource.clone(),
            change.kind.to_string(),
            why,
        ]
    });
    out.line(listing(["CHANGE", "RESOURCE", "TYPE", "WHY"], rows));
}

fn show_stacks(view: &StacksView, is_one: bool, out: &mut Output) {
    for OrderView {
        order_id,
        name,
        action,
        ..
    } in view.orders.iter().filter(|order| !order.heard)
    {
        out.say(format_args!(
            "{action} of {name}: the partner does not have the order {order_id} yet, and is told again"
        ));
    }
    let rows = view.stacks.iter().map(|stack| {
        [
            stack.name.clone(),
            stack.project_id.clone(),
            stack.state.to_string(),
            format!("{}/{}", done(stack), stack.resources.len()),
            when::rfc3339_or(Some(stack.changed_at), "-"),
        ]
    });
    let headings = ["STACK", "PROJECT", "STATE", "RESOURCES", "SINCE"];
    out.line(listing(headings, rows));
    for stack in &view.stacks {
        if let Some(why) = &stack.detail {
            out.line(format_args!("\n{}: {why}", stack.name));
        }
        if is_one && !stack.resources.is_empty() {
            let rows = stack.resources.iter().map(|one| {
                [
                    one.resource.clone(),
                    one.kind.to_string(),
                    one.state.clone(),
                    one.id.clone().unwrap_or_default(),
                    one.detail.clone().unwrap_or_default(),
                ]
            });
            let headings = ["RESOURCE", "TYPE", "STATE", "ID THERE", "WHY"];
            out.line(format_args!("\n{}", listing(headings, rows)));
        }
    }
}

/// How many resources are there.
fn done(stack: &StackReport) -> usize {
    let done = stack.resources.iter().filter(|one| one.state == "done");
    done.count()
}
