use std::future::Future;

use alliance_core::partner::Role;
use alliance_peer::client::{Deadlines, PeerClient};
use alliance_peer::identity::Identity;

use super::*;
use crate::daemon::bed::{Bed, Failure, Served, descriptor};
use crate::daemon::home::PeerSide;

type Outcome = Result<(), Failure>;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A home, and one of its hosts.
async fn home() -> Result<(Bed, Served), Failure> {
    let west = Bed::new().await?;
    let side = Arc::new(PeerSide(Arc::clone(&west.daemon)));
    let served = Served::new(Arc::clone(&west.daemon.identity), side).await?;
    Ok((west, served))
}

async fn host(west: &Bed, served: &Served, name: &str) -> Result<PeerClient, Failure> {
    let identity = Identity::ephemeral()?;
    let told = descriptor(&identity, &identity, "https://127.0.0.1:1")?;
    west.knows(name, told, Role::Host).await?;
    let deadlines = Deadlines::default();
    Ok(PeerClient::new(
        &identity,
        west.id().clone(),
        &served.url,
        deadlines,
    )?)
}

fn happened(number: usize) -> NewSignOut {
    said_once(LookAgain {
        user_id: Some(number.to_string()),
        ..LookAgain::default()
    })
}

async fn polled(host: &PeerClient, poll: Poll) -> Result<Vec<String>, Failure> {
    let answer = timeout(PATIENCE, host.sign_outs(RequestId::random(), &poll)).await??;
    Ok(answer.sets.into_keys().collect())
}

fn heard(jti: &str) -> Poll {
    Poll {
        ack: vec![jti.to_owned()],
        max_events: Some(1),
        ..Poll::default()
    }
}

#[tokio::test]
async fn a_host_that_acknowledges_nothing_keeps_no_other_waiting() -> Outcome {
    let (west, served) = home().await?;
    let (east, north) = (
        host(&west, &served, "east").await?,
        host(&west, &served, "north").await?,
    );
    west.daemon.note([happened(1), happened(2)]).await;
    let one = Poll {
        max_events: Some(1),
        ..Poll::default()
    };
    assert_eq!(polled(&north, one.clone()).await?, ["1"]);
    for _ in 0..20 {
        assert_eq!(polled(&east, one.clone()).await?, ["1"]);
    }
    assert_eq!(polled(&north, heard("1")).await?, ["2"]);
    assert_eq!(polled(&east, one).await?, ["1"]);
    Ok(())
}

#[tokio::test]
async fn a_host_that_asks_anew_waits_once() -> Outcome {
    let (west, served) = home().await?;
    let east = Arc::new(host(&west, &served, "east").await?);
    let wait = || {
        let east = Arc::clone(&east);
        tokio::spawn(async move {
            let polled = polled(&east, Poll::default()).await;
            polled.map_err(|error| error.to_string())
        })
    };
    let waiting = || {
        let waiting = west.daemon.noticing.waiting();
        waiting.values().next().map(Arc::clone)
    };
    let first = wait();
    until(|| async { waiting().is_some() }).await?;
    let before = waiting();
    let second = wait();
    assert_eq!(first.await??, Vec::<String>::new());
    until(|| async { !same(&before, &waiting()) }).await?;
    west.daemon.note([happened(1)]).await;
    assert_eq!(second.await??, ["1"]);
    assert!(waiting().is_none());
    Ok(())
}

fn same(one: &Option<Arc<Notify>>, other: &Option<Arc<Notify>>) -> bool {
    let pointer = |one: &Option<Arc<Notify>>| one.as_ref().map(Arc::as_ptr);
    pointer(one) == pointer(other)
}

async fn until<F: Future<Output = bool>>(mut done: impl FnMut() -> F) -> Outcome {
    let waiting = async {
        while !done().await {
            sleep(GATHER).await;
        }
    };
    Ok(timeout(PATIENCE, waiting).await?)
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn what_was_disabled_or_enabled_puts_in_doubt() {
    let disabled = |projects: &[&str], domains: &[&str]| Disabled {
        projects: set(projects),
        domains: set(domains),
    };
    let before = disabled(&["a", "b"], &["x"]);
    let found = differences(Some(&before), &disabled(&["b", "c"], &[]));
    let projects: Vec<_> = found
        .iter()
        .filter_map(|look| look.project_id.as_deref())
        .collect();
    let domains: Vec<_> = found
        .iter()
        .filter_map(|look| look.domain_id.as_deref())
        .collect();
    assert_eq!((projects, domains), (vec!["a", "c"], vec!["x"]));
    assert!(differences(Some(&before), &before).is_empty());
    // After a restart nobody knows what was so before.
    assert_eq!(differences(None, &before).len(), 3);
}

#[test]
fn a_flood_of_pokes_is_one_doubt_about_everything() {
    let noticing = Noticing::default();
    let doubt = |number: usize| {
        Some(LookAgain {
            user_id: Some(number.to_string()),
            ..LookAgain::default()
        })
    };
    noticing.poke(None);
    assert!(noticing.take().doubts.is_empty());
    for number in 0..MOST_DOUBTS {
        noticing.poke(doubt(number));
        noticing.poke(doubt(0));
    }
    assert_eq!(noticing.take().doubts.len(), MOST_DOUBTS);
    for number in 0..=MOST_DOUBTS + 1 {
        noticing.poke(doubt(number));
    }
    assert_eq!(noticing.take().doubts, [LookAgain::default()].into());
    assert!(noticing.take().doubts.is_empty());
}

#[tokio::test]
async fn what_a_poke_says_is_told_without_keystone_and_once() -> Outcome {
    let (west, served) = home().await?;
    let east = host(&west, &served, "east").await?;
    let logout = |audit_id: &str| RevocationEvent {
        audit_id: Some(audit_id.to_owned()),
        issued_before: Timestamp::now(),
        ..RevocationEvent::default()
    };
    let noting = tokio::spawn(Arc::clone(&west.daemon).note_sign_outs());
    let first = logout("a");
    for event in [&first, &first] {
        west.daemon.noticing.revoked(event.clone());
    }
    assert_eq!(polled(&east, Poll::default()).await?, ["1"]);
    west.daemon.noticing.revoked(first);
    for never_abroad in [
        RevocationEvent {
            trust_id: Some("trust".to_owned()),
            ..logout("b")
        },
        RevocationEvent {
            issued_before: Timestamp::UNIX_EPOCH,
            ..logout("c")
        },
    ] {
        west.daemon.noticing.revoked(never_abroad);
    }
    west.daemon.noticing.revoked(logout("d"));
    assert_eq!(polled(&east, heard("1")).await?, ["2"]);
    noting.abort();
    Ok(())
}

#[tokio::test]
async fn more_events_than_are_kept_are_read() {
    let noticing = Noticing::default();
    for _ in 0..=MOST_EVENTS {
        noticing.revoked(RevocationEvent::default());
    }
    let said = noticing.take();
    assert_eq!((said.events.len(), said.read), (MOST_EVENTS, true));
    noticing.revoked(RevocationEvent::default());
    assert!(!noticing.take().read);
}
