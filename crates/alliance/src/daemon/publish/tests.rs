//! Keystones that hear, do not hear, or are at it for long.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use alliance_cloud::keystone;
use alliance_core::partner::Status;
use alliance_peer::identity::Identity;
use axum::Router;
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use tempfile::TempDir;

use super::*;
use crate::daemon::directory::tests::knows_west;

/// The sessions that our Keystone is still to be told of, and how often it was to forget what it
/// remembers.
pub(crate) fn to_be_told(publisher: &Publisher) -> (Vec<String>, u64) {
    let bell = publisher.bell();
    (bell.sessions.keys().cloned().collect(), bell.flushes.0)
}

fn publisher(
    directory: &Arc<Directory>,
    store: &Store,
    folder: &TempDir,
) -> Result<Publisher, Box<dyn std::error::Error>> {
    publisher_to(nobodys_keystone()?, directory, store, folder)
}

fn publisher_to(
    keystone: Keystone,
    directory: &Arc<Directory>,
    store: &Store,
    folder: &TempDir,
) -> Result<Publisher, Box<dyn std::error::Error>> {
    Ok(Publisher::new(
        Arc::clone(directory),
        store.clone(),
        Arc::new(keystone),
        Arc::default(),
        Arc::new(Border::new(Duration::from_secs(30), None)),
        Arc::new(Metrics::new()),
        Settings {
            cloud_id: directory.cloud_id().clone(),
            cloud_name: "east".into(),
            cloud_key: Identity::ephemeral()?.signing_key().public().to_jwk(),
            guest_grace: Duration::from_secs(900),
            path: folder.path().join(SNAPSHOT),
            group: None,
        },
    ))
}

/// Where no Keystone answers.
pub(crate) fn nobodys_keystone() -> Result<Keystone, Box<dyn std::error::Error>> {
    keystone_at("http://127.0.0.1:1/v3")
}

fn keystone_at(url: &str) -> Result<Keystone, Box<dyn std::error::Error>> {
    Ok(Keystone::new(keystone::Settings {
        auth_url: url.parse()?,
        ca_file: None,
        username: "alliance".into(),
        password: "none".into(),
        user_domain_name: "Default".into(),
        project_name: "service".into(),
        project_domain_name: "Default".into(),
        reads: keystone::Reads::BySystem,
        region: None,
        interface: "public".into(),
        timeout: Duration::from_secs(60),
    })?)
}

#[tokio::test]
async fn of_what_cannot_be_written_keystone_is_told_to_forget_what_it_remembers_once()
-> Result<(), Box<dyn std::error::Error>> {
    let (directory, store, west, folder) = knows_west().await?;
    let publisher = publisher(&directory, &store, &folder)?;
    let path = folder.path().join(SNAPSHOT);
    std::fs::create_dir(&path)?;
    for _ in 0..3 {
        assert!(publisher.publish(false).await.is_err());
        assert_eq!(to_be_told(&publisher).1, 1);
    }
    store
        .partners()
        .set_status(&west, Status::Suspended, now())
        .await?;
    directory.reload().await?;
    for _ in 0..2 {
        assert!(publisher.publish(false).await.is_err());
        assert_eq!(to_be_told(&publisher).1, 2, "something else has changed");
    }
    assert!(!publisher.told().ok);
    std::fs::remove_dir(&path)?;
    publisher.publish(false).await?;
    assert_eq!(to_be_told(&publisher).1, 2, "it is written");

    // Back to what is written, and away again.
    std::fs::remove_file(&path)?;
    std::fs::create_dir(&path)?;
    for (status, flushes) in [
        (Status::Active, 3),
        (Status::Suspended, 3),
        (Status::Active, 4),
    ] {
        store.partners().set_status(&west, status, now()).await?;
        directory.reload().await?;
        let written = publisher.publish(false).await;
        assert_eq!(written.is_ok(), status == Status::Suspended);
        assert_eq!(to_be_told(&publisher).1, flushes, "{status:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_descriptor_that_was_only_signed_anew_writes_no_snapshot()
-> Result<(), Box<dyn std::error::Error>> {
    let (directory, store, west, folder) = knows_west().await?;
    let publisher = publisher(&directory, &store, &folder)?;
    let written = publisher.write(false).await?;
    let says = async |later: i64, url: &str| {
        let record = store.partners().by_cloud_id(&west).await?;
        let told = record.and_then(|record| record.facts.descriptor);
        let mut told = told.ok_or("no descriptor")?;
        told.claims.iat += later;
        told.claims.exp += later;
        told.claims.signing_keys[0].kid = url.to_owned();
        store
            .partners()
            .set_descriptor(&told, Some(&told.jws))
            .await?;
        directory.reload().await?;
        Ok::<_, Box<dyn std::error::Error>>(publisher.write(false).await?)
    };
    let changed = says(0, "key 1").await?;
    assert!(changed > written);
    for later in 1..10 {
        assert_eq!(says(later, "key 1").await?, changed);
    }
    assert!(says(0, "key 2").await? > changed);
    Ok(())
}

#[tokio::test]
async fn who_changes_nothing_is_not_told_that_keystone_knows_what_it_does_not()
-> Result<(), Box<dyn std::error::Error>> {
    let (directory, store, west, folder) = knows_west().await?;
    let publisher = publisher(&directory, &store, &folder)?;
    publisher.write(true).await?;
    assert!(publisher.acknowledge(&ack(&publisher)).is_some());
    assert!(publisher.publish(false).await?.keystone_told);
    store
        .partners()
        .set_status(&west, Status::Suspended, 10)
        .await?;
    directory.reload().await?;
    // Two that publish the same change at once: one of them finds it written.
    let (one, other) = tokio::join!(publisher.publish(false), publisher.publish(false));
    assert!(!one?.keystone_told);
    assert!(!other?.keystone_told);
    Ok(())
}

#[tokio::test]
async fn who_asks_while_keystone_is_told_learns_whether_it_heard()
-> Result<(), Box<dyn std::error::Error>> {
    let (directory, store, _, folder) = knows_west().await?;
    let publisher = publisher(&directory, &store, &folder)?;
    publisher.write(true).await?;
    assert!(!publisher.health().ok);
    assert!(!publisher.settled().await.ok, "nobody hears");
    let hears = async {
        tokio::task::yield_now().await;
        publisher.acknowledge(&ack(&publisher))
    };
    let (health, heard) = tokio::join!(publisher.settled(), hears);
    assert!(heard.is_some() && health.ok);
    Ok(())
}

fn question(random: &str, knows_later: bool) -> DoorbellQuestion {
    DoorbellQuestion {
        secret: random.to_owned(),
        knows_later,
    }
}

#[tokio::test]
async fn while_keystone_takes_grants_away_it_hears_of_changes_and_of_sessions()
-> Result<(), Box<dyn std::error::Error>> {
    let swept = Arc::<Mutex<Vec<u64>>>::default();
    let sweeps = Arc::clone(&swept);
    let (publisher, west, _folder) = rung(move |rung, random| {
        let Some(work) = rung.answer(&question(random, true)) else {
            return Duration::ZERO;
        };
        let batch = Some(work.batch);
        let told = rung.acknowledge(&DoorbellAck { batch, ..ack(rung) });
        assert!(told.is_some());
        let Some(sweep) = work.later.and_then(|later| later.sweep) else {
            return Duration::ZERO;
        };
        let mut sweeps = sweeps.lock().unwrap_or_else(PoisonError::into_inner);
        sweeps.push(sweep);
        Duration::from_secs(3600)
    })
    .await?;
    rings(&publisher);

    let patience = Duration::from_secs(30);
    let first = publisher.write(true).await?;
    let mut state = publisher.state.subscribe();
    timeout(
        patience,
        state.wait_for(|state| state.acknowledged == first),
    )
    .await??;
    publisher.end_sessions([ended("a", &west)], true);
    assert!(publisher.knows_of(&["a".to_owned()].into(), patience).await);
    let second = publisher.write(true).await?;
    timeout(
        patience,
        state.wait_for(|state| state.acknowledged == second),
    )
    .await??;
    let random = random_of(&publisher);
    assert_eq!(
        *swept.lock().unwrap_or_else(PoisonError::into_inner),
        [first]
    );
    assert!(publisher.health().ok);

    let done = |sweep: u64, error: Option<&str>| DoorbellDone {
        ring: random.clone(),
        node: "node".into(),
        error: error.map(str::to_owned),
        sweep: Some(sweep),
        projects: BTreeMap::new(),
    };
    // It has failed: who is on call is told, though Keystone knows all.
    assert!(publisher.acknowledge_later(&done(first, Some("no database"))));
    assert!(publisher.deaf_since().is_some());
    let health = publisher.health();
    assert!(
        !health.ok && health.detail.contains("node: no database"),
        "{health:?}"
    );
    assert!(publisher.told().ok, "what is new is known");
    assert!(publisher.acknowledge_later(&done(first, None)));
    assert!(publisher.health().ok, "it can");
    // What the second change takes away is another sweep.
    let swept = async {
        while *swept.lock().unwrap_or_else(PoisonError::into_inner) != [first, second] {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(patience, swept).await?;
    assert!(publisher.acknowledge_later(&done(second, None)));
    assert!(publisher.health().ok && publisher.deaf_since().is_none());
    // One that was asked before and comes late is not believed.
    assert!(publisher.acknowledge_later(&done(second, Some("no database"))));
    assert!(publisher.health().ok && publisher.deaf_since().is_none());
    Ok(())
}

#[tokio::test]
async fn what_changes_after_keystone_has_asked_waits_for_no_answer_of_it()
-> Result<(), Box<dyn std::error::Error>> {
    let (publisher, _west, _folder) = rung(|rung, random| {
        // It asks, and is then at it for long.
        let _ = rung.answer(&question(random, true));
        Duration::from_secs(3600)
    })
    .await?;
    rings(&publisher);
    let patience = Duration::from_secs(30);
    for heard in 1..=3 {
        publisher.write(true).await?;
        let is_heard = async {
            while publisher.bell().heard < heard {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(patience, is_heard).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_ring_for_what_is_just_said_to_be_done_is_not_one_that_nobody_heard()
-> Result<(), Box<dyn std::error::Error>> {
    let (publisher, _west, _folder) = rung(|rung, random| {
        // Of another plugin, that was asked long ago.
        rung.acknowledge_later(&DoorbellDone {
            ring: random.to_owned(),
            node: "node".into(),
            error: None,
            sweep: rung.answer(&question(random, true)).map(|_| 1),
            projects: BTreeMap::new(),
        });
        Duration::ZERO
    })
    .await?;
    let sweep = publisher.write(true).await?;
    assert_eq!(sweep, 1);
    let asked = question(&random_of(&publisher), true);
    let batch = publisher.answer(&asked).map(|work| work.batch);
    publisher.acknowledge(&DoorbellAck {
        batch,
        ..ack(&publisher)
    });
    publisher.bell().lose_sweeper();
    rings(&publisher);
    let counted = |result: &'static str| {
        let label = RingLabels { result };
        publisher.metrics.rings.get_or_create(&label).get()
    };
    let is_over = async {
        while counted("acknowledged") + counted("failed") == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(30), is_over).await?;
    assert_eq!(counted("failed"), 0);
    assert!(publisher.health().ok && publisher.deaf_since().is_none());
    Ok(())
}

#[tokio::test]
async fn who_should_take_grants_away_and_says_nothing_is_named()
-> Result<(), Box<dyn std::error::Error>> {
    let (directory, store, _west, folder) = knows_west().await?;
    let publisher = publisher(&directory, &store, &folder)?;
    publisher.write(true).await?;
    let asked = question(&random_of(&publisher), true);
    let batch = publisher.answer(&asked).map(|work| work.batch);
    publisher.acknowledge(&DoorbellAck {
        batch,
        ..ack(&publisher)
    });
    assert!(publisher.health().ok);
    publisher.bell().lose_sweeper();
    assert!(publisher.answer(&asked).is_some());
    let health = publisher.health();
    assert!(
        !health.ok && health.detail.contains("has not said"),
        "{health:?}"
    );
    Ok(())
}

fn ended(session: &str, cloud_id: &CloudId) -> EndedSession {
    EndedSession {
        session: session.to_owned(),
        cloud_id: cloud_id.clone(),
        user_id: "ann".to_owned(),
        expires_at: 100,
    }
}

/// A publisher in whose Keystone a plugin does this with what it is rung by, and says how long it is at it.
async fn rung(
    plugin: impl Fn(&Publisher, &str) -> Duration + Clone + Send + Sync + 'static,
) -> Result<(Arc<Publisher>, CloudId, TempDir), Box<dyn std::error::Error>> {
    let (directory, store, west, folder) = knows_west().await?;
    let ringer: Arc<OnceLock<Arc<Publisher>>> = Arc::default();
    let rings = Arc::clone(&ringer);
    let keystone = keystone_with(move |secret| {
        let rung = rings.get().zip(secret.strip_prefix(RING_PREFIX));
        rung.map_or(Duration::ZERO, |(rung, random)| plugin(rung, random))
    });
    let publisher = publisher_to(keystone.await?, &directory, &store, &folder)?;
    let publisher = Arc::clone(ringer.get_or_init(|| Arc::new(publisher)));
    Ok((publisher, west, folder))
}

/// From now on it rings when there is need.
fn rings(publisher: &Arc<Publisher>) {
    let publisher = Arc::clone(publisher);
    tokio::spawn(async move { publisher.ring_when_needed().await });
}

/// How it rings now.
fn random_of(publisher: &Publisher) -> String {
    let secret = publisher.bell().secret.clone().unwrap_or_default();
    secret[RING_PREFIX.len()..].to_owned()
}

/// What a plugin says that was rung by this publisher.
fn ack(publisher: &Publisher) -> DoorbellAck {
    DoorbellAck {
        ring: random_of(publisher),
        node: "node".into(),
        error: None,
        batch: None,
        projects: None,
    }
}

/// Logs everybody in and knows no token. What it is asked about it hands to its plugin, which says how
/// long it is at it.
async fn keystone_with(
    plugin: impl Fn(&str) -> Duration + Clone + Send + Sync + 'static,
) -> Result<Keystone, Box<dyn std::error::Error>> {
    let log_in = || async {
        let body = r#"{"token": {"user": {"id": "u", "name": "alliance",
            "domain": {"id": "d", "name": "D"}}, "methods": ["password"], "audit_ids": ["a"],
            "issued_at": "2030-01-01T00:00:00Z", "expires_at": "2030-01-02T00:00:00Z"}}"#;
        (StatusCode::CREATED, [("x-subject-token", "own")], body)
    };
    let look_up = move |headers: HeaderMap| async move {
        let subject = headers.get("x-subject-token");
        let subject = subject.and_then(|subject| subject.to_str().ok());
        sleep(plugin(subject.unwrap_or_default())).await;
        let body = r#"{"error": {"message": "no such token", "code": 404}}"#;
        (StatusCode::NOT_FOUND, body)
    };
    let router = Router::new().route("/v3/auth/tokens", get(look_up).post(log_in));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    let keystone = keystone_at(&format!("http://{at}/v3"))?;
    // Its first token may take it longer.
    keystone.ring("ring~first", "req-1").await?;
    Ok(keystone)
}

/// Within a test's patience for a Keystone, a loaded machine may not answer at all.
async fn is_found_unheard(publisher: &Publisher) -> bool {
    for _ in 0..20 {
        if publisher.is_unheard().await {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_doorbell_that_nobody_hears_is_found_though_nothing_is_to_be_said()
-> Result<(), Box<dyn std::error::Error>> {
    let (directory, store, _west, folder) = knows_west().await?;
    let keystone = keystone_with(|_| Duration::ZERO).await?;
    let publisher = publisher_to(keystone, &directory, &store, &folder)?;
    assert!(!publisher.is_unheard().await, "there is no doorbell yet");
    publisher.write(true).await?;
    assert!(!publisher.is_unheard().await, "that is known already");
    publisher.acknowledge(&ack(&publisher));
    assert!(publisher.health().ok);
    assert!(is_found_unheard(&publisher).await);
    Ok(())
}

#[tokio::test]
async fn a_doorbell_that_is_heard_or_whose_keystone_is_silent_is_not_taken_for_unheard()
-> Result<(), Box<dyn std::error::Error>> {
    let (directory, store, _west, folder) = knows_west().await?;
    let silent = publisher(&directory, &store, &folder)?;
    silent.write(true).await?;
    silent.acknowledge(&ack(&silent));
    assert!(!silent.is_unheard().await);

    let (heard, _west, _folder) = rung(|rung, random| {
        let _ = rung.answer(&question(random, true));
        Duration::ZERO
    })
    .await?;
    heard.write(true).await?;
    heard.acknowledge(&ack(&heard));
    let before = heard.bell().heard;
    assert!(!is_found_unheard(&heard).await);
    assert!(heard.bell().heard > before);
    let told = heard.acknowledge(&ack(&heard));
    assert_eq!(told, Some(Vec::new()), "there was nothing to do");
    Ok(())
}
