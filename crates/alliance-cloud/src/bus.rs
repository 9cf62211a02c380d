//! This cloud's message bus, RabbitMQ: the notifications of its services, in a queue of our own.
//!
//! Nothing is lost while nobody listens: the queue is durable and a message leaves it only when it was
//! acknowledged, which its reader does after it has stored what the message says.

mod hosts;

use std::time::Duration;

use alliance_core::label::clean;
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::protocol::AMQPSoftError;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer, ErrorKind, ExchangeKind, Queue};
use tokio::time::{Instant, timeout, timeout_at};

pub use self::hosts::Hosts;

/// How long the server may take for one step.
const STEP: Duration = Duration::from_secs(5);
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
    /// Where it is.
    pub hosts: Hosts,
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
    /// Why it is of no use, if it was made in another way than it is declared here: so RabbitMQ says.
    pub unlike: Option<String>,
    /// The exchanges that nobody has made.
    pub absent: Vec<String>,
    /// The hosts of several that do not let us in, each with the reason.
    pub away: Vec<String>,
}

impl Settings {
    /// How the queue is. Makes nothing.
    ///
    /// # Errors
    /// See [`BusError`].
    pub async fn look(&self) -> Result<QueueState, BusError> {
        let (connections, away) = self.hosts.connect_to_all("alliance doctor").await?;
        let connection = &connections[0];
        // The server closes a channel that asks for what is not there.
        let asking = in_time(connection.create_channel()).await?;
        let queue = unless_absent(self.declare(&asking, true).await)?;
        let mut unlike = None;
        if queue.is_some() {
            let asking = in_time(connection.create_channel()).await?;
            unlike = match self.declare(&asking, false).await {
                Ok(_) => None,
                Err(error) => Some(refusal(error, &AMQPSoftError::PRECONDITIONFAILED)?),
            };
        }
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
            unlike,
            absent,
            away,
        })
    }

    /// Connects, and makes the queue if it is not there.
    ///
    /// # Errors
    /// See [`BusError`].
    pub async fn listen(&self) -> Result<Listening, BusError> {
        let connection = self.hosts.connect("alliance work").await?;
        let channel = in_time(connection.create_channel()).await?;
        in_time(channel.basic_qos(AHEAD, BasicQosOptions::default())).await?;
        self.declare(&channel, false).await?;
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

    /// Makes the queue if it is not there, unless that is only asked.
    async fn declare(&self, channel: &Channel, is_only_asked: bool) -> Result<Queue, BusError> {
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(LONGEST));
        if self.is_quorum {
            let kind = AMQPValue::LongString("quorum".into());
            arguments.insert("x-queue-type".into(), kind);
        }
        let options = QueueDeclareOptions {
            passive: is_only_asked,
            durable: true,
            ..QueueDeclareOptions::default()
        };
        in_time(channel.queue_declare(self.queue.as_str().into(), options, arguments)).await
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
        Err(error) => refusal(error, &AMQPSoftError::NOTFOUND).map(|_| None),
    }
}

/// What the server says of something that it refuses for this reason; any other error is one.
fn refusal(error: BusError, reason: &AMQPSoftError) -> Result<String, BusError> {
    if let BusError::Broken(broken) = &error
        && let ErrorKind::ProtocolError(said) = broken.kind()
        && said.get_id() == reason.get_id()
    {
        return Ok(clean(said.get_message().as_str(), 300));
    }
    Err(error)
}

pub(crate) async fn in_time<T>(
    step: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, BusError> {
    match timeout(STEP, step).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(BusError::TimedOut),
    }
}
