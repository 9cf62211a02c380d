use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Mutex, Once};

use alliance_peer::request_id::RequestId;
use alliance_peer::service::Report;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracing::Level;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::SubscriberExt;

use crate::cloud::{Daemon, Mood, Served, token_of, until, west_knows_east};

thread_local! {
    static CAPTURED: RefCell<Option<(Level, Log)>> = const { RefCell::new(None) };
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Everything that this thread logs; a test's runtime has no other. One subscriber for the
    /// whole process: those of single threads race with the caches of `tracing`.
    fn capture(level: Level) -> Self {
        static SUBSCRIBED: Once = Once::new();
        SUBSCRIBED.call_once(|| {
            let layer = tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_writer(|| {
                    CAPTURED.with_borrow(|c| c.clone().map(|(_, log)| log).unwrap_or_default())
                })
                .with_filter(dynamic_filter_fn(|event, _| {
                    CAPTURED.with_borrow(|c| {
                        c.as_ref().is_some_and(|(level, _)| event.level() <= level)
                    })
                }));
            let subscriber = tracing_subscriber::registry().with(layer);
            tracing::subscriber::set_global_default(subscriber).unwrap();
            tracing::callsite::rebuild_interest_cache();
        });
        let log = Self::default();
        CAPTURED.set(Some((level, log.clone())));
        log
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn plain_http_to_the_tls_port_is_dropped_with_one_line_that_says_so() {
    let log = Log::capture(Level::INFO);
    let served = Served::start(&Daemon::new()).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let request = b"GET /v1/descriptor HTTP/1.1\r\nhost: west\r\nx-secret: hunter2\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty());
    until(async || !log.text().is_empty()).await;
    served.stop().await;
    let text = log.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.contains("plain HTTP") && text.contains("https://"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn who_goes_away_at_once_is_not_worth_a_line() {
    let log = Log::capture(Level::INFO);
    let served = Served::start(&Daemon::new()).await;
    drop(TcpStream::connect(served.address).await.unwrap());
    served.stop().await;
    assert_eq!(log.text(), "");
}

#[tokio::test]
async fn no_token_and_no_secret_is_logged_at_any_level_and_the_request_id_is() {
    let log = Log::capture(Level::TRACE);
    let (served, east) = west_knows_east().await;
    let (west, client) = (&served.daemon, served.client_of(&east));
    let token = token_of(west);
    let (invitation, secret) = west.invite();
    let id = RequestId::random();
    client.introspect(id, &token).await.unwrap();
    west.feel(Mood::Break("a reason for the log".into()));
    client.introspect(id, &token).await.unwrap_err();
    let report = Report {
        token: token.clone(),
        reason: alliance_core::refusal::Reason::AdminRole,
    };
    client.report(id, &report).await.unwrap();
    let wait = std::time::Duration::ZERO;
    client
        .pairing_look(id, invitation, &secret, wait)
        .await
        .unwrap();
    served.stop().await;
    let text = log.text();
    let inner = &token.expose()[9..];
    assert!(!text.contains(inner), "a token is in the log");
    assert!(
        !text.contains(&*secret.expose()),
        "a pairing's secret is in the log"
    );
    assert!(text.contains("a reason for the log"));
    let named = text
        .lines()
        .any(|line| line.contains("alliance_peer") && line.contains(&id.to_string()));
    assert!(named, "the request id is not in the log");
}
