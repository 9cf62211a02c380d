//! `alliance region`

use clap::Subcommand;

use super::output::Format;
use super::socket::Daemon;
use super::table::listing;
use super::{Failure, Output, when};
use crate::wire::RegionView;

#[derive(Debug, Subcommand)]
pub(super) enum RegionCommand {
    /// List partners' regions, what they offer, and which projects of this cloud see them
    List,
}

impl RegionCommand {
    pub(super) async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        let Self::List = self;
        let regions: Vec<RegionView> = daemon.get(&["regions"]).send().await?;
        if out.format == Format::Json {
            return Ok(out.json(&regions)?);
        }
        if regions.is_empty() {
            out.say(
                "no regions: no partner that is a host of ours has an agreement with this cloud yet",
            );
        }
        let silent = regions.iter().filter_map(|region| {
            let since = when::rfc3339(region.unreachable_since?);
            let effect = if region.is_hidden {
                "hidden until it does ([catalog] hide_unreachable)"
            } else {
                "shown nevertheless"
            };
            Some(format!(
                "{}: {} does not answer since {since}; {effect}",
                region.region, region.partner
            ))
        });
        let silent: Vec<String> = silent.collect();
        out.line(listing(
            [
                "REGION",
                "PARTNER",
                "REGION THERE",
                "SERVICES",
                "SEEN BY PROJECTS",
            ],
            regions.into_iter().map(|region| {
                [
                    region.region,
                    region.partner,
                    region.region_there,
                    region.services.join(", "),
                    match region.projects.as_slice() {
                        [all] if all == "*" => "all".to_owned(),
                        projects => projects.join(", "),
                    },
                ]
            }),
        ));
        for remark in silent {
            out.say(remark);
        }
        Ok(())
    }
}
