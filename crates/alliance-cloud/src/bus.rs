//! This cloud's message bus, RabbitMQ: the notifications of its services, in a queue of our own.
//!
//! Nothing is lost while nobody listens: the queue is durable and a message leaves it only when it was
//! acknowledged, which its reader does after it has stored what the message says.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, Consumer, ErrorKind, ExchangeKind};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

use crate::transport::innermost;

/// How long the server may take for one step.
const STEP: Duration = Duration::from_secs(5);
/// After how many seconds of silence a connection is taken for dead.
const HEARTBEAT: &str = "10";
/// Where RabbitMQ listens unless the URL says something else.
const PORT: u16 = 5672;
const NO_URL: BusError = BusError::Url(
    "expected amqp://user:password@host:port/vhost; of several hosts, each with its user: amqp://user:password@one:port,user:password@two:port/vhost",
);
/// How many messages wait here at most that are not acknowledged.
const AHEAD: u16 = 500;
/// How many messages wait in the queue at most; the oldest are dropped. What they said is seen when the
/// services are listed.
const LONGEST: i64 = 1_000_000;
/// How long a batch waits for more.
const GATHER: Duration = Duration::from_millis(20);

/// How the bus is reached, and what is heard there.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `amqp://user:password@host:port/vhost`, or a service's `transport_url`: of several hosts, each with its
    /// user, the first that answers is taken.
    pub url: SecretString,
    /// The name of our queue.
    pub queue: String,
    /// Whether each host of a cluster has what waits in it, and not one alone.
    pub is_quorum: bool,
    /// The exchanges to which services send notifications: their `control_exchange`.
    pub exchanges: Vec<String>,
    /// Their routing keys: a topic and a priority, as `notifications.info`.
    pub keys: Vec<String>,
}

/// Why nothing is heard.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The URL cannot be used. It holds a password and is not shown.
    #[error("the URL of the message bus cannot be used: {0}")]
    Url(&'static str),
    /// The server did not answer in time.
    #[error("RabbitMQ did not answer within {} s", STEP.as_secs())]
    TimedOut,
    /// Several hosts are named, and nobody answers at any of them, for these reasons.
    #[error("none of the hosts of the message bus is heard: {0}")]
    Nowhere(String),
    /// No connection, or it has ended.
    #[error("RabbitMQ is not heard")]
    Broken(#[from] lapin::Error),
    /// Nobody has made the exchange to which we speak.
    #[error("there is no exchange {0}: who listens makes it")]
    NoExchange(String),
    /// RabbitMQ could not keep a message.
    #[error("RabbitMQ did not take the message")]
    NotTaken,
    /// The queue has been taken away from us.
    #[error("RabbitMQ has ended our subscription; was the queue deleted?")]
    Ended,
}

/// A queue that is being read.
#[derive(Debug)]
pub struct Listening {
    connection: Connection,
    channel: Channel,
    consumer: Consumer,
    settings: Settings,
    unbound: Vec<String>,
    last: Option<u64>,
}

/// How the queue is that a process reads, or should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueState {
    /// How many messages wait in it, and how many read it; `None`: there is no such queue.
    pub queue: Option<(u32, u32)>,
    /// The exchanges that nobody has made.
    pub absent: Vec<String>,
    /// The hosts of several that do not answer, each with the reason.
    pub away: Vec<String>,
}

impl Settings {
    /// How the queue is. Makes nothing.
    ///
    /// # Errors
    /// See [`BusError`].
    pub async fn look(&self) -> Result<QueueState, BusError> {
        let name = "alliance doctor";
        let hosts = amqp_urls(self.url.expose_secret())?;
        let answers = hosts
            .iter()
            .map(async |host| (host, connect_to(host, name).await));
        let mut connections = Vec::new();
        let mut away = Vec::new();
        for (host, answer) in join_all(answers).await {
            match answer {
                Ok(connection) => connections.push(connection),
                Err(error) if hosts.len() == 1 => return Err(error),
                Err(error) => away.push(at(host, &error)),
            }
        }
        let Some(connection) = connections.first() else {
            return Err(BusError::Nowhere(away.join("; ")));
        };
        // The server closes a channel that asks for what is not there.
        let asking = in_time(connection.create_channel()).await?;
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let asked =
            asking.queue_declare(self.queue.as_str().into(), passive, FieldTable::default());
        let queue = unless_absent(in_time(asked).await)?;
        let mut absent = Vec::new();
        for exchange in &self.exchanges {
            if ask_for(connection, exchange).await?.is_none() {
                absent.push(exchange.clone());
            }
        }
        for connection in connections {
            // Nothing is lost if it ends badly.
            let _ = in_time(connection.close(200, "done".into())).await;
        }
        Ok(QueueState {
            queue: queue.map(|queue| (queue.message_count(), queue.consumer_count())),
            absent,
            away,
        })
    }

    /// Connects, and makes the queue if it is not there.
    ///
    /// # Errors
    /// See [`BusError`].
    pub async fn listen(&self) -> Result<Listening, BusError> {
        let connection = connect(&self.url, "alliance work").await?;
        let channel = in_time(connection.create_channel()).await?;
        in_time(channel.basic_qos(AHEAD, BasicQosOptions::default())).await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(LONGEST));
        if self.is_quorum {
            let kind = AMQPValue::LongString("quorum".into());
            arguments.insert("x-queue-type".into(), kind);
        }
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        in_time(channel.queue_declare(self.queue.as_str().into(), options, arguments)).await?;
        let consumer = channel.basic_consume(
            self.queue.as_str().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let consumer = in_time(consumer).await?;
        let mut listening = Listening {
            connection,
            channel,
            consumer,
            settings: self.clone(),
            unbound: self.exchanges.clone(),
            last: None,
        };
        listening.bind().await?;
        Ok(listening)
    }
}

impl Listening {
    /// Binds the queue to those exchanges that have been made meanwhile: a service makes its own when it
    /// has something to say, and nobody else knows how it wants it.
    ///
    /// # Errors
    /// See [`BusError`].
    pub async fn bind(&mut self) -> Result<(), BusError> {
        let mut absent = Vec::new();
        for exchange in std::mem::take(&mut self.unbound) {
            let Some(asking) = ask_for(&self.connection, &exchange).await? else {
                absent.push(exchange);
                continue;
            };
            for key in &self.settings.keys {
                let bound = asking.queue_bind(
                    self.settings.queue.as_str().into(),
                    exchange.as_str().into(),
                    key.as_str().into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                );
                in_time(bound).await?;
            }
            in_time(asking.close(200, "done".into())).await?;
        }
        self.unbound = absent;
        Ok(())
    }

    /// Those that are not there yet.
    pub fn unbound(&self) -> &[String] {
        &self.unbound
    }

    /// The next messages' bodies, at most `most`: those that come within `patience`, and what follows at
    /// once. None if nothing comes. Must not be given up halfway: what it has read would be taken for
    /// handed out.
    ///
    /// # Errors
    /// See [`BusError`]. What was not acknowledged comes again.
    pub async fn next(
        &mut self,
        most: usize,
        patience: Duration,
    ) -> Result<Vec<Vec<u8>>, BusError> {
        let mut bodies = Vec::new();
        let mut until = Instant::now() + patience;
        while bodies.len() < most {
            let Ok(next) = timeout_at(until, self.consumer.next()).await else {
                break;
            };
            let delivery = next.ok_or(BusError::Ended)??;
            if bodies.is_empty() {
                until = Instant::now() + GATHER;
            }
            self.last = Some(delivery.delivery_tag);
            bodies.push(delivery.data);
        }
        Ok(bodies)
    }

    /// Everything that [`Listening::next`] has given is done with.
    ///
    /// # Errors
    /// See [`BusError`]; it comes again then.
    pub async fn acknowledge(&mut self) -> Result<(), BusError> {
        let Some(last) = self.last.take() else {
            return Ok(());
        };
        let all = BasicAckOptions { multiple: true };
        in_time(self.channel.basic_ack(last, all)).await
    }
}

/// A connection that the server shows under this name: to the first host that answers.
pub(crate) async fn connect(url: &SecretString, name: &str) -> Result<Connection, BusError> {
    let hosts = amqp_urls(url.expose_secret())?;
    let mut away = Vec::new();
    for host in &hosts {
        match connect_to(host, name).await {
            Ok(connection) => return Ok(connection),
            Err(error) if hosts.len() == 1 => return Err(error),
            Err(error) => away.push(at(host, &error)),
        }
    }
    Err(BusError::Nowhere(away.join("; ")))
}

async fn connect_to(host: &Url, name: &str) -> Result<Connection, BusError> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    in_time(Connection::connect(host.as_str(), properties)).await
}

/// What has led to an error, with the host that it is about.
fn at(host: &Url, error: &BusError) -> String {
    format!("{}: {}", address(host), innermost(error))
}

/// The host and port of a URL of [`amqp_urls`].
pub fn address(host: &Url) -> String {
    let port = host.port().unwrap_or(PORT);
    format!("{}:{port}", host.host_str().unwrap_or_default())
}

/// A channel on which this exchange was found; none if nobody has made it.
pub(crate) async fn ask_for(
    connection: &Connection,
    exchange: &str,
) -> Result<Option<Channel>, BusError> {
    // The server closes a channel that asks for what is not there.
    let asking = in_time(connection.create_channel()).await?;
    let passive = ExchangeDeclareOptions {
        passive: true,
        ..ExchangeDeclareOptions::default()
    };
    let asked = asking.exchange_declare(
        exchange.into(),
        ExchangeKind::Topic,
        passive,
        FieldTable::default(),
    );
    let found = unless_absent(in_time(asked).await)?;
    Ok(found.map(|()| asking))
}

/// What was found, or nothing where the server says that there is no such thing.
fn unless_absent<T>(found: Result<T, BusError>) -> Result<Option<T>, BusError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(BusError::Broken(error)) if matches!(error.kind(), ErrorKind::ProtocolError(_)) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

pub(crate) async fn in_time<T>(
    step: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, BusError> {
    match timeout(STEP, step).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(BusError::TimedOut),
    }
}

/// Each host's URL in AMQP's form; at least one.
///
/// # Errors
/// Why it cannot be used.
pub fn amqp_urls(text: &str) -> Result<Vec<Url>, BusError> {
    let found = text.split_once("://").ok_or(NO_URL)?;
    let (scheme, rest) = found;
    match scheme {
        "amqp" | "rabbit" => {}
        "amqps" => {
            return Err(BusError::Url(
                "TLS is not spoken here yet: name a tunnel on this machine",
            ));
        }
        _ => return Err(BusError::Url("expected one that begins with amqp://")),
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (hosts, path) = rest.split_at(end);
    hosts
        .split(',')
        .map(|host| amqp_url(&format!("amqp://{host}{path}")))
        .collect()
}

fn amqp_url(text: &str) -> Result<Url, BusError> {
    let url = Url::parse(text).ok().filter(Url::has_host);
    let mut url = url.ok_or(NO_URL)?;
    // The services mean the default one by nothing.
    if matches!(url.path(), "" | "/") {
        url.set_path("/%2f");
    }
    // Options of oslo.messaging mean nothing here.
    url.set_query(Some(&format!("heartbeat={HEARTBEAT}")));
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_services_own_url_will_do() {
        for (text, expected) in [
            (
                "rabbit://u:p@127.0.0.1:5672/",
                &["amqp://u:p@127.0.0.1:5672/%2f?heartbeat=10"][..],
            ),
            (
                "amqp://u:p@bus/east?ssl=0",
                &["amqp://u:p@bus/east?heartbeat=10"],
            ),
            (
                "rabbit://u:p@one:5671,u:q%2C@[fe80::1]:5672,v:r@three/east?ssl=0",
                &[
                    "amqp://u:p@one:5671/east?heartbeat=10",
                    "amqp://u:q%2C@[fe80::1]:5672/east?heartbeat=10",
                    "amqp://v:r@three/east?heartbeat=10",
                ],
            ),
            (
                "rabbit://u:p@one,u:p@two",
                &[
                    "amqp://u:p@one/%2f?heartbeat=10",
                    "amqp://u:p@two/%2f?heartbeat=10",
                ],
            ),
        ] {
            let urls = amqp_urls(text).unwrap_or_default();
            let urls: Vec<_> = urls.iter().map(Url::as_str).collect();
            assert_eq!(urls, expected, "{text}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused_without_showing_it() {
        for text in [
            "",
            "secret",
            "amqp://",
            "http://u:secret@bus/",
            "amqps://u:secret@bus/",
            "rabbit://u:secret@a:1,/",
            "rabbit://u:secret@a:1,,u:secret@b:2/",
            "rabbit://u:secret@a:1,u:secret@b:port/",
        ] {
            let refused = amqp_urls(text).err().map(|error| error.to_string());
            assert!(
                refused.is_some_and(|said| !said.contains("secret")),
                "{text}"
            );
        }
    }

    #[tokio::test]
    async fn of_several_hosts_none_of_which_answers_each_is_named()
    -> Result<(), Box<dyn std::error::Error>> {
        let mut hosts = Vec::new();
        for _ in 0..2 {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            hosts.push(listener.local_addr()?.to_string());
        }
        let url = format!("rabbit://u:secret@{},u:secret@{}/", hosts[0], hosts[1]);
        let failed = connect(&url.as_str().into(), "test").await.err();
        let said = failed.ok_or("nobody listens")?.to_string();
        let named = hosts.iter().all(|host| said.contains(host));
        assert!(
            named && said.matches("refused").count() == 2 && !said.contains("secret"),
            "{said}"
        );
        Ok(())
    }
}
