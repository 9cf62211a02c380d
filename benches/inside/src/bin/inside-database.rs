//! What a daemon writes for a token that is new here, and for a session that ends: on SQLite and on MariaDB, in
//! turns.

use std::io::{Write, stdout};
use std::time::{Duration, Instant};

use alliance_core::cloud::CloudId;
use alliance_store::{EndedSession, SeenToken, Store};
use clap::Parser;
use futures_util::future::try_join_all;
use jiff::Timestamp;
use serde::Serialize;

/// So many tokens come at once where they do not come one by one.
const AT_ONCE: usize = 64;

#[derive(Parser)]
#[command(about = "Notes tokens and ends sessions in two databases")]
struct Options {
    /// An empty MariaDB
    #[arg(long)]
    mariadb: String,
    #[arg(long)]
    rounds: usize,
    /// How often in each
    #[arg(long)]
    times: usize,
}

/// Milliseconds, by round.
#[derive(Default, Serialize)]
struct Measured {
    /// Until a token is noted that comes alone.
    alone: Vec<Vec<f64>>,
    /// Until each of those that come at once is.
    together: Vec<Vec<f64>>,
    /// Until the end of a session is noted, and posted for other instances.
    ended: Vec<Vec<f64>>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let folder = tempfile::tempdir()?;
    let sqlite = format!("sqlite://{}/bench.db", folder.path().display());
    let mut all = Vec::new();
    for url in [&sqlite, &options.mariadb] {
        let store = Store::open(url, &CloudId::from_spki(b"east")).await?;
        all.push((store.shared_by("bench"), Measured::default()));
    }
    let mut number = 0;
    for _ in 0..options.rounds {
        for (store, measured) in &mut all {
            measured.round(store, options.times, &mut number).await?;
        }
    }
    let mut told = Vec::new();
    for (store, measured) in all {
        store.close().await;
        told.push(measured);
    }
    stdout().write_all(&serde_json::to_vec(&told)?)?;
    Ok(())
}

impl Measured {
    async fn round(
        &mut self,
        store: &Store,
        times: usize,
        number: &mut usize,
    ) -> anyhow::Result<()> {
        let mut next = || {
            *number += 1;
            *number
        };
        let (mut alone, mut together, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..times {
            let began = Instant::now();
            store.seen_tokens().note(token(next())).await?;
            alone.push(milliseconds(began.elapsed()));

            let tokens = (0..AT_ONCE).map(|_| token(next()));
            let began = Instant::now();
            try_join_all(tokens.map(|token| store.seen_tokens().note(token))).await?;
            together.push(milliseconds(began.elapsed()));

            let session = session(next());
            let began = Instant::now();
            store.ended_sessions().add(&[session]).await?;
            ended.push(milliseconds(began.elapsed()));
        }
        self.alone.push(alone);
        self.together.push(together);
        self.ended.push(ended);
        Ok(())
    }
}

fn milliseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

fn soon() -> i64 {
    Timestamp::now().as_second() + 3600
}

fn token(number: usize) -> SeenToken {
    SeenToken {
        token_sha256: format!("{number:064x}"),
        cloud_id: CloudId::from_spki(b"west"),
        user_id: format!("{number:032x}"),
        project_id: Some(format!("{number:032x}")),
        expires_at: soon(),
        session: Some(format!("{number:022x}")),
        origin: None,
    }
}

fn session(number: usize) -> EndedSession {
    EndedSession {
        session: format!("{number:022x}"),
        cloud_id: CloudId::from_spki(b"west"),
        user_id: format!("{number:032x}"),
        expires_at: soon(),
    }
}
