//! `alliance usage`

use alliance_core::usage::{COLUMNS, Charge, Cost, Month, Party, Record, Size, focus};
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;

use super::output::{AnyFormat, Format};
use super::socket::Daemon;
use super::table::listing;
use super::{Failure, Output};
use crate::wire::{CostView, StatusView, UsageDifference, UsageLine, UsageRecordView};

/// ISO 4217's code for no currency.
const NO_CURRENCY: &str = "XXX";

#[derive(Debug, Subcommand)]
pub(super) enum UsageCommand {
    /// What was used in a month; what lasts is counted until now
    ///
    /// All times are UTC. Each line is one project's resources of one kind and size, with the time that
    /// they lasted together.
    Report(Report),
    /// Compare with a host, resource by resource, what our projects used there in a month
    Reconcile {
        /// The month, as 2026-11
        #[arg(long, value_name = "YYYY-MM")]
        month: Month,
        /// The host
        #[arg(long, value_name = "NAME")]
        partner: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Report {
    /// The month, as 2026-11
    #[arg(long, value_name = "YYYY-MM")]
    month: Month,
    /// Only this project, by its id at home
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// Only this partner
    #[arg(long, value_name = "NAME")]
    partner: Option<String>,
    /// Only what partners' projects used here, or only what ours used there
    #[arg(long, value_enum)]
    at: Option<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Place {
    /// What partners' projects used here
    Here,
    /// What our projects used there
    There,
}

impl Report {
    fn wants(&self, here: bool, partner: &str, project_id: &str) -> bool {
        let place = if here { Place::Here } else { Place::There };
        self.at.is_none_or(|at| at == place)
            && self.partner.as_ref().is_none_or(|name| name == partner)
            && self.project.as_ref().is_none_or(|id| id == project_id)
    }
}

impl UsageCommand {
    pub(super) async fn run(
        self,
        daemon: &Daemon,
        format: AnyFormat,
        out: &mut Output,
    ) -> Result<(), Failure> {
        match self {
            Self::Report(report) if format == AnyFormat::Focus => {
                focus_report(&report, daemon, out).await
            }
            Self::Report(report) => {
                let month = report.month.to_string();
                let question = daemon.get(&["usage"]).with("month", &month).patiently();
                let mut lines: Vec<UsageLine> = question.send().await?;
                lines.retain(|line| report.wants(line.here, &line.partner, &line.project_id));
                print(&lines, format, out)
            }
            Self::Reconcile { month, partner } => {
                let question = daemon.get(&["usage", "differences"]);
                let question = question
                    .with("month", &month.to_string())
                    .with("partner", &partner)
                    .patiently();
                let found: Vec<UsageDifference> = question.send().await?;
                differences(&found, &partner, month, out)
            }
        }
    }
}

fn print(lines: &[UsageLine], format: AnyFormat, out: &mut Output) -> Result<(), Failure> {
    match format {
        AnyFormat::Json => return Ok(out.json(&lines)?),
        AnyFormat::Csv | AnyFormat::Focus => {
            out.line(csv([
                "where",
                "partner",
                "project_id",
                "region",
                "kind",
                "flavor",
                "vcpus",
                "ram_mib",
                "bytes",
                "resources",
                "milliseconds",
                "cost",
            ]));
            for line in lines {
                let size = &line.size;
                out.line(csv([
                    place(line.here),
                    &line.partner,
                    &line.project_id,
                    &line.region,
                    line.kind.as_str(),
                    size.flavor.as_deref().unwrap_or_default(),
                    &size.vcpus.to_string(),
                    &size.ram_mib.to_string(),
                    &size.bytes.to_string(),
                    &line.resources.to_string(),
                    &line.milliseconds.to_string(),
                    &money(&line.costs),
                ]));
            }
        }
        AnyFormat::Table => {
            if lines.is_empty() {
                out.say("nothing was used");
            }
            let rows = lines.iter().map(|line| {
                [
                    place(line.here).to_owned(),
                    line.partner.clone(),
                    line.project_id.clone(),
                    line.region.clone(),
                    line.kind.to_string(),
                    size_text(&line.size),
                    line.resources.to_string(),
                    hours(line.milliseconds),
                    money(&line.costs),
                ]
            });
            out.line(listing(
                [
                    "WHERE",
                    "PARTNER",
                    "PROJECT AT HOME",
                    "REGION",
                    "WHAT",
                    "SIZE",
                    "RESOURCES",
                    "HOURS",
                    "COST",
                ],
                rows,
            ));
        }
    }
    Ok(())
}

async fn focus_report(report: &Report, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
    let status: StatusView = daemon.get(&["status"]).send().await?;
    let us = Party {
        id: status.cloud_id.to_string(),
        name: status.name,
    };
    let question = daemon.get(&["usage", "records"]);
    let question = question
        .with("month", &report.month.to_string())
        .patiently();
    let mut views: Vec<UsageRecordView> = question.send().await?;
    views.retain(|view| report.wants(view.here, &view.partner, &view.record.owner.project_id));
    out.line(csv(COLUMNS));
    for view in &views {
        let them = Party {
            id: view.partner_id.to_string(),
            name: view.partner.clone(),
        };
        let (host, home) = if view.here {
            (us.clone(), them)
        } else {
            (them, us.clone())
        };
        for charge in &view.charges {
            let currency = charge.currency.as_deref().unwrap_or(NO_CURRENCY);
            let charge = Charge {
                record: &view.record,
                from: charge.from,
                to: charge.to,
                cost: Cost {
                    micros: charge.micros,
                    currency: currency.to_owned(),
                },
                host: host.clone(),
                home: home.clone(),
            };
            let row = focus(&charge, report.month);
            out.line(csv(row.iter().map(String::as_str)));
        }
    }
    Ok(())
}

fn differences(
    found: &[UsageDifference],
    partner: &str,
    month: Month,
    out: &mut Output,
) -> Result<(), Failure> {
    if out.format == Format::Json {
        out.json(&found)?;
    } else if found.is_empty() {
        out.line(format_args!(
            "{partner} counts in {month} what is counted here"
        ));
    } else {
        let counted = |record: &Option<Record>| {
            record.as_ref().map_or_else(
                || "-".to_owned(),
                |record| {
                    let end = record.to.map_or_else(|| "now".to_owned(), time);
                    format!("{} to {end}", time(record.from))
                },
            )
        };
        let rows = found.iter().map(|one| {
            [
                one.part.resource.kind.to_string(),
                one.part.resource.id.clone(),
                counted(&one.here),
                counted(&one.there),
            ]
        });
        out.line(listing(["WHAT", "ID", "HERE", "THERE"], rows));
    }
    if found.is_empty() {
        Ok(())
    } else {
        Err(Failure::refused(format!(
            "{} records are counted differently",
            found.len()
        )))
    }
}

/// A line of comma-separated values (RFC 4180).
fn csv<'v>(values: impl IntoIterator<Item = &'v str>) -> String {
    let values = values.into_iter().map(|value| {
        if value.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", value.replace('"', "\"\""))
        } else {
            value.to_owned()
        }
    });
    values.collect::<Vec<_>>().join(",")
}

fn place(here: bool) -> &'static str {
    if here { "here" } else { "there" }
}

fn size_text(size: &Size) -> String {
    match (&size.flavor, size.bytes) {
        (Some(flavor), _) => flavor.clone(),
        (None, 0) => String::new(),
        (None, bytes) if bytes % (1 << 30) == 0 => format!("{} GiB", bytes >> 30),
        (None, bytes) => format!("{bytes} B"),
    }
}

/// In each currency; nothing where the agreement has no prices.
fn money(costs: &[CostView]) -> String {
    let costs = costs
        .iter()
        .map(|cost| format!("{} {}", cost.amount, cost.currency));
    costs.collect::<Vec<_>>().join(" + ")
}

/// Hours to the hundredth, rounded; JSON and CSV are exact.
fn hours(millis: u64) -> String {
    let hundredths = (millis + 18_000) / 36_000;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// RFC 3339, UTC.
fn time(millis: i64) -> String {
    Timestamp::from_millisecond(millis)
        .map_or_else(|_| format!("{millis} ms"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_partner_wrote_stays_in_its_field() {
        assert_eq!(
            csv(["a", "b,c", "say \"d\""]),
            "a,\"b,c\",\"say \"\"d\"\"\""
        );
    }

    #[test]
    fn hours_are_rounded_and_what_is_short_is_shown() {
        assert_eq!(hours(400), "0.00");
        assert_eq!(hours(3_600_000), "1.00");
        assert_eq!(hours(5_418_000), "1.51");
    }
}
