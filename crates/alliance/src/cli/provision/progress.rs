//! An order, as it is carried out: bars on a terminal, lines elsewhere, events for programs.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::time::Duration;

use alliance_core::label::clean;
use alliance_core::provision::StackState;
use alliance_peer::wire::StackReport;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::time::sleep;

use super::done;
use crate::cli::output::Format;
use crate::cli::socket::{Daemon, SocketError};
use crate::cli::{Failure, Output};
use crate::wire::{OrderRequest, OrderedView, StacksView};

/// How often the host is asked.
const LOOK: Duration = Duration::from_secs(1);
/// How wide what is under way may be shown.
const WIDTH: usize = 60;

/// Waits until the host has carried the order out, and shows how it goes. Daemons that are away for a
/// while are waited for.
///
/// # Errors
/// If it ends otherwise than it was meant to.
pub(super) async fn follow(
    daemon: &Daemon,
    order: &OrderRequest,
    ordered: &OrderedView,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut shown = Shown::new(out.format);
    let mut is_silent = false;
    if let Some(stack) = &ordered.stack {
        shown.show(stack, out)?;
        if !stack.state.is_open() {
            return shown.end(stack, out);
        }
    }
    loop {
        sleep(LOOK).await;
        let question = daemon
            .get(&["provisions"])
            .with("partner", &order.target.partner)
            .with("project", &ordered.project_id)
            .with("name", &order.name)
            .with("order", &ordered.order_id)
            .patiently();
        let view: StacksView = match question.send().await {
            Ok(view) => view,
            Err(error) if is_passing(&error) => {
                if !is_silent {
                    shown.remark(&format!("waiting: {error}"), out);
                }
                is_silent = true;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        is_silent = false;
        let given = view
            .orders
            .iter()
            .find(|given| given.order_id == ordered.order_id);
        if let Some(why) = given.and_then(|given| given.refused.as_ref()) {
            return Err(Failure::refused(format!(
                "{} does not do it: {why}",
                order.target.partner
            )));
        }
        let is_heard = given.is_some_and(|given| given.heard);
        let Some(stack) = view.stacks.first().filter(|_| is_heard) else {
            continue;
        };
        shown.show(stack, out)?;
        if !stack.state.is_open() {
            return shown.end(stack, out);
        }
    }
}

fn is_passing(error: &SocketError) -> bool {
    error.is_unreachable() || matches!(error, SocketError::Internal { .. })
}

/// What was shown already.
struct Shown {
    format: Format,
    bar: Option<ProgressBar>,
    states: BTreeMap<String, String>,
}

impl Shown {
    fn new(format: Format) -> Self {
        let bar = (format == Format::Table && stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(0);
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self {
            format,
            bar,
            states: BTreeMap::new(),
        }
    }

    fn show(&mut self, stack: &StackReport, out: &mut Output) -> Result<(), Failure> {
        let mut now: BTreeMap<String, String> = BTreeMap::new();
        for one in &stack.resources {
            now.insert(one.resource.clone(), one.state.clone());
            if self.states.get(&one.resource) == Some(&one.state) || one.state == "waiting" {
                continue;
            }
            match self.format {
                Format::Json => out.json_line(&json!({
                    "event": "resource", "resource": one.resource, "type": one.kind,
                    "state": one.state, "id": one.id,
                }))?,
                Format::Table if self.bar.is_none() => {
                    out.say(format_args!("{}: {}", one.resource, one.state));
                }
                Format::Table => {}
            }
        }
        for gone in self.states.keys().filter(|name| !now.contains_key(*name)) {
            match self.format {
                Format::Json => out.json_line(&json!({
                    "event": "resource", "resource": gone, "state": "removed",
                }))?,
                Format::Table if self.bar.is_none() => out.say(format_args!("{gone}: removed")),
                Format::Table => {}
            }
        }
        if let Some(bar) = &self.bar {
            let names = stack.resources.iter();
            let names = names.filter(|one| matches!(&*one.state, "started" | "removing"));
            let names: Vec<_> = names.map(|one| one.resource.as_str()).collect();
            bar.set_length(stack.resources.len() as u64);
            bar.set_position(done(stack) as u64);
            let under_way = clean(&names.join(", "), WIDTH);
            bar.set_message(match stack.state {
                StackState::Undoing => format!("undoing: {under_way}"),
                _ => under_way,
            });
        }
        self.states = now;
        Ok(())
    }

    fn remark(&self, text: &str, out: &mut Output) {
        match &self.bar {
            Some(bar) => bar.suspend(|| out.say(text)),
            None => out.say(text),
        }
    }

    /// The last word.
    fn end(self, stack: &StackReport, out: &mut Output) -> Result<(), Failure> {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        let (state, detail) = (stack.state, stack.detail.as_deref());
        match self.format {
            Format::Json => out.json_line(
                &json!({"event": "stack", "stack": stack.name, "state": state, "detail": detail}),
            )?,
            Format::Table => out.line(format_args!("{}: {state}", stack.name)),
        }
        match state {
            StackState::Failed | StackState::Cancelled => {
                Err(Failure::refused(detail.unwrap_or("it was not done")))
            }
            _ => Ok(()),
        }
    }
}
