//! Simulates many seeds, or replays one.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use alliance_sim::{Guard, Settings, run};
use clap::Parser;

/// Simulates five clouds of three instances each.
#[derive(Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Replay this one, and tell who did what.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    replay: Option<u64>,
    /// Leave this guard out, to see which invariant it keeps.
    #[arg(long, value_name = "GUARD")]
    without: Vec<Guard>,
    /// Go on after a seed that failed.
    #[arg(long)]
    keep_going: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let settings = Settings {
        without: arguments.without.iter().copied().collect(),
        record: arguments.replay.is_some(),
    };
    let mut out = std::io::stdout().lock();
    if let Some(seed) = arguments.replay {
        let outcome = run(seed, settings);
        out.write_all(outcome.history.as_bytes())?;
        return Ok(match outcome.violation {
            Some(violation) => {
                writeln!(out, "seed {seed} fails: {violation}")?;
                ExitCode::FAILURE
            }
            None => {
                writeln!(out, "seed {seed} holds: {:?}", outcome.tally)?;
                ExitCode::SUCCESS
            }
        });
    }
    let (began, mut failed) = (Instant::now(), 0);
    for seed in arguments.from..arguments.from + arguments.seeds {
        let outcome = run(seed, settings.clone());
        let Some(violation) = outcome.violation else {
            continue;
        };
        failed += 1;
        writeln!(out, "seed {seed} fails: {violation}")?;
        let without: String = arguments
            .without
            .iter()
            .map(|guard| format!(" --without {guard}"))
            .collect();
        writeln!(
            out,
            "  who did what: cargo run -p alliance-sim -- --replay {seed}{without}"
        )?;
        if !arguments.keep_going {
            return Ok(ExitCode::FAILURE);
        }
    }
    writeln!(
        out,
        "{} seeds, {failed} failing, in {:.1} s",
        arguments.seeds,
        began.elapsed().as_secs_f64()
    )?;
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
