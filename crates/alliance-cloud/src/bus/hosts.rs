//! Where the message bus is: one host, or those of a cluster.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use url::{Host, Url};

use super::{BusError, in_time};
use crate::transport::innermost;

/// After how many seconds of silence a connection is taken for dead.
const HEARTBEAT: u16 = 10;
/// What to say of a URL that is none.
const EXPECTED: BusError = BusError::Url(
    "expected amqp://user:password@host:port/vhost; of several hosts, each with its user: amqp://user:password@one:port,user:password@two:port/vhost",
);

/// The hosts of a message bus, with who we are there. What is shown of them has no password.
#[derive(Clone)]
pub struct Hosts {
    all: Vec<AMQPUri>,
    /// Whose turn is next: one that answers, and then serves badly, is not asked again and again.
    turn: Arc<AtomicUsize>,
}

impl Hosts {
    /// Those of `amqp://user:password@host:port/vhost`, or of a service's `transport_url`: at least one.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn of(text: &str) -> Result<Self, BusError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(EXPECTED)?;
        match scheme.to_ascii_lowercase().as_str() {
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
        let urls: Option<Vec<_>> = hosts
            .split(',')
            .map(|host| Url::parse(&format!("amqp://{host}{path}")).ok())
            .collect();
        let urls = urls.ok_or(EXPECTED)?;
        // A comma in a password would look like the beginning of another host.
        let has_user = |url: &Url| !url.username().is_empty() && url.password().is_some();
        if urls.len() > 1 && !urls.iter().all(has_user) {
            return Err(EXPECTED);
        }
        let all: Option<Vec<_>> = urls.into_iter().map(uri).collect();
        Ok(Self {
            all: all.ok_or(EXPECTED)?,
            turn: Arc::default(),
        })
    }

    /// A connection that the server shows under this name, to one that answers; another one than last time
    /// if there are several.
    ///
    /// # Errors
    /// If none of them does.
    pub(crate) async fn connect(&self, name: &str) -> Result<Connection, BusError> {
        let first = self.turn.load(Ordering::Relaxed);
        let mut away = Vec::new();
        for nth in first..first + self.all.len() {
            let host = &self.all[nth % self.all.len()];
            match connect_to(host, name).await {
                Ok(connection) => {
                    self.turn.store(nth + 1, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(error) => away.push((host, error)),
            }
        }
        Err(nowhere(away))
    }

    /// A connection to each that answers, and why the others do not.
    ///
    /// # Errors
    /// If none of them does.
    pub(super) async fn connect_to_all(
        &self,
        name: &str,
    ) -> Result<(Vec<Connection>, Vec<String>), BusError> {
        let asked = self.all.iter();
        let asked = asked.map(async |host| (host, connect_to(host, name).await));
        let mut connections = Vec::new();
        let mut away = Vec::new();
        for (host, answer) in join_all(asked).await {
            match answer {
                Ok(connection) => connections.push(connection),
                Err(error) => away.push((host, error)),
            }
        }
        match connections.is_empty() {
            true => Err(nowhere(away)),
            false => Ok((connections, whys(&away))),
        }
    }
}

/// Where they are, and who we are there.
impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, host) in self.all.iter().enumerate() {
            let comma = if nth == 0 { "" } else { ", " };
            write!(f, "{comma}{}", address(host))?;
        }
        let first = &self.all[0];
        let user = &first.authority.userinfo.username;
        write!(f, ", virtual host {}, user {user}", first.vhost)
    }
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hosts({self})")
    }
}

/// What a URL of one host says; options of oslo.messaging mean nothing here.
fn uri(mut url: Url) -> Option<AMQPUri> {
    url.set_query(None);
    // The services mean the default one by nothing.
    if matches!(url.path(), "" | "/") {
        url.set_path("/%2f");
    }
    let mut uri: AMQPUri = url.as_str().parse().ok()?;
    // What is no name would be taken for this machine's.
    uri.authority.host = match url.host()? {
        Host::Ipv6(address) => address.to_string(),
        named => named.to_string(),
    };
    uri.query.heartbeat = Some(HEARTBEAT);
    Some(uri)
}

async fn connect_to(host: &AMQPUri, name: &str) -> Result<Connection, BusError> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    in_time(Connection::connect_uri(host.clone(), properties)).await
}

/// Why no host lets us in: of a single one its own error.
fn nowhere(mut away: Vec<(&AMQPUri, BusError)>) -> BusError {
    match away.pop() {
        Some((_, error)) if away.is_empty() => error,
        last => {
            away.extend(last);
            BusError::Nowhere(whys(&away).join("; "))
        }
    }
}

fn whys(away: &[(&AMQPUri, BusError)]) -> Vec<String> {
    let whys = away.iter();
    whys.map(|(host, error)| format!("{}: {}", address(host), innermost(error)))
        .collect()
}

fn address(host: &AMQPUri) -> String {
    let (host, port) = (&host.authority.host, host.authority.port);
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// What is said to the server at each host.
    fn said(text: &str) -> Option<Vec<String>> {
        let hosts = Hosts::of(text).ok()?;
        let said = hosts.all.iter().map(|host| {
            let user = &host.authority.userinfo;
            assert_eq!(host.query.heartbeat, Some(HEARTBEAT));
            format!(
                "{}:{}@{} {}",
                user.username,
                user.password,
                address(host),
                host.vhost
            )
        });
        Some(said.collect())
    }

    #[test]
    fn a_services_own_url_will_do() {
        for (text, expected) in [
            (
                "rabbit://u:p@127.0.0.1:5673/",
                &["u:p@127.0.0.1:5673 /"][..],
            ),
            (" AMQP://u:p@bus/east?ssl=0\n", &["u:p@bus:5672 east"]),
            ("amqp://bus", &["guest:guest@bus:5672 /"]),
            (
                "rabbit://u:p@one:5671,u:q%2C@[fe80::1]:5673,v:r@three/east?ssl=0",
                &[
                    "u:p@one:5671 east",
                    "u:q,@[fe80::1]:5673 east",
                    "v:r@three:5672 east",
                ],
            ),
            (
                "rabbit://u:p@one,u:p@two",
                &["u:p@one:5672 /", "u:p@two:5672 /"],
            ),
        ] {
            assert_eq!(said(text).unwrap_or_default(), expected, "{text}");
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
            "rabbit://u:secret@a:1,b:2/",
            "amqp://u:,secret@bus/",
            "amqp://u:12,secret@bus/",
        ] {
            let refused = Hosts::of(text).err().map(|error| error.to_string());
            assert!(
                refused.is_some_and(|said| !said.contains("secret")),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_shown_has_no_password() -> Result<(), BusError> {
        let hosts = Hosts::of("rabbit://u:secret@one,v:secret@two:7/east")?;
        let shown = "one:5672, two:7, virtual host east, user u";
        assert_eq!(hosts.to_string(), shown);
        assert_eq!(format!("{hosts:?}"), format!("Hosts({shown})"));
        Ok(())
    }

    #[tokio::test]
    async fn of_several_none_of_which_answers_each_is_named()
    -> Result<(), Box<dyn std::error::Error>> {
        let mut at = Vec::new();
        for _ in 0..2 {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            at.push(listener.local_addr()?.to_string());
        }
        let hosts = Hosts::of(&format!("amqp://u:secret@{},u:secret@{}/", at[0], at[1]))?;
        let failed = hosts.connect("test").await.err();
        let said = failed.ok_or("nobody listens")?.to_string();
        let named = at.iter().all(|host| said.contains(host));
        assert!(
            named && said.matches("refused").count() == 2 && !said.contains("secret"),
            "{said}"
        );
        Ok(())
    }
}
