//! Sends HTTP/1.1 requests and tells how long each took.
//!
//! Standard input has them as JSON, `[{"to": "HOST:PORT" or "unix:PATH", "text": "GET / HTTP/1.1…"}]`;
//! standard output gets `{"seconds": …, "answers": [[status, microseconds], …]}`, in the order in
//! which they came. Status 0 stands for no answer. It is small on purpose: what it measures is on
//! the same machine, and should be what the machine is busy with.

mod connection;
mod pace;

use std::io::{Read, Write, stdin, stdout};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};

#[derive(Parser)]
#[command(about = "Sends the HTTP requests that standard input lists")]
struct Options {
    #[command(subcommand)]
    pace: Pace,
}

/// When each request is sent.
#[derive(Subcommand)]
enum Pace {
    /// Each once, each after the answer to the one before, on one connection to each address
    InOrder,
    /// All of them again and again, over each of so many connections, as fast as it goes
    Repeated {
        #[arg(long)]
        connections: usize,
        #[arg(long)]
        seconds: f64,
    },
    /// So many a second, however long answers take; times count from when a request was due, and
    /// what was not yet sent at the end is left out
    AtRate {
        #[arg(long)]
        per_second: f64,
        #[arg(long)]
        seconds: f64,
        /// At most so many at once; others wait
        #[arg(long)]
        connections: usize,
    },
}

/// One request of the list.
#[derive(Deserialize)]
struct Request {
    /// `HOST:PORT` or `unix:PATH`.
    to: String,
    /// Head and body as they go on the wire.
    text: String,
}

/// Status, 0 if there was no answer, and microseconds.
#[derive(Serialize)]
struct Answer(u16, u64);

impl Answer {
    fn new(status: u16, since: Instant) -> Self {
        let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        Self(status, micros)
    }
}

/// What is printed.
#[derive(Serialize)]
struct Outcome {
    seconds: f64,
    answers: Vec<Answer>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Options { pace } = Options::parse();
    let mut text = String::new();
    stdin().read_to_string(&mut text)?;
    let requests: Vec<Request> = serde_json::from_str(&text)?;
    anyhow::ensure!(!requests.is_empty(), "standard input lists no request");
    let began = Instant::now();
    let answers = match pace {
        Pace::InOrder => pace::in_order(&requests).await,
        Pace::Repeated {
            connections,
            seconds,
        } => pace::repeated(requests, Duration::from_secs_f64(seconds), connections).await,
        Pace::AtRate {
            per_second,
            seconds,
            connections,
        } => {
            let length = Duration::from_secs_f64(seconds);
            pace::at_rate(requests, per_second, length, connections).await
        }
    };
    let outcome = Outcome {
        seconds: began.elapsed().as_secs_f64(),
        answers,
    };
    stdout().write_all(&serde_json::to_vec(&outcome)?)?;
    Ok(())
}
