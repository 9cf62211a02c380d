//! How many notifications a second are read and stored, what memory many of them take, and how long a
//! report over many records takes. On SQLite, in a folder that goes with the process.

use std::fs;
use std::io::{Write, stdout};
use std::time::{Duration, Instant};

use alliance_core::cloud::CloudId;
use alliance_core::usage::{Kind, Message, Millis, Owner, Part, Record, Resource, Size};
use alliance_store::{Heard, Lease, Span, Store};
use anyhow::Context;
use clap::Parser;
use serde::Serialize;
use serde_json::json;

/// As many as `alliance work` stores at once.
const BATCH: usize = 500;
/// As many as a home fetches at once.
const FETCHED: usize = 1000;
/// Partners' projects.
const PROJECTS: usize = 100;
/// After so many notifications memory is looked at for the first time.
const SETTLED: usize = 100_000;
/// How long the lease holds, in seconds.
const LONG: i64 = 86_400;
/// 2026-11-01, and the month.
const MONTH: Millis = 1_793_491_200_000;
const DAYS_30: Millis = 30 * 86_400_000;

#[derive(Parser)]
#[command(about = "Reads and stores notifications, and reports what was used")]
struct Options {
    /// How many notifications: of each server one when it is there, one when it is gone.
    #[arg(long)]
    events: usize,
    /// Over how many records is reported.
    #[arg(long)]
    records: usize,
    /// How often.
    #[arg(long)]
    rounds: usize,
}

#[derive(Serialize)]
struct Outcome {
    /// Notifications a second, by tenths of all.
    rates: Vec<f64>,
    /// Resident memory of the process when some have come, and when all have; bytes.
    settled: u64,
    at_the_end: u64,
    /// Seconds for a report.
    reports: Vec<f64>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let folder = tempfile::tempdir()?;
    let open = async |name: &str| {
        let url = format!("sqlite://{}/{name}.db", folder.path().display());
        Store::open(&url, &cloud(name)).await
    };
    let east = open("east").await?;
    let (rates, settled, at_the_end) = hear(&east, options.events).await?;
    east.close().await;
    let west = open("west").await?;
    count(&west, options.records).await?;
    let mut reports = Vec::new();
    let span = Span {
        from: MONTH,
        to: MONTH + DAYS_30,
    };
    for _ in 0..options.rounds {
        let began = Instant::now();
        let lines = west.usage().sums(span).await?;
        reports.push(began.elapsed().as_secs_f64());
        anyhow::ensure!(lines.len() == PROJECTS, "{} lines", lines.len());
    }
    west.close().await;
    let outcome = Outcome {
        rates,
        settled,
        at_the_end,
        reports,
    };
    stdout().write_all(&serde_json::to_vec(&outcome)?)?;
    Ok(())
}

fn cloud(name: &str) -> CloudId {
    CloudId::from_spki(name.as_bytes())
}

/// Each batch as `alliance work` does it: read, told whose it is, stored.
async fn hear(store: &Store, events: usize) -> anyhow::Result<(Vec<f64>, u64, u64)> {
    let lease = store.leases().take("work", "bench", LONG).await?;
    let lease = lease.context("the lease is held")?;
    let tenth = (events / 10).max(BATCH);
    let (mut rates, mut settled) = (Vec::new(), 0);
    let (mut heard, mut of_tenth, mut took) = (0, 0, Duration::ZERO);
    while heard < events {
        let bodies: Vec<Vec<u8>> = (heard..heard + BATCH).map(notification).collect();
        let began = Instant::now();
        take_in(store, &lease, &bodies).await?;
        took += began.elapsed();
        heard += BATCH;
        of_tenth += BATCH;
        if of_tenth >= tenth {
            rates.push(f64::from(u32::try_from(of_tenth)?) / took.as_secs_f64());
            (of_tenth, took) = (0, Duration::ZERO);
        }
        if settled == 0 && heard >= SETTLED {
            settled = resident()?;
        }
    }
    Ok((rates, settled, resident()?))
}

async fn take_in(store: &Store, lease: &Lease, bodies: &[Vec<u8>]) -> anyhow::Result<()> {
    let mut heard = Vec::with_capacity(bodies.len());
    for body in bodies {
        let notice = Message::read(body)?.notice()?.context("of no interest")?;
        let owner = notice.project_id.map(|project_id| {
            let user_id = notice.fact.user_id.clone();
            (
                cloud("west"),
                Owner {
                    project_id,
                    user_id,
                },
            )
        });
        heard.push(Heard {
            resource: notice.resource,
            owner,
            fact: notice.fact,
        });
    }
    let now = MONTH / 1000;
    store.usage().learn(lease, "east", &heard, now).await?;
    Ok(())
}

/// As Nova writes it, of the size that Nova gives it. Two of each server.
fn notification(number: usize) -> Vec<u8> {
    let (server, is_gone) = (number / 2, number % 2 == 1);
    let (event, terminated) = if is_gone {
        ("compute.instance.delete.end", "2026-11-28T09:00:00.000000")
    } else {
        ("compute.instance.create.end", "")
    };
    let payload = json!({
        "tenant_id": format!("{:032x}", server % PROJECTS),
        "user_id": format!("{:032x}", server % PROJECTS),
        "instance_id": format!("00000000-0000-4000-8000-{server:012x}"),
        "display_name": format!("server-{server}"), "reservation_id": "r-abcdefgh",
        "hostname": format!("server-{server}"), "instance_type": "m1.small",
        "instance_type_id": 5, "instance_flavor_id": "1", "architecture": null,
        "memory_mb": 2048, "disk_gb": 20, "vcpus": 1, "root_gb": 20, "ephemeral_gb": 0,
        "host": "compute-1", "node": "compute-1", "availability_zone": "nova", "cell_name": "",
        "created_at": "2026-11-28 08:00:00+00:00", "terminated_at": terminated, "deleted_at": "",
        "launched_at": "2026-11-28T08:00:04.500000", "image_ref_url": "http://glance/images/i",
        "os_type": null, "kernel_id": "", "ramdisk_id": "", "state": "active",
        "state_description": "", "progress": "", "access_ip_v4": null, "access_ip_v6": null,
        "image_meta": {"min_disk": "20", "container_format": "bare", "disk_format": "raw"},
        "metadata": {}, "fixed_ips": [{"address": "10.0.0.4", "type": "fixed", "version": 4}],
    });
    let message = json!({
        "message_id": format!("00000000-0000-4000-8000-{number:012x}"),
        "publisher_id": "compute.compute-1", "event_type": event, "priority": "INFO",
        "payload": payload, "timestamp": "2026-11-28 08:00:10.250000",
    });
    let envelope = json!({"oslo.version": "2.0", "oslo.message": message.to_string()});
    envelope.to_string().into_bytes()
}

/// What a host has told in a month, taken in.
async fn count(store: &Store, records: usize) -> anyhow::Result<()> {
    let mut number = 0;
    while number < records {
        let some: Vec<_> = (number..(number + FETCHED).min(records))
            .map(|number| (number as u64 + 1, Some(record(number))))
            .collect();
        number += some.len();
        store.usage().receive(&cloud("east"), &some, 0).await?;
    }
    Ok(())
}

fn record(number: usize) -> Record {
    let from = MONTH + Millis::try_from(number).unwrap_or_default() * 1000;
    Record {
        part: Part {
            resource: Resource {
                kind: Kind::Server,
                id: format!("00000000-0000-4000-8000-{number:012x}"),
            },
            part: 0,
        },
        owner: Owner {
            project_id: format!("{:032x}", number % PROJECTS),
            user_id: Some(format!("{:032x}", number % PROJECTS)),
        },
        region: "east".to_owned(),
        size: Size::of_server("m1.small", 1, 2048, 20),
        from,
        to: Some(from + 3_600_000),
    }
}

/// Resident memory of this process, bytes.
fn resident() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let amount = line.and_then(|line| line.split_whitespace().next());
    let kib: u64 = amount.context("no VmRSS")?.parse()?;
    Ok(kib * 1024)
}
