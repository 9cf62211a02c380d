//! The services' notifications, as they come.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use alliance_cloud::bus::{BusError, Settings};
use alliance_core::label::clean;
use alliance_core::notice::Trouble;
use alliance_core::usage::{Message, Notice};
use alliance_store::Notifications;
use tokio::time::{Instant, sleep};

use super::ledger::{Ledger, Said};

/// How many messages are stored at once.
const BATCH: usize = 500;
/// No notification that says something here is larger, in bytes.
const LARGEST: usize = 1 << 20;
/// How long a quiet bus is listened to before exchanges are looked for that were not there.
const QUIET: Duration = Duration::from_secs(5);
/// How often is written down how many there were.
const COUNT: Duration = Duration::from_secs(5);
/// Pauses between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Listens for ever, if there is a bus.
///
/// # Errors
/// If this process is no longer the one that does so.
pub(super) async fn run(settings: Option<Settings>, ledger: Arc<Ledger>) -> anyhow::Result<()> {
    let Some(settings) = settings else {
        return pending().await;
    };
    let mut pause = FIRST_PAUSE;
    let mut tally = Tally::default();
    loop {
        let error = match listen(&settings, &ledger, &mut pause, &mut tally).await {
            Ok(never) => match never {},
            Err(Interrupted::Bus(error)) => anyhow::Error::from(error),
            Err(Interrupted::Over(error)) => return Err(error),
        };
        tracing::warn!(
            error = format!("{error:#}"),
            "the message bus is not heard; it is tried again, and what ends meanwhile is in the queue or in the next listing"
        );
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

enum Interrupted {
    /// It is tried again.
    Bus(BusError),
    /// Another process does it now.
    Over(anyhow::Error),
}

impl From<BusError> for Interrupted {
    fn from(error: BusError) -> Self {
        Interrupted::Bus(error)
    }
}

async fn listen(
    settings: &Settings,
    ledger: &Ledger,
    pause: &mut Duration,
    tally: &mut Tally,
) -> Result<std::convert::Infallible, Interrupted> {
    let mut listening = settings.listen().await?;
    *pause = FIRST_PAUSE;
    tracing::info!(queue = settings.queue, "the message bus is heard");
    let mut absent = listening.unbound().to_vec();
    report_absent(&absent);
    loop {
        let bodies = listening.next(BATCH, QUIET).await?;
        if !bodies.is_empty() {
            let (notices, troubles) = read(&bodies, &mut tally.counts);
            drop(bodies);
            let stored = ledger.hear(|| notices.iter().map(said).collect()).await;
            stored.map_err(Interrupted::Over)?;
            let noticed = ledger.hear_troubles(&troubles).await;
            noticed.map_err(Interrupted::Over)?;
            listening.acknowledge().await?;
        }
        tally.write(ledger).await.map_err(Interrupted::Over)?;
        if !absent.is_empty() {
            listening.bind().await?;
            if listening.unbound() != absent {
                absent = listening.unbound().to_vec();
                report_absent(&absent);
            }
        }
    }
}

fn report_absent(exchanges: &[String]) {
    if !exchanges.is_empty() {
        tracing::info!(
            exchanges = exchanges.join(", "),
            "these exchanges are not there yet; they are looked for again"
        );
    }
}

/// How many notifications there were since that was last written down.
#[derive(Default)]
struct Tally {
    counts: Notifications,
    written: Option<Instant>,
}

impl Tally {
    /// Writes it down if there is something, and not too often.
    ///
    /// # Errors
    /// If this process is no longer the one that does so.
    async fn write(&mut self, ledger: &Ledger) -> anyhow::Result<()> {
        let is_due = self
            .written
            .is_none_or(|written| written.elapsed() >= COUNT);
        if !is_due || self.counts == Notifications::default() {
            return Ok(());
        }
        if ledger.count(self.counts).await? {
            self.counts = Notifications::default();
        }
        self.written = Some(Instant::now());
        Ok(())
    }
}

/// What is of interest: what usage is told, and which servers went into error. The rest is done with: it
/// would be no better the next time.
fn read(bodies: &[Vec<u8>], counts: &mut Notifications) -> (Vec<Notice>, Vec<Trouble>) {
    let mut malformed = Malformed::default();
    let (mut notices, mut troubles) = (Vec::new(), Vec::new());
    for body in bodies {
        if body.len() > LARGEST {
            counts.too_large += 1;
            malformed.note(format!("{} bytes long", body.len()));
            continue;
        }
        let notice = Message::read(body).and_then(|message| {
            troubles.extend(Trouble::said_by(&message));
            message.notice()
        });
        match notice {
            Ok(notice) => {
                counts.read += 1;
                notices.extend(notice);
            }
            Err(error) => {
                counts.malformed += 1;
                malformed.note(error.to_string());
            }
        }
    }
    if malformed.count > 0 {
        tracing::warn!(
            count = malformed.count,
            first = clean(&malformed.first, 200),
            "malformed notifications were dropped"
        );
    }
    (notices, troubles)
}

#[derive(Default)]
struct Malformed {
    count: usize,
    first: String,
}

impl Malformed {
    fn note(&mut self, why: String) {
        if self.count == 0 {
            self.first = why;
        }
        self.count += 1;
    }
}

fn said(notice: &Notice) -> Said {
    Said {
        resource: notice.resource.clone(),
        project_id: notice.project_id.clone(),
        fact: notice.fact.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_malformed_or_too_large_is_dropped_and_the_rest_is_read() {
        let inner = r#"{\"event_type\": \"volume.delete.end\", \"timestamp\": \"2026-11-28 08:00:00\", \"payload\": {\"volume_id\": \"v\"}}"#;
        let good = format!(r#"{{"oslo.version": "2.0", "oslo.message": "{inner}"}}"#);
        let large = format!(r#"{{"oslo.message": "{}"}}"#, "x".repeat(10 << 20));
        let bodies = [b"junk".to_vec(), large.into_bytes(), good.into_bytes()];
        let mut counts = Notifications::default();
        let (notices, _) = read(&bodies, &mut counts);
        let ids: Vec<_> = notices
            .into_iter()
            .map(|notice| notice.resource.id)
            .collect();
        assert_eq!(ids, ["v"]);
        assert!(counts.by_result().iter().all(|(_, count)| *count == 1));
    }
}
