//! `alliance notice`

use std::time::Duration;

use alliance_core::Seconds;
use alliance_core::notice::Notice;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use tokio::time::sleep;

use super::output::Format;
use super::socket::Daemon;
use super::table::listing;
use super::{Failure, Output, when};
use crate::wire::{NOTICES_AT_ONCE, NoticeView};

/// How often is looked for more.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub(super) enum NoticeCommand {
    /// List what has happened at partners to what our projects have there
    ///
    /// Servers that came, failed or went, quotas that are nearly used, agreements that are about to end,
    /// retirements, stacks. Kept for 90 days, at most 10,000 of each partner.
    List(List),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only at this partner
    #[arg(long, value_name = "NAME")]
    partner: Option<String>,
    /// Only about this project of ours, by its id
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// Only what came since a date (UTC), an RFC 3339 time, or so long ago as 12h or 30d
    #[arg(long, value_name = "TIME", value_parser = when::since)]
    since: Option<Seconds>,
    /// Go on with what comes, one line each, until interrupted
    #[arg(long)]
    follow: bool,
}

impl NoticeCommand {
    pub(super) async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        match self {
            Self::List(list) if list.follow => list.follow(daemon, out).await,
            Self::List(list) => list.print(daemon, out).await,
        }
    }
}

impl List {
    /// What comes after number `after`, at most as many as one answer holds.
    async fn ask(&self, daemon: &Daemon, after: u64) -> Result<Vec<NoticeView>, Failure> {
        let mut question = daemon.get(&["notices"]).with("after", &after.to_string());
        if let Some(partner) = &self.partner {
            question = question.with("partner", partner);
        }
        if let Some(project) = &self.project {
            question = question.with("project", project);
        }
        if let Some(since) = self.since {
            question = question.with("since", &since.to_string());
        }
        Ok(question.send().await?)
    }

    async fn print(&self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        let mut all: Vec<NoticeView> = Vec::new();
        loop {
            let after = all.last().map_or(0, |last| last.number);
            let found = self.ask(daemon, after).await?;
            let is_last = found.len() < NOTICES_AT_ONCE;
            all.extend(found);
            if is_last {
                break;
            }
        }
        if out.format == Format::Json {
            return Ok(out.json(&all)?);
        }
        if all.is_empty() {
            out.say("no partner has told of anything");
        }
        out.line(listing(
            ["WHEN", "PARTNER", "PROJECT", "WHAT", "ID", "DETAIL"],
            all.iter().map(cells),
        ));
        Ok(())
    }

    async fn follow(&self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        let mut after = 0;
        loop {
            for one in self.ask(daemon, after).await? {
                after = one.number;
                if out.format == Format::Json {
                    out.json_line(&one)?;
                } else {
                    let cells = cells(&one);
                    let said = cells.iter().filter(|cell| !cell.is_empty());
                    out.line(said.map(String::as_str).collect::<Vec<_>>().join("  "));
                }
            }
            sleep(LOOK).await;
        }
    }
}

fn cells(one: &NoticeView) -> [String; 6] {
    let notice = &one.notice;
    [
        time(notice.at),
        one.partner.clone(),
        notice.project_id.clone().unwrap_or_default(),
        notice.kind.to_string(),
        notice.subject.clone(),
        detail(notice),
    ]
}

/// What else it says.
fn detail(notice: &Notice) -> String {
    let share = notice.used.zip(notice.allowed);
    let parts = [
        notice.name.clone(),
        share.map(|(used, allowed)| format!("{used} of {allowed} used")),
        notice.reason.clone(),
        notice
            .till
            .map(|till| format!("at {}", when::rfc3339(till))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// RFC 3339, UTC, whole seconds.
fn time(millis: i64) -> String {
    Timestamp::from_millisecond(millis).map_or_else(
        |_| format!("{millis} ms"),
        |time| when::rfc3339(time.as_second()),
    )
}
