use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use alliance_core::refusal::Reason;
use alliance_peer::client::PeerError;
use alliance_peer::request_id::RequestId;
use alliance_peer::server::Limits;
use alliance_peer::wire::Introspection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::cloud::{
    Daemon, Mood, Served, client, raw, token_of, until, west_knows_east, west_knows_east_within,
};

/// Well above the deadlines that are tested, for a machine that is busy.
const SLACK: Duration = Duration::from_millis(800);

#[tokio::test]
async fn a_partner_that_hangs_costs_the_deadline_and_no_more() {
    let (served, east) = west_knows_east().await;
    served.daemon.feel(Mood::Hang);
    let client = served.client_of(&east);
    let began = Instant::now();
    let answer = client
        .introspect(RequestId::random(), &token_of(&served.daemon))
        .await;
    assert_eq!(answer, Err(PeerError::Timeout));
    assert!(
        began.elapsed() < Duration::from_millis(1700) + SLACK,
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_port_that_accepts_and_says_nothing_costs_the_deadline_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let (west, east) = (Daemon::new(), Daemon::new());
    let client = client(&east, &west.id(), &url);
    let began = Instant::now();
    let error = client
        .introspect(RequestId::random(), &token_of(&west))
        .await
        .unwrap_err();
    assert!(matches!(error, PeerError::Unreachable(_)), "{error}");
    assert_eq!(error.reason(), Reason::Unreachable);
    assert!(
        began.elapsed() < Duration::from_millis(1700) + SLACK,
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_partner_that_is_gone_is_left_alone_and_found_again() {
    let (west, east) = (Daemon::new(), Daemon::new());
    west.trust(&east.id());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = client(&east, &west.id(), &format!("https://{address}"));
    let token = token_of(&west);
    let ask = || client.introspect(RequestId::random(), &token);
    for _ in 0..3 {
        let error = ask().await.unwrap_err();
        assert!(matches!(error, PeerError::Unreachable(_)), "{error}");
    }
    let began = Instant::now();
    let error = ask().await.unwrap_err();
    assert!(matches!(error, PeerError::Paused { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_millis(50));
    assert!(!client.is_answering());
    let _served = Served::start_at(&west, Limits::default(), address).await;
    until(async || ask().await.is_ok()).await;
    assert!(client.is_answering());
}

#[tokio::test]
async fn the_server_gives_up_too() {
    let (west, east) = (Daemon::new(), Daemon::new());
    west.trust(&east.id());
    west.feel(Mood::Hang);
    let limits = Limits {
        request: Duration::from_millis(200),
        ..Limits::default()
    };
    let served = Served::start_with(&west, limits).await;
    let error = served
        .client_of(&east)
        .introspect(RequestId::random(), &token_of(&west))
        .await;
    let error = error.unwrap_err();
    assert!(
        matches!(&error, PeerError::Refused(p) if p.status == 503 && p.code() == "deadline"),
        "{error}"
    );
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let (served, east) = west_knows_east().await;
    let http = raw(&east, &served.daemon.id());
    for (length, status) in [(60 * 1024, 200), (64 * 1024 + 1, 413), (8 << 20, 413)] {
        let body = format!(r#"{{"token":"{}"}}"#, "a".repeat(length - 12));
        assert_eq!(body.len(), length);
        let response = http
            .post(format!("{}/v1/introspect", served.url()))
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status().as_u16(), status, "{length}");
    }
}

#[tokio::test]
async fn headers_beyond_the_limit_are_refused() {
    let (served, east) = west_knows_east().await;
    let http = raw(&east, &served.daemon.id());
    let response = http
        .get(format!("{}/v1/agreements", served.url()))
        .header("x-long", "a".repeat(32 * 1024))
        .send()
        .await;
    assert!(response.is_err() || response.is_ok_and(|r| r.status() == 431));
    let again = http
        .get(format!("{}/v1/agreements", served.url()))
        .send()
        .await;
    assert_eq!(again.unwrap().status(), 200);
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_not_read() {
    // A partner's server gone mad: it answers with more than anybody asked for.
    let (west, east) = (Daemon::new(), Daemon::new());
    let mut tls = alliance_peer::tls::server_config(&west.identity).unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor.accept(stream).await.unwrap();
        let answer = tower::service_fn(async |_| {
            let body = axum::body::Body::from("a".repeat(4 << 20));
            Ok::<_, std::convert::Infallible>(http::Response::new(body))
        });
        let executor = hyper_util::rt::TokioExecutor::new();
        let _ = hyper::server::conn::http2::Builder::new(executor)
            .serve_connection(
                hyper_util::rt::TokioIo::new(stream),
                hyper_util::service::TowerToHyperService::new(answer),
            )
            .await;
    });
    let client = client(&east, &west.id(), &url);
    let error = client.agreements(RequestId::random()).await.unwrap_err();
    assert!(
        matches!(&error, PeerError::Protocol(e) if e.contains("more than")),
        "{error}"
    );
}

#[tokio::test]
async fn a_handler_that_panics_takes_nobody_with_it() {
    let (served, east) = west_knows_east().await;
    let (west, client) = (&served.daemon, served.client_of(&east));
    west.feel(Mood::Slow(Duration::from_millis(300)));
    let token = token_of(west);
    let slow = client.introspect(RequestId::random(), &token);
    let broken = async {
        until(async || !west.seen.lock().unwrap().requests.is_empty()).await;
        west.feel(Mood::Panic);
        client.introspect(RequestId::random(), &token).await
    };
    let (slow, broken) = tokio::join!(slow, broken);
    assert!(matches!(slow, Ok(Introspection::Active { .. })), "{slow:?}");
    assert!(
        matches!(&broken, Err(PeerError::Refused(p)) if p.status == 500),
        "{broken:?}"
    );
}

#[tokio::test]
async fn who_connects_and_says_nothing_is_dropped() {
    let limits = Limits {
        handshake: Duration::from_millis(200),
        ..Limits::default()
    };
    let served = Served::start_with(&Daemon::new(), limits).await;
    for said in [&b""[..], &[0x16], &[0x16, 3, 1, 2, 0, 1]] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut rest = Vec::new();
        let end = stream.read_to_end(&mut rest);
        let end = tokio::time::timeout(Duration::from_secs(5), end);
        assert!(end.await.is_ok(), "still open after {said:?}");
    }
}

#[tokio::test]
async fn strangers_share_few_connections_and_partners_do_not_suffer() {
    let limits = Limits {
        per_stranger: 4,
        ..Limits::default()
    };
    let (served, east) = west_knows_east_within(limits).await;
    let client = served.client_of(&east);
    client.agreements(RequestId::random()).await.unwrap();
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(TcpStream::connect(served.address).await.unwrap());
    }
    // The fifth of this address is dropped at once.
    until(async || {
        let mut fifth = TcpStream::connect(served.address).await.unwrap();
        let mut byte = [0];
        let end = fifth.read(&mut byte);
        matches!(
            tokio::time::timeout(Duration::from_millis(50), end).await,
            Ok(Ok(0) | Err(_))
        )
    })
    .await;
    client.agreements(RequestId::random()).await.unwrap();
    drop(idle);
    until(async || {
        served
            .client_of(&east)
            .agreements(RequestId::random())
            .await
            .is_ok()
    })
    .await;
}

/// A connection of somebody with a key.
async fn connected(who: &Daemon, served: &Served) -> tokio_rustls::client::TlsStream<TcpStream> {
    let tls = alliance_peer::tls::client_config(&who.identity, served.daemon.id()).unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls));
    let tcp = TcpStream::connect(served.address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    connector.connect(name, tcp).await.unwrap()
}

/// Returns when somebody with a key no longer finds room. What it took until then stays taken.
async fn crowd(served: &Served) -> Vec<tokio_rustls::client::TlsStream<TcpStream>> {
    let stranger = Daemon::new();
    let mut held = Vec::new();
    until(async || {
        let mut stream = connected(&stranger, served).await;
        // A server that goes on speaks first: HTTP/2's settings.
        let mut some = [0];
        let is_refused = !matches!(stream.read(&mut some).await, Ok(1));
        held.push(stream);
        is_refused
    })
    .await;
    held.pop();
    held
}

#[tokio::test]
async fn strangers_that_stay_leave_partners_of_their_address_room() {
    let limits = Limits {
        per_stranger: 4,
        ..Limits::default()
    };
    let (served, east) = west_knows_east_within(limits).await;
    let held = crowd(&served).await;
    assert_eq!(held.len(), 4);
    for _ in 0..8 {
        let client = served.client_of(&east);
        client.agreements(RequestId::random()).await.unwrap();
    }
    drop(held);
}

#[tokio::test]
async fn all_strangers_together_have_an_eighth_of_the_room() {
    let limits = Limits::of_connections(24);
    assert_eq!((limits.connections, limits.strangers), (24, 3));
    let served = Served::start_with(&Daemon::new(), limits).await;
    assert_eq!(crowd(&served).await.len(), 3);
}

#[tokio::test]
async fn behind_a_balancer_everybody_is_counted_by_their_own_address() {
    let (west, east) = (Daemon::new(), Daemon::new());
    west.trust(&east.id());
    let limits = Limits {
        per_stranger: 2,
        ..Limits::default()
    };
    let at = "127.0.0.1:0".parse().unwrap();
    let served = Served::start_behind(&["127.0.0.0/8"], &west, limits, at).await;
    let ask = async |url: &str| {
        let client = client(&east, &west.id(), url);
        client.agreements(RequestId::random()).await
    };
    let from = "PROXY TCP4 203.0.113.8 192.0.2.10 40000 5443\r\n";
    let wire = crate::proxy::Wire::saying(from, served.address).await;
    let mut silent = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let from = b"PROXY TCP4 203.0.113.7 192.0.2.10 40000 5443\r\n";
        stream.write_all(from).await.unwrap();
        silent.push(stream);
    }
    let crowded = "PROXY TCP4 203.0.113.7 192.0.2.10 40001 5443\r\n";
    let crowded = crate::proxy::Wire::saying(crowded, served.address).await;
    until(async || ask(&crowded.url()).await.is_err()).await;
    ask(&wire.url()).await.unwrap();
    drop(silent);
    until(async || ask(&crowded.url()).await.is_ok()).await;
    let unsaid = ask(&served.url()).await;
    assert!(
        matches!(unsaid, Err(PeerError::Unreachable(_))),
        "{unsaid:?}"
    );
}

#[tokio::test]
async fn a_strangers_connection_does_not_stay() {
    let (west, east) = (Daemon::new(), Daemon::new());
    let limits = Limits {
        stranger_lifetime: Duration::from_millis(100),
        ..Limits::default()
    };
    let served = Served::start_with(&west, limits).await;
    let wire = crate::proxy::Wire::to(served.address).await;
    let client = client(&east, &west.id(), &wire.url());
    until(async || {
        let _ = client.agreements(RequestId::random()).await;
        wire.connections.load(std::sync::atomic::Ordering::SeqCst) >= 2
    })
    .await;
}

/// Within `patience`, by the other end.
async fn is_ended(mut stream: tokio_rustls::client::TlsStream<TcpStream>, patience: Duration) {
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest);
    let end = tokio::time::timeout(patience, end).await;
    assert!(end.is_ok(), "still open");
}

#[tokio::test]
async fn a_stranger_that_never_begins_to_speak_does_not_stay_either() {
    let (west, east) = (Daemon::new(), Daemon::new());
    let limits = Limits {
        stranger_lifetime: Duration::from_millis(100),
        request: Duration::from_millis(100),
        drain: Duration::from_millis(100),
        ..Limits::default()
    };
    let served = Served::start_with(&west, limits).await;
    is_ended(connected(&east, &served).await, Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_partner_that_never_begins_to_speak_does_not_stay_either() {
    let limits = Limits {
        handshake: Duration::from_secs(1),
        request: Duration::from_millis(100),
        ..Limits::default()
    };
    let (served, east) = west_knows_east_within(limits).await;
    is_ended(connected(&east, &served).await, Duration::from_secs(10)).await;
}

#[tokio::test]
async fn of_one_partner_so_much_is_under_way_at_once_and_the_rest_is_told_to_come_later() {
    let limits = Limits {
        requests_of_partner: 3,
        ..Limits::default()
    };
    let (served, east) = west_knows_east_within(limits).await;
    let (west, north) = (&served.daemon, Daemon::new());
    west.trust(&north.id());
    west.feel(Mood::Hang);
    let (http, url) = (raw(&east, &west.id()), served.url());
    let held: Vec<_> = (0..3)
        .map(|_| {
            let (client, token) = (served.client_of(&east), token_of(west));
            tokio::spawn(
                async move { client.introspect(RequestId::random(), &token).await.is_ok() },
            )
        })
        .collect();
    until(async || west.introspections.load(Ordering::SeqCst) == 3).await;
    let told = async |who: &reqwest::Client| {
        let asked = who.get(format!("{url}/v1/agreements")).send();
        asked.await.unwrap()
    };
    let shed = told(&http).await;
    assert_eq!(shed.status(), 503);
    assert!(shed.headers().contains_key("retry-after"));
    assert_eq!(told(&raw(&north, &west.id())).await.status(), 200);
    for one in held {
        one.abort();
    }
    until(async || told(&http).await.status() == 200).await;
}

#[tokio::test]
async fn an_answer_that_nobody_reads_counts_until_it_is_given_up() {
    let limits = Limits {
        lists_of_partner: 1,
        ..Limits::default()
    };
    let (served, east) = west_knows_east_within(limits).await;
    let http = raw(&east, &served.daemon.id());
    let list = async || {
        let asked = http.get(format!("{}/v1/revocations", served.url())).send();
        asked.await.unwrap()
    };
    let unread = list().await;
    assert_eq!(unread.status(), 200);
    assert_eq!(list().await.status(), 503);
    let others = http.get(format!("{}/v1/agreements", served.url())).send();
    assert_eq!(others.await.unwrap().status(), 200);
    drop(unread);
    until(async || list().await.status() == 200).await;
}
