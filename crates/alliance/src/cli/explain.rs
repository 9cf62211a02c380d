//! `alliance explain`

use std::env;

use alliance_core::explanation::{Condition, State, Who};
use clap::Args;

use super::output::Format;
use super::socket::Daemon;
use super::{Failure, Output};
use crate::wire::{ExplainRequest, Explanation};

/// Say why a project of this cloud sees a partner's region, or does not
///
/// Each condition, whether it holds, and where it does not what to do and whose turn it is. Nothing is
/// changed, and the partner is not asked. Exit code 5 if one does not hold, or nobody could tell.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The project of this cloud
    #[arg(long, value_name = "NAME|ID")]
    project: String,

    /// Its domain, where several projects have that name
    #[arg(long, value_name = "NAME|ID")]
    project_domain: Option<String>,

    /// The region, as `alliance region list` has it
    #[arg(long, value_name = "REGION")]
    region: String,

    /// A service type that must be there
    #[arg(long, value_name = "TYPE")]
    service: Option<String>,

    /// A user who must have a role there
    #[arg(long, value_name = "NAME|ID")]
    user: Option<String>,

    /// Ask each endpoint's root too, for 3 s at most
    #[arg(long)]
    probe: bool,
}

impl Explain {
    pub(super) async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        let region = self.region.clone();
        let request = ExplainRequest {
            project: self.project,
            project_domain: self.project_domain,
            region: self.region,
            service: self.service,
            user: self.user,
            probe: self.probe,
        };
        let explain = daemon.post(&["explain"]).patiently();
        let found: Explanation = explain.json(&request).await?;
        match out.format {
            Format::Json => out.json(&found)?,
            Format::Table => {
                let marks = Marks::of_this_terminal();
                for condition in &found.conditions {
                    out.line(describe(condition, &marks));
                }
            }
        }
        if found.holds {
            return Ok(());
        }
        let broken = found.conditions.iter();
        let broken = broken.filter(|found| matches!(found.state, State::Broken | State::Unknown));
        Err(Failure::Unmet(format!(
            "{} of {} conditions for {} to see {region} do not hold",
            broken.count(),
            found.conditions.len(),
            request.project,
        )))
    }
}

/// How a condition's state is shown.
struct Marks {
    holds: &'static str,
    broken: &'static str,
    unknown: &'static str,
    left_out: &'static str,
}

impl Marks {
    /// Words, where the locale does not promise that signs can be read.
    fn of_this_terminal() -> Self {
        let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter();
        let mut locale = set.filter_map(|name| env::var(name).ok());
        let locale = locale.find(|value| !value.is_empty());
        let locale = locale.unwrap_or_default().to_lowercase();
        if locale.ends_with("utf-8") || locale.ends_with("utf8") {
            Self {
                holds: "✔",
                broken: "✘",
                unknown: "?",
                left_out: "-",
            }
        } else {
            Self {
                holds: "OK  ",
                broken: "FAIL",
                unknown: "?   ",
                left_out: "-   ",
            }
        }
    }

    fn of(&self, state: State) -> &'static str {
        match state {
            State::Holds => self.holds,
            State::Broken => self.broken,
            State::Unknown => self.unknown,
            State::LeftOut => self.left_out,
        }
    }
}

fn describe(condition: &Condition, marks: &Marks) -> String {
    let name = condition.name.as_str().replace('_', " ");
    let name = match &condition.service {
        Some(service) => format!("{name} {service}"),
        None => name,
    };
    let mark = marks.of(condition.state);
    let line = format!("{mark}  {name}: {}", condition.detail);
    match &condition.mend {
        None => line,
        Some(mend) => {
            let who = match mend.who {
                Who::ThisOperator => "here",
                Who::PartnersOperator => "the partner's operator",
            };
            let indent = " ".repeat(mark.chars().count() + 2);
            let aim = match condition.state {
                State::LeftOut => "to have it",
                State::Holds | State::Broken | State::Unknown => "to mend",
            };
            format!("{line}\n{indent}{aim}, {who}: {}", mend.what)
        }
    }
}
