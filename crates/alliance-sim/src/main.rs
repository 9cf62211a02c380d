//! Simulates many seeds, or replays one.

use std::io::Write as _;
use std::num::NonZero;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use alliance_sim::{Guard, Settings, replay_command, run, search};
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
    let began = Instant::now();
    let seeds = arguments.from..arguments.from.saturating_add(arguments.seeds);
    let at_once = thread::available_parallelism().map_or(1, NonZero::get);
    let failed = search(seeds, &settings, at_once, !arguments.keep_going);
    for (seed, violation) in &failed {
        writeln!(out, "seed {seed} fails: {violation}")?;
        writeln!(out, "  who did what: {}", replay_command(*seed, &settings))?;
    }
    if !failed.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    let (count, seconds) = (arguments.seeds, began.elapsed().as_secs_f64());
    writeln!(out, "{count} seeds hold, in {seconds:.1} s")?;
    Ok(ExitCode::SUCCESS)
}
