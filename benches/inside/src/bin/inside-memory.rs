//! How much memory a host takes for each answer that it remembers.

use std::alloc::System;
use std::fs;
use std::io::{Write, stdout};

use alliance_inside::{Crowd, Sample, Spellings};
use anyhow::Context;
use cap::Cap;
use clap::Parser;
use serde::Serialize;

/// Counts the bytes that are asked for.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

#[derive(Parser)]
#[command(about = "Remembers answers about tokens like the one on standard input")]
struct Options {
    #[arg(long)]
    tokens: usize,
}

#[derive(Serialize)]
struct Outcome {
    tokens: usize,
    /// How many of them are still remembered at the end.
    remembered: usize,
    /// Bytes for the answers about all of them, as asked of the allocator.
    counted: usize,
    /// The same as the kernel sees it.
    resident: usize,
    /// Bytes of each passport, part of both.
    passport: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Options { tokens } = Options::parse();
    let sample = Sample::from_stdin()?;
    let spellings = Spellings::like(&sample.token, tokens)?;
    let (counted, resident) = (ALLOCATOR.allocated(), resident()?);
    let crowd = Crowd::new(spellings);
    crowd.ask(&sample.passport).await?;
    let outcome = Outcome {
        tokens,
        counted: ALLOCATOR.allocated() - counted,
        resident: self::resident()?.saturating_sub(resident),
        remembered: crowd.remembered(),
        passport: sample.passport.len(),
    };
    stdout().write_all(&serde_json::to_vec(&outcome)?)?;
    Ok(())
}

/// Bytes of this process that are in memory.
fn resident() -> anyhow::Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .context("/proc/self/status does not tell VmRSS")?;
    Ok(kilobytes.parse::<usize>()? * 1024)
}
