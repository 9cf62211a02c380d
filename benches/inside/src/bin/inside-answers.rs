//! How fast a host answers from memory, by how many tokens are remembered: as many as it can, and
//! how long each takes at 80 % of that.

use std::io::{Write, stdout};
use std::thread;
use std::time::{Duration, Instant};

use alliance_inside::{Crowd, Sample, Spellings};
use clap::Parser;
use rand::Rng;
use serde::Serialize;

/// Of what was just measured as the most.
const LOAD: f64 = 0.8;
const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];

#[derive(Parser)]
#[command(about = "Answers questions about tokens like the one on standard input")]
struct Options {
    /// How many are live; more than once: in turns
    #[arg(long = "tokens", required = true)]
    counts: Vec<usize>,
    #[arg(long)]
    rounds: usize,
    /// Of each measurement
    #[arg(long)]
    seconds: f64,
}

#[derive(Serialize)]
struct Measured {
    tokens: usize,
    threads: usize,
    /// Answers a second.
    most: f64,
    /// Microseconds from when an answer was due, at 80 % of that: p50, p99, p99.9.
    took: [f64; 3],
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let length = Duration::from_secs_f64(options.seconds);
    let sample = Sample::from_stdin()?;
    let mut crowds = Vec::new();
    for count in options.counts {
        let crowd = Crowd::new(Spellings::like(&sample.token, count)?);
        crowd.ask(&sample.passport).await?;
        let remembered = crowd.remembered();
        anyhow::ensure!(
            remembered == count,
            "{remembered} of {count} are remembered"
        );
        crowds.push(crowd);
    }
    let mut measured = Vec::new();
    for _ in 0..options.rounds {
        for threads in [1, 2] {
            for crowd in &crowds {
                let most = most(crowd, threads, length);
                measured.push(Measured {
                    tokens: crowd.count(),
                    threads,
                    most,
                    took: at_load(crowd, threads, length, LOAD * most),
                });
            }
        }
    }
    stdout().write_all(&serde_json::to_vec(&measured)?)?;
    Ok(())
}

/// Answers a second.
fn most(crowd: &Crowd, threads: usize, length: Duration) -> f64 {
    let answered = on_each(threads, || {
        let (mut random, until, mut answered) = (rand::rng(), Instant::now() + length, 0_u32);
        while Instant::now() < until {
            answered += u32::from(crowd.admits(random.random_range(0..crowd.count())));
        }
        answered
    });
    f64::from(answered.iter().sum::<u32>()) / length.as_secs_f64()
}

/// The quantiles of how long answers take, in microseconds. They are due at random times, so many
/// a second on average, and one that cannot be begun when it is due has to wait.
fn at_load(crowd: &Crowd, threads: usize, length: Duration, per_second: f64) -> [f64; 3] {
    let mean = threads as f64 / per_second;
    let mut took = on_each(threads, || {
        let mut random = rand::rng();
        let expected = length.as_secs_f64() / mean;
        let mut took = Vec::with_capacity((1.5 * expected) as usize);
        let began = Instant::now();
        let mut due = began;
        while due < began + length {
            while Instant::now() < due {
                std::hint::spin_loop();
            }
            if crowd.admits(random.random_range(0..crowd.count())) {
                took.push(due.elapsed().as_secs_f64() * 1e6);
            }
            due += Duration::from_secs_f64(-mean * (1.0 - random.random::<f64>()).ln());
        }
        took
    })
    .concat();
    took.sort_by(f64::total_cmp);
    QUANTILES.map(|at| took[((at * took.len() as f64) as usize).min(took.len() - 1)])
}

/// What `work` returns in each of so many threads at once.
fn on_each<T: Send>(threads: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(&work)).collect();
        running
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .collect()
    })
}
