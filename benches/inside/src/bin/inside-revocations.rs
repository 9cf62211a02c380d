//! What it costs a host to know whether a token has ended, by how many revocations are live, and
//! whether a revocation is about a session, by how many of those there are.

use std::alloc::System;
use std::collections::BTreeSet;
use std::hint::black_box;
use std::io::{Write, stdout};
use std::time::{Duration, Instant};

use alliance_core::revocation::{Revocable, RevocationEvent, Revocations, Revoked};
use alliance_core::session::{Origin, Session, Sessions};
use alliance_core::sign_out::Change;
use cap::Cap;
use clap::Parser;
use jiff::Timestamp;
use rand::Rng;
use serde::Serialize;

/// Counts the bytes that are asked for.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Questions that are timed together.
const BATCH: usize = 2000;

#[derive(Parser)]
#[command(about = "Compares tokens with live revocations, and revocations with live sessions")]
struct Options {
    /// How many are live.
    #[arg(long)]
    live: Vec<usize>,
    #[arg(long)]
    rounds: usize,
    #[arg(long)]
    seconds: f64,
}

#[derive(Default, Serialize)]
struct Outcome {
    live: usize,
    /// Bytes of each revocation, and of each session.
    revocation: f64,
    session: f64,
    /// Nanoseconds to find that a token has not ended, by round.
    token: Vec<f64>,
    /// And that an event is about no session here.
    event: Vec<f64>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut outcomes: Vec<_> = options
        .live
        .iter()
        .map(|live| Outcome {
            live: *live,
            ..Outcome::default()
        })
        .collect();
    let mut worlds = Vec::new();
    for outcome in &mut outcomes {
        let (revocations, bytes) = counted(|| revocations(outcome.live));
        outcome.revocation = bytes as f64 / outcome.live as f64;
        let (sessions, bytes) = counted(|| sessions(outcome.live));
        outcome.session = bytes as f64 / outcome.live as f64;
        worlds.push((revocations, sessions));
    }
    let longest = Duration::from_secs_f64(options.seconds);
    for _ in 0..options.rounds {
        for (outcome, (revocations, sessions)) in outcomes.iter_mut().zip(&mut worlds) {
            outcome.token.push(ask_about_tokens(revocations, longest));
            outcome.event.push(apply_events(sessions, longest));
        }
    }
    stdout().write_all(&serde_json::to_vec(&outcomes)?)?;
    Ok(())
}

fn counted<T>(make: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATOR.allocated();
    let made = make();
    (made, ALLOCATOR.allocated() - before)
}

/// As long as Keystone's audit ids.
fn audit_id(number: usize) -> String {
    format!("{number:022x}")
}

/// As long as Keystone's ids.
fn id(number: usize) -> String {
    format!("{number:032x}")
}

/// Logouts for the most part, and of each hundredth user all tokens.
fn event(number: usize) -> RevocationEvent {
    let (user_id, audit_id) = if number.is_multiple_of(100) {
        (Some(id(number)), None)
    } else {
        (None, Some(audit_id(number)))
    };
    RevocationEvent {
        user_id,
        audit_id,
        issued_before: Timestamp::now(),
        ..RevocationEvent::default()
    }
}

fn revocations(count: usize) -> Revocations {
    Revocations::from(Revoked {
        events: (0..count).map(event).collect(),
        ..Revoked::default()
    })
}

fn sessions(count: usize) -> Sessions {
    let mut sessions = Sessions::default();
    let (domain, now) = (id(0), Timestamp::now());
    for number in 0..count {
        let mut token = [0; 32];
        token[..8].copy_from_slice(&(number as u64).to_be_bytes());
        let origin = Origin {
            session: audit_id(number).into(),
            audit_ids: [audit_id(number).into()].into(),
            user_domain_id: domain.as_str().into(),
            project_domain_id: Some(domain.as_str().into()),
            issued_at: now,
        };
        let (whose, expires_at) = (id(number), now.as_second() + 3600);
        let whose = (&*whose, Some(&*whose));
        sessions.begin(
            Session::new(token, whose, expires_at, &origin),
            now.as_second(),
        );
    }
    sessions
}

/// Nanoseconds for one of the things that `each` does, over batches for so long.
fn timed<T>(longest: Duration, prepare: impl Fn() -> T, mut each: impl FnMut(T)) -> f64 {
    let (mut took, mut count) = (Duration::ZERO, 0);
    while took < longest {
        let prepared: Vec<T> = (0..BATCH).map(|_| prepare()).collect();
        let began = Instant::now();
        prepared.into_iter().for_each(&mut each);
        took += began.elapsed();
        count += BATCH;
    }
    took.as_nanos() as f64 / count as f64
}

/// Of nobody here.
fn stranger() -> usize {
    rand::rng().random::<u32>() as usize + (1 << 40)
}

fn ask_about_tokens(revocations: &Revocations, longest: Duration) -> f64 {
    let roles = BTreeSet::new();
    let now = Timestamp::now();
    timed(
        longest,
        || (id(stranger()), [audit_id(stranger()), audit_id(stranger())]),
        |(user_id, audit_ids)| {
            let token = Revocable {
                user_id: &user_id,
                user_domain_id: Some("default"),
                project_id: Some(&user_id),
                project_domain_id: Some("default"),
                role_ids: &roles,
                audit_ids: &audit_ids,
                issued_at: now,
                expires_at: now,
            };
            black_box(revocations.ends(black_box(&token)));
        },
    )
}

fn apply_events(sessions: &mut Sessions, longest: Duration) -> f64 {
    let now = Timestamp::now().as_second();
    timed(
        longest,
        || [Change::Revoked(event(stranger()))],
        |changes| {
            black_box(sessions.apply(&changes, now));
        },
    )
}
