use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use alliance_peer::client::{Deadlines, PeerClient};
use alliance_peer::request_id::RequestId;
use alliance_peer::server::Limits;
use alliance_peer::wire::Introspection;
use futures_util::future::join_all;
use tokio::net::TcpStream;

use crate::cloud::{Daemon, Mood, Served, client, token_of, until, west_knows_east};
use crate::proxy::Wire;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_requests_at_once_share_one_connection() {
    let (served, east) = west_knows_east().await;
    let wire = Wire::to(served.address).await;
    let client = client(&east, &served.daemon.id(), &wire.url());
    served.daemon.feel(Mood::Slow(Duration::from_millis(200)));
    let token = token_of(&served.daemon);
    let answers = join_all((0..200).map(|_| client.introspect(RequestId::random(), &token))).await;
    for answer in answers {
        assert!(
            matches!(answer, Ok(Introspection::Active { .. })),
            "{answer:?}"
        );
    }
    for _ in 0..20 {
        client.agreements(RequestId::random()).await.unwrap();
    }
    assert_eq!(wire.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn shutting_down_finishes_what_is_under_way_and_takes_nothing_new() {
    let (mut served, east) = west_knows_east().await;
    let west = served.daemon.clone();
    west.feel(Mood::Slow(Duration::from_millis(500)));
    let client = served.client_of(&east);
    let address = served.address;
    let token = token_of(&west);
    let running = client.introspect(RequestId::random(), &token);
    let stopping = async {
        until(async || !west.seen.lock().unwrap().requests.is_empty()).await;
        served.begin_stop();
        until(async || TcpStream::connect(address).await.is_err()).await;
        served.stopped().await;
    };
    let (answer, ()) = tokio::join!(running, stopping);
    assert!(
        matches!(answer, Ok(Introspection::Active { .. })),
        "{answer:?}"
    );
}

#[tokio::test]
async fn shutting_down_does_not_wait_for_ever() {
    let (west, east) = (Daemon::new(), Daemon::new());
    west.trust(&east.id());
    west.feel(Mood::Hang);
    let limits = Limits {
        drain: Duration::from_millis(300),
        ..Limits::default()
    };
    let mut served = Served::start_with(&west, limits).await;
    let client = served.client_of(&east);
    let token = token_of(&west);
    let running = client.introspect(RequestId::random(), &token);
    let stopping = async {
        until(async || !west.seen.lock().unwrap().requests.is_empty()).await;
        let began = Instant::now();
        served.begin_stop();
        served.stopped().await;
        assert!(
            began.elapsed() < Duration::from_millis(1200),
            "{:?}",
            began.elapsed()
        );
    };
    let (answer, ()) = tokio::join!(running, stopping);
    assert!(answer.is_err());
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end() {
    let (served, east) = west_knows_east().await;
    let client = served.client_of(&east);
    client.agreements(RequestId::random()).await.unwrap();
    let began = Instant::now();
    served.stop().await;
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_partner_that_restarts_is_found_again_by_the_same_client() {
    let (served, east) = west_knows_east().await;
    let (west, address) = (served.daemon.clone(), served.address);
    let client = served.client_of(&east);
    client.agreements(RequestId::random()).await.unwrap();
    served.stop().await;
    assert!(client.agreements(RequestId::random()).await.is_err());
    let _served = Served::start_at(&west, Limits::default(), address).await;
    until(async || client.agreements(RequestId::random()).await.is_ok()).await;
}

#[tokio::test]
async fn a_connection_that_goes_dead_without_a_word_is_noticed_and_replaced() {
    let (served, east) = west_knows_east().await;
    let wire = Wire::to(served.address).await;
    let deadlines = Deadlines {
        errand: Duration::from_millis(300),
        ping_interval: Duration::from_millis(200),
        ping: Duration::from_millis(200),
        ..Deadlines::default()
    };
    let identity = &east.identity;
    let client = PeerClient::new(identity, served.daemon.id(), &wire.url(), deadlines).unwrap();
    client.agreements(RequestId::random()).await.unwrap();
    wire.go_dead();
    assert!(client.agreements(RequestId::random()).await.is_err());
    wire.come_back();
    until(async || client.agreements(RequestId::random()).await.is_ok()).await;
    assert!(wire.connections.load(Ordering::SeqCst) >= 2);
}

#[tokio::test]
async fn a_question_that_was_given_up_frees_the_partner() {
    let (served, east) = west_knows_east().await;
    let west = &served.daemon;
    let client = served.client_of(&east);
    let token = token_of(west);
    west.feel(Mood::Hang);
    for _ in 0..5 {
        let asking = client.introspect(RequestId::random(), &token);
        let _ = tokio::time::timeout(Duration::from_millis(50), asking).await;
    }
    west.feel(Mood::Vouch);
    assert!(client.introspect(RequestId::random(), &token).await.is_ok());
}
