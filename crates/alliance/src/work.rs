//! `alliance work`: what needs more rights than the daemon has, in a process that nobody can reach.
//!
//! It meters what partners' projects use here: from the services' notifications as they come, and from
//! their listings from time to time. What it finds it writes into the database; the daemon signs it and
//! tells the projects' homes. It sets at the services what agreements allow, and what the daemon has
//! decided to retire it stops, deletes or starts again. And it carries out what homes have ordered, as far
//! as the orders are signed by them and agreements allow it. What partners have told of our projects there,
//! and of what these use, it says on the message bus.

mod ledger;
mod limits;
mod listening;
mod listings;
mod provisioning;
mod publishing;
mod retiring;

use std::cell::Cell;
use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use alliance_cloud::bus;
use alliance_cloud::publishing::Settings as Speaking;
use alliance_cloud::services::Access;
use alliance_store::{Lease, Store};
use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use uuid::Uuid;

use self::ledger::Ledger;
use self::provisioning::Settings;
use crate::config::{Config, read_secret};
use crate::daemon::logging;

/// The name of the lease of all that this process does.
pub(crate) const WORK: &str = "work";
/// How long a process that says nothing more is taken for alive, in seconds.
const LEASE: i64 = 15;
/// For how long it acts after it said so last, by its own clock: less, so that it has ended before another begins.
const ACTS: Duration = Duration::from_secs(14);
/// How often it says so, and how often another looks.
const BEAT: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// If it cannot start, or one of the things that it does cannot go on.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    logging::start(&config.log);
    let bus = bus_settings(&config)?;
    let notices = publisher(&config, bus.as_ref())?;
    let access = access(&config)?;
    let workshop = workshop(&config, access.as_ref())?;
    if bus.is_none() && access.is_none() {
        bail!(
            "nothing to do: [work] names neither amqp_url_file nor credential_id; see `alliance config sample`"
        );
    }
    let store = Store::attach(config.database_url().expose_secret()).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let lease = Lease {
        name: WORK.to_owned(),
        holder: Uuid::new_v4().to_string(),
    };
    let work = async {
        loop {
            let since = wait_for_lease(&store, &lease).await;
            tracing::info!(
                cloud_id = %store.cloud(),
                notifications = bus.is_some(),
                listings = access.is_some(),
                provisioning = workshop.is_some(),
                version = env!("CARGO_PKG_VERSION"),
                "working"
            );
            let region = config.work.region.clone();
            let ledger = Arc::new(Ledger::new(store.clone(), lease.clone(), region));
            let poll = config.work.poll;
            tokio::select! {
                // Whatever happens, this is looked at first: who may not act any more does nothing more.
                biased;
                why = keep_lease(&store, &lease, since) => tracing::warn!(
                    why,
                    "all is left as it is; whoever works next goes on with it"
                ),
                ended = listening::run(bus.clone(), Arc::clone(&ledger)) => return ended,
                ended = limits::run(access.clone(), poll, &store, &lease) => return ended,
                ended = retiring::run(access.clone(), store.clone(), &lease) => return ended,
                ended = listings::run(access.clone(), poll, Arc::clone(&ledger)) => return ended,
                ended = provisioning::run(workshop.clone(), &store, &lease) => return ended,
                never = publishing::run(notices.clone(), &store) => match never {},
            }
        }
    };
    // Nothing has to be finished: what was not acknowledged comes again.
    let ended = tokio::select! {
        ended = work => ended,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    if let Err(error) = store.leases().give_back(&lease).await {
        tracing::warn!(%error, "the next process has to wait until this one is taken for dead");
    }
    store.close().await;
    tracing::info!("stopped");
    ended
}

/// Waits for its turn. Returns when it was asked for.
async fn wait_for_lease(store: &Store, lease: &Lease) -> Instant {
    let mut is_told = false;
    loop {
        let since = Instant::now();
        match store.leases().take(&lease.name, &lease.holder, LEASE).await {
            Ok(Some(_)) => return since,
            Ok(None) if !is_told => {
                tracing::info!("another process works; this one waits until that one ends");
                is_told = true;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "whether another process works is not known"),
        }
        sleep(BEAT).await;
    }
}

/// Goes on holding it, which it does `since`. Ends if another has it, or might: the database, or this process,
/// was away for too long. Says which.
async fn keep_lease(store: &Store, lease: &Lease, since: Instant) -> &'static str {
    const LATE: &str = "the database was not told in time that this process lives";
    let kept = Cell::new(since);
    // A process that was halted is woken by something, whatever its timers say.
    let is_over = poll_fn(|_| match kept.get().elapsed() < ACTS {
        true => Poll::Pending,
        false => Poll::Ready(LATE),
    });
    let keep = async {
        loop {
            let end = kept.get() + ACTS;
            sleep_until(end.min(Instant::now() + BEAT)).await;
            let asked = Instant::now();
            let taken = store.leases().take(&lease.name, &lease.holder, LEASE);
            match timeout_at(end, taken).await {
                Ok(Ok(Some(_))) => kept.set(asked),
                Ok(Ok(None)) => return "another process has taken over",
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the database was not told that this process lives");
                }
                Err(_) => return LATE,
            }
        }
    };
    tokio::select! {
        biased;
        why = is_over => why,
        why = keep => why,
    }
}

/// How the message bus is reached, if that is wanted.
///
/// # Errors
/// If its URL cannot be read or used.
pub(crate) fn bus_settings(config: &Config) -> anyhow::Result<Option<bus::Settings>> {
    let work = &config.work;
    let Some(file) = &work.amqp_url_file else {
        return Ok(None);
    };
    let url = secret("amqp_url_file", file)?;
    let hosts = bus::Hosts::of(url.expose_secret()).context("[work] amqp_url_file")?;
    Ok(Some(bus::Settings {
        hosts,
        queue: work.queue.clone(),
        is_quorum: work.quorum_queue,
        exchanges: work.exchanges.clone(),
        keys: work.keys.clone(),
    }))
}

/// Where notices of partners are said, if that is wanted.
fn publisher(config: &Config, bus: Option<&bus::Settings>) -> anyhow::Result<Option<Speaking>> {
    let Some(exchange) = &config.notify.exchange else {
        return Ok(None);
    };
    let Some(bus) = bus else {
        bail!("[notify] exchange is of no use without [work] amqp_url_file");
    };
    Ok(Some(Speaking {
        hosts: bus.hosts.clone(),
        exchange: exchange.clone(),
        topic: config.notify.topic.clone(),
    }))
}

fn access(config: &Config) -> anyhow::Result<Option<Access>> {
    let work = &config.work;
    let (id, file) = match (&work.credential_id, &work.credential_secret_file) {
        (Some(id), Some(file)) => (id, file),
        (None, None) => return Ok(None),
        _ => bail!("[work] credential_id and credential_secret_file go together: one is missing"),
    };
    Ok(Some(Access {
        auth_url: config.keystone.auth_url.clone(),
        credential_id: id.clone(),
        credential_secret: secret("credential_secret_file", file)?,
        region: work.region.clone(),
        interface: work.interface.clone(),
        timeout: config.keystone.timeout.max(Duration::from_secs(30)),
    }))
}

/// With what partners' orders are carried out, if that is wanted.
fn workshop(config: &Config, access: Option<&Access>) -> anyhow::Result<Option<Settings>> {
    let Some(file) = &config.work.password_file else {
        return Ok(None);
    };
    let Some(access) = access else {
        bail!("[work] password_file is of no use without credential_id");
    };
    Ok(Some(Settings {
        access: access.clone(),
        password: secret("password_file", file)?,
    }))
}

fn secret(option: &str, file: &Path) -> anyhow::Result<SecretString> {
    read_secret(file).with_context(|| format!("[work] {option}: reading {}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::daemon::bed::{Bed, Failure};

    #[tokio::test]
    async fn who_might_not_hold_the_lease_any_more_does_nothing_more() -> Result<(), Failure> {
        let bed = Bed::new().await?;
        let store = bed.store();
        let lease = Lease {
            name: WORK.to_owned(),
            holder: "this one".to_owned(),
        };
        let since = wait_for_lease(store, &lease).await;
        let short = Duration::from_millis(100);
        assert!(
            timeout(short, keep_lease(store, &lease, since))
                .await
                .is_err(),
            "it is held"
        );
        // The process was halted: nobody has told it, nor the database.
        let long_ago = since.checked_sub(ACTS).ok_or("just booted")?;
        timeout(short, keep_lease(store, &lease, long_ago)).await?;
        Ok(())
    }
}
