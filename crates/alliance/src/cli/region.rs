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
        out.line(listing(
            [
                "REGION",
                "PARTNER",
                "REGION THERE",
                "SERVICES",
                "SEEN BY PROJECTS",
            ],
            regions.iter().map(|region| {
                [
                    region.region.clone(),
                    region.partner.clone(),
                    region.region_there.clone(),
                    region.services.join(", "),
                    match region.projects.as_slice() {
                        [all] if all == "*" => "all".to_owned(),
                        projects => projects.join(", "),
                    },
                ]
            }),
        ));
        for line in regions.iter().flat_map(remarks) {
            out.line(line);
        }
        for remark in regions.iter().filter_map(silence) {
            out.say(remark);
        }
        Ok(())
    }
}

/// That its partner does not answer now, and what that does to it.
fn silence(region: &RegionView) -> Option<String> {
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
}

/// What an operator may not expect of a region.
fn remarks(region: &RegionView) -> Vec<String> {
    let name = &region.region;
    let taken = region
        .taken
        .iter()
        .map(|taken| format!("{name} is not called {taken}: that is a region of this cloud's own"));
    let versions = region.apis.iter().filter(|api| api.differs).map(|api| {
        let word = |version: &Option<String>| version.clone().unwrap_or_else(|| "-".to_owned());
        format!(
            "{name}: {} has other versions: {} there, {} here",
            api.kind,
            word(&api.there),
            word(&api.here)
        )
    });
    let left_out = region.left_out.iter().map(|left_out| {
        format!(
            "{name}: the {} endpoint of {} is left out: {} {}",
            left_out.interface, left_out.service, left_out.url, left_out.why
        )
    });
    taken.chain(versions).chain(left_out).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_told_what_is_odd_about_a_region() -> serde_json::Result<()> {
        let region: RegionView = serde_json::from_value(serde_json::json!({
            "region": "east:east", "partner": "east", "region_there": "east", "taken": "east",
            "services": ["compute", "image"], "projects": ["*"],
            "apis": [
                {"type": "compute", "there": "v2.1, 2.96", "here": "v2.1, 2.100", "differs": true, "versions": []},
                {"type": "image", "there": "v2.17", "here": null, "differs": false, "versions": []},
            ],
            "left_out": [{
                "service": "image", "interface": "public", "url": "https://10.0.0.1/",
                "why": "points at 10.0.0.1, in 10.0.0.0/8 of [catalog] refuse_ranges",
            }],
        }))?;
        insta::assert_snapshot!(remarks(&region).join("\n"), @"
        east:east is not called east: that is a region of this cloud's own
        east:east: compute has other versions: v2.1, 2.96 there, v2.1, 2.100 here
        east:east: the public endpoint of image is left out: https://10.0.0.1/ points at 10.0.0.1, in 10.0.0.0/8 of [catalog] refuse_ranges
        ");
        Ok(())
    }
}
