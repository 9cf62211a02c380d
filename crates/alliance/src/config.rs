//! The daemon's one static configuration file, `alliance.toml`.
//!
//! Each option is declared once, with its documentation, its parser and its default as TOML text;
//! the reader, the list of known keys and the sample all come from that declaration.

mod error;
mod value;
#[macro_use]
mod section;
mod sample;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alliance_core::endpoint_url::{AddressRange, UrlRules, plain};
use alliance_core::label::clean;
use alliance_core::region_name::{RegionNames, RegionNaming};
use alliance_core::snapshot::Showing;
use alliance_trace::Share;
use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

pub(crate) use error::ConfigError;
pub(crate) use sample::Sample;
use section::{File, Section};

/// No configuration file is larger, in bytes.
const LARGEST: u64 = 16 << 20;

/// Everything `alliance serve` is told. Checked: what is here can be used.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// `[cloud]`
    pub cloud: Cloud,
    /// `[database]`
    pub database: Database,
    /// `[delegate]`
    pub delegate: Delegate,
    /// `[peer]`
    pub peer: Peer,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[keystone]`
    pub keystone: Keystone,
    /// `[tokens]`
    pub tokens: Tokens,
    /// `[signing]`
    pub signing: Signing,
    /// `[pairing]`
    pub pairing: Pairing,
    /// `[catalog]`
    pub catalog: Catalog,
    /// `[services]`
    pub services: Services,
    /// `[work]`
    pub work: Work,
    /// `[notify]`
    pub notify: Notify,
    /// `[trace]`
    pub trace: Trace,
    /// `[audit]`
    pub audit: Audit,
    /// `[console]`
    pub console: Console,
    /// `[log]`
    pub log: Log,
}

section! {
    /// Who this cloud is.
    struct Cloud as "cloud" {
        /// What this cloud calls itself towards partners: a suggestion for the alias that they
        /// give it. Letters, digits, '-', '_' and '.', at most 32.
        name: String = required(value::alias, r#""west""#),
        /// Folder of the cloud's keys, the snapshot that Keystone's plugin reads and, unless it is a
        /// MariaDB, the database. Losing the keys means pairing anew with every partner: `alliance
        /// backup` saves what must survive.
        state_dir: PathBuf = default(value::absolute_path, r#""/var/lib/alliance""#),
        /// What this instance of the daemon is called, where several have one MariaDB: each has a name of
        /// its own. Without it: the machine's name.
        instance: Option<String> = optional(value::alias, r#""controller-1""#),
    }
}

impl Cloud {
    /// What this instance is called, in at most 40 characters.
    pub(crate) fn instance_name(&self) -> String {
        let machine = || nix::unistd::gethostname().map(|name| clean(&name.to_string_lossy(), 40));
        let name = self.instance.clone();
        name.unwrap_or_else(|| machine().unwrap_or_default().replace('/', "_"))
    }
}

section! {
    /// Where partners, agreements, sessions, usage and orders are kept. The cloud's keys are files in
    /// state_dir.
    struct Database as "database" {
        /// "sqlite:///absolute/path.db", or "mysql://user:password@host/database" for MariaDB.
        /// Without it: the file alliance.db in state_dir.
        url: Option<SecretString> = optional(value::database_url, r#""mysql://alliance:secret@127.0.0.1/alliance""#),
    }
}

section! {
    /// The unix socket that Keystone's plugin and this command line use.
    struct Delegate as "delegate" {
        /// Where the socket is made, at most 107 bytes long. The same path stands in keystone.conf.
        socket: PathBuf = default(value::socket_path, r#""/run/alliance/delegate.sock""#),
        /// Group that may open the socket and read the snapshot: Keystone's. Without it: only the
        /// daemon's own user and root.
        group: Option<String> = optional(value::word, r#""keystone""#),
        /// User ids beside root and the daemon's own that may give orders (partners, agreements).
        admin_uids: Vec<u32> = default(value::uids, "[]"),
    }
}

section! {
    /// The side that faces partners, TLS 1.3 with pinned keys.
    struct Peer as "peer" {
        /// Address and port to listen on.
        listen: SocketAddr = default(value::listen, r#""0.0.0.0:5443""#),
        /// How partners reach this daemon from elsewhere: https, a host, no path. It stands in
        /// every invitation.
        url: Url = required(value::peer_url, r#""https://alliance.west.example:5443""#),
        /// Addresses of balancers that pass partners' connections on, or ranges of them, as
        /// "192.0.2.10". They say whose each is, in the PROXY protocol (HAProxy: send-proxy-v2), so
        /// that strangers are counted by their own addresses; a connection of theirs that does not is
        /// refused.
        balancers: Vec<AddressRange> = default(value::ranges, "[]"),
        /// Connections at once, of everybody. Above that, new ones wait; an eighth of them are
        /// strangers' at most.
        connections: usize = default(value::count, "2048"),
    }
}

section! {
    /// Plain HTTP for monitoring: /healthz, /readyz and /metrics. Holds no secrets.
    struct Metrics as "metrics" {
        /// Address and port to listen on.
        listen: SocketAddr = default(value::listen, r#""127.0.0.1:9464""#),
    }
}

section! {
    /// This cloud's own Keystone, and the user whom the daemon is there. That user needs the role
    /// 'service' on its project and the role 'reader' on the system; it must not be an admin.
    struct Keystone as "keystone" {
        /// Keystone's version 3 URL.
        auth_url: Url = required(value::auth_url, r#""http://127.0.0.1:5000/v3""#),
        /// The user's name.
        username: String = default(value::word, r#""alliance""#),
        /// The user's password. Rather name a file below.
        password: SecretString = default(value::secret, r#""""#),
        /// A file that holds nothing but the password; a line end after it is ignored.
        password_file: Option<PathBuf> = suggested(value::absolute_path, r#""/etc/alliance/keystone-password""#),
        /// The domain of the user.
        user_domain_name: String = default(value::word, r#""Default""#),
        /// The project on which the user has the role 'service'.
        project_name: String = default(value::word, r#""service""#),
        /// The domain of that project.
        project_domain_name: String = default(value::word, r#""Default""#),
        /// Which of Keystone's regions to offer to partners. Without it: all.
        region: Option<String> = optional(value::word, r#""RegionOne""#),
        /// Which endpoints of this cloud are told to partners: "public", "internal" or "admin".
        interface: String = default(value::interface, r#""public""#),
        /// How many questions of partners it is asked at once, by this daemon; one partner's are half of them
        /// at most. Others wait their turn.
        for_partners: usize = default(value::count, "64"),
        /// Seconds after which a request to Keystone is given up.
        timeout: Duration = default(value::seconds, "5.0"),
    }
}

section! {
    /// What is believed about partners' tokens, and for how long.
    struct Tokens as "tokens" {
        /// Seconds that a partner's word about a token may be reused. At most this long after a
        /// token ended at home it still works here; Keystone's and the services' own caches come
        /// on top.
        max_staleness: Duration = default(value::seconds, "60"),
        /// Seconds that a partner's revocation list may be old when its signed tokens (PKI, PKIZ, JWS)
        /// are validated without asking it. At most this long after such a token ended at home it
        /// still works here if home cannot be reached.
        max_revocation_age: Duration = default(value::seconds, "300"),
        /// Seconds between two readings of a partner's revocation list.
        revocation_refresh: Duration = default(value::seconds, "15"),
        /// Seconds for which what guests made here (where an agreement allows that) is borne by their
        /// home's last word while home cannot be reached; 0 refuses it at once.
        guest_grace: Duration = default(value::seconds_or_zero, "900"),
        /// How many partners' tokens may be in use here at once: each takes about half a kilobyte until it
        /// expires, in every instance, whether it is still used or not. A partner may have as many of
        /// them as are left for all others; a new token beyond that is answered 503.
        max_live: usize = default(value::count, "1000000"),
        /// How many partners' tokens are remembered at most, the least used going first. Each takes
        /// about 2 KB, most of it what its home signed.
        remembered: usize = default(value::count, "200000"),
        /// Names of roles that mean power over a cloud. Tokens that hold one are refused abroad
        /// unless an agreement names that role, and never see partner regions.
        admin_roles: Vec<String> = default(value::words, r#"["admin"]"#),
        /// Revoke a token of this cloud that a partner reports as too powerful to be shown to a
        /// stranger. It has been seen: leave this on.
        revoke_too_powerful: bool = default(value::truth, "true"),
        /// Seconds that "no such token" is remembered; 0 asks every time.
        negative_ttl: Duration = default(value::seconds_or_zero, "5"),
        /// How many invalid tokens are looked into for each partner: 'rate' a second, 'burst' at
        /// once. Protects both clouds from random strings.
        invalid_budget: InvalidBudget = default(value::invalid_budget, "{ rate = 20.0, burst = 50 }"),
    }
}

/// See [`Tokens::invalid_budget`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct InvalidBudget {
    /// Invalid answers a second, over a long time.
    pub rate: f64,
    /// Invalid answers at once.
    pub burst: u32,
}

section! {
    /// The keys with which this cloud's own Keystone signs tokens, if it does (provider jws). Partners
    /// are told the public halves, so that they can validate such tokens without asking.
    struct Signing as "signing" {
        /// Keystone's folder of public keys ([jwt_tokens] jws_public_key_repository).
        jws_public_keys: Option<PathBuf> = optional(value::absolute_path, r#""/etc/keystone/jws-keys/public""#),
        /// The certificate that signs PKI tokens, or a folder of such certificates.
        pki_certificates: Option<PathBuf> = optional(value::absolute_path, r#""/etc/keystone/ssl/certs/signing_cert.pem""#),
        /// Seconds for which tokens that a key signed still count at partners after it has left the
        /// folder.
        key_overlap: Duration = default(value::seconds_or_zero, "300"),
    }
}

section! {
    /// How clouds become partners.
    struct Pairing as "pairing" {
        /// Seconds that an invitation is valid.
        invitation_ttl: Duration = default(value::seconds, "900"),
    }
}

section! {
    /// What partners' regions look like to this cloud's users, and what partners see of this cloud.
    struct Catalog as "catalog" {
        /// Seconds between two looks at Keystone's catalog.
        refresh: Duration = default(value::seconds, "30"),
        /// Accept plain http, and addresses of this machine, as partners' endpoints. For a lab:
        /// tokens cross the network readable.
        allow_http: bool = default(value::truth, "false"),
        /// Service types that partners are told of; "*" is all of them.
        offer: Vec<String> = default(value::words, r#"["*"]"#),
        /// Interfaces whose endpoints partners are told of, beside "public": "internal" and "admin"
        /// only if they can be reached from outside.
        interfaces: Vec<String> = default(value::interfaces, r#"["public"]"#),
        /// What partners' regions are called here: "partner", after the partner's name here ("east"
        /// where the partner calls its region so too, else "east:RegionOne"), or "partner:region",
        /// always both.
        region_names: RegionNaming = default(value::region_naming, r#""partner""#),
        /// Ranges of addresses that lead to something of this cloud's own, as "10.0.0.0/8": endpoints
        /// of partners in them are shown to nobody.
        refuse_ranges: Vec<AddressRange> = default(value::ranges, "[]"),
        /// Hosts of partners' endpoints, as their URLs spell them, that are shown wherever they are.
        allow_hosts: Vec<String> = default(value::words, "[]"),
        /// Seconds, at least 60, after which the regions of a partner that does not answer are left
        /// out of new tokens' catalogs, until it answers again; false: never. A catalog that comes
        /// and goes is worse for most than a region that does not answer.
        hide_unreachable: Option<Duration> = default(value::hiding, "false"),
    }
}

section! {
    /// The services of this cloud that check tokens.
    struct Services as "services" {
        /// The memcached servers in which their keystonemiddleware keeps tokens, as "host:port".
        /// Tokens of a suspended or removed partner are dropped there; without it they may work
        /// there until those caches end (300 seconds by default).
        memcached: Vec<String> = default(value::hosts, "[]"),
    }
}

section! {
    /// The second process, `alliance work`: it meters what partners' projects use here, makes what they
    /// order and clears away what is retired. It listens nowhere. Its secrets are in files that the
    /// daemon's user need not be able to read.
    struct Work as "work" {
        /// A file that holds nothing but the URL of the services' message bus:
        /// amqp://user:password@host:port/vhost, or their transport_url, with several hosts too. Without
        /// it: what is used is seen only when the services are listed.
        amqp_url_file: Option<PathBuf> = optional(value::absolute_path, r#""/etc/alliance/work/amqp-url""#),
        /// The queue that is made there and kept for as long as nobody deletes it.
        queue: String = default(value::word, r#""alliance-usage""#),
        /// Whether it is a quorum queue, of which each host of a RabbitMQ cluster has a copy. One that was
        /// made in the other way is not read: delete it first.
        quorum_queue: bool = default(value::truth, "false"),
        /// The exchanges to which the services send notifications ([DEFAULT] control_exchange there).
        exchanges: Vec<String> = default(value::words, r#"["nova", "cinder", "glance", "neutron"]"#),
        /// The routing keys of these notifications: a topic and a priority.
        keys: Vec<String> = default(value::words, r#"["notifications.info", "notifications.error"]"#),
        /// The id of the application credential with which the services of this cloud are listed,
        /// all projects included: with role 'admin', unless their policies say otherwise.
        credential_id: Option<String> = optional(value::word, r#""0123456789abcdef0123456789abcdef""#),
        /// A file that holds nothing but its secret.
        credential_secret_file: Option<PathBuf> = optional(value::absolute_path, r#""/etc/alliance/work/credential-secret""#),
        /// A file that holds nothing but the password of the user that made the credential. With it,
        /// what partners order for their projects is made here: the user gives itself role 'member' in
        /// the project for as long as that takes. Without it: nothing is made, and orders wait.
        password_file: Option<PathBuf> = optional(value::absolute_path, r#""/etc/alliance/work/password""#),
        /// The region whose services are listed.
        region: String = default(value::word, r#""RegionOne""#),
        /// Which of their endpoints are used: "public", "internal" or "admin".
        interface: String = default(value::interface, r#""internal""#),
        /// Seconds between two listings. What ended unannounced is counted until the next one.
        poll: Duration = default(value::seconds, "60"),
    }
}

section! {
    /// Who is told what has happened at partners to what this cloud's projects have there: servers
    /// that came, failed or went, quotas that are nearly used, agreements that are about to end.
    struct Notify as "notify" {
        /// Where each notice is sent as a CloudEvent, signed as the Standard Webhooks specification
        /// says: https, or http on this machine.
        webhook_url: Option<Url> = optional(value::webhook_url, r#""https://chat.west.example/hooks/alliance""#),
        /// A file that holds nothing but the secret that the receiver shares: whsec_ and 24 to 64
        /// bytes in base64.
        webhook_secret_file: Option<PathBuf> = optional(value::absolute_path, r#""/etc/alliance/webhook-secret""#),
        /// The exchange of the message bus ([work] amqp_url_file) on which `alliance work` says each
        /// notice, and what our projects use at partners, as the services say theirs. Who listens
        /// makes it. Without it: nothing is said.
        exchange: Option<String> = optional(value::word, r#""alliance""#),
        /// What their routing keys begin with; ".info", ".warn" or ".error" follows.
        topic: String = default(value::word, r#""notifications""#),
    }
}

section! {
    /// Traces of requests, through this cloud and its partners: what was asked of whom, and how long it
    /// took. They hold routes, partners' names here, reason codes and requests' ids.
    struct Trace as "trace" {
        /// Where a collector takes them: OTLP over HTTP, as JSON. Without it: nothing is traced.
        otlp_url: Option<Url> = optional(value::otlp_url, r#""http://127.0.0.1:4318/v1/traces""#),
        /// Which share of requests is traced though nobody asks for it, from 0 to 1. Whoever sends a
        /// traceparent with the flag "sampled" asks for it, and is heeded up to 10 times a second.
        sample: Share = default(value::share, "0.01"),
    }
}

section! {
    /// Events in the form of CADF, as Keystone's own: who was let in or not and why, what was issued,
    /// what became of partners, agreements, sessions, orders and retirements.
    struct Audit as "audit" {
        /// A file to which each event is appended, one JSON object a line. It is made anew when it has
        /// been moved away. Without it: none.
        file: Option<PathBuf> = optional(value::absolute_path, r#""/var/log/alliance/audit.log""#),
        /// Say each event on the message bus too: `alliance work` does, at [notify] exchange.
        bus: bool = default(value::truth, "false"),
        /// Write the names of users beside their ids, where they are known.
        names: bool = default(value::truth, "false"),
    }
}

section! {
    /// Pages for operators, in a browser: what there is, and suspending, resuming, ending a session.
    struct Console as "console" {
        /// Address and port to listen on. Without it: no console. Beyond this machine only with a
        /// certificate; without one it is for a proxy on this machine that speaks https to browsers,
        /// since they keep its cookie over https only.
        listen: Option<SocketAddr> = optional(value::listen, r#""127.0.0.1:8453""#),
        /// The certificate that browsers see, with its chain, as PEM. Read when the daemon starts.
        certificate: Option<PathBuf> = optional(value::absolute_path, r#""/etc/alliance/console.pem""#),
        /// Its private key, as PEM.
        key: Option<PathBuf> = optional(value::absolute_path, r#""/etc/alliance/console.key""#),
        /// The role that somebody must hold to be let in, on the system or on the project below. Whoever
        /// is let in may do all that the console can do.
        role: String = default(value::word, r#""admin""#),
        /// The project on which the role counts.
        project_name: String = default(value::word, r#""admin""#),
        /// The domain of that project.
        project_domain_name: String = default(value::word, r#""Default""#),
    }
}

section! {
    /// What is logged, on standard error.
    struct Log as "log" {
        /// "human", "json", or "auto": human on a terminal, json otherwise.
        format: LogFormat = default(value::log_format, r#""auto""#),
        /// "error", "warn", "info", "debug" or "trace".
        level: String = default(value::log_level, r#""info""#),
    }
}

/// See [`Log::format`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Delegate {
    /// The group's id on this machine.
    ///
    /// # Errors
    /// If there is no such group here, or it cannot be looked up.
    pub(crate) fn group_id(&self) -> anyhow::Result<Option<u32>> {
        let Some(name) = &self.group else {
            return Ok(None);
        };
        let group = nix::unistd::Group::from_name(name)
            .with_context(|| format!("looking up [delegate] group {name:?}"))?
            .with_context(|| format!("[delegate] group: there is no group {name:?} here"))?;
        Ok(Some(group.gid.as_raw()))
    }
}

impl Console {
    /// What does not fit together: the option, and why.
    fn fault(&self) -> Option<(&'static str, &'static str)> {
        match (self.listen, &self.certificate, &self.key) {
            (_, Some(_), None) => Some(("key", "is missing beside certificate")),
            (_, None, Some(_)) => Some(("certificate", "is missing beside key")),
            (Some(listen), None, None) if !listen.ip().is_loopback() => Some((
                "listen",
                "is an address beyond this machine: passwords cross the network readable; name a certificate and its key, or listen at 127.0.0.1",
            )),
            _ => None,
        }
    }
}

impl Config {
    /// Reads and checks the file, and the password's file if it names one.
    ///
    /// # Errors
    /// Everything that is wrong with it at once, with line numbers.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config = Self::read(path)?;
        if let Some(file) = &config.keystone.password_file {
            config.keystone.password = read_password(file)?;
        }
        Ok(config)
    }

    /// As [`Config::load`], without the password's file: enough for commands that do not log in.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = read_text(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Reads and checks `text`, which came from `path`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut file = File::parse(text, path)?;
        let passwords = ["password", "password_file"].map(|key| file.is_set(Keystone::NAME, key));
        let (cloud, database, delegate) = (file.section(), file.section(), file.section());
        let (peer, metrics, keystone) = (file.section(), file.section(), file.section());
        let (tokens, signing, pairing) = (file.section(), file.section(), file.section());
        let (catalog, services) = (file.section(), file.section());
        let (work, notify, audit) = (file.section(), file.section(), file.section());
        let (trace, log) = (file.section(), file.section());
        let console: Option<Console> = file.section();
        file.refuse_other_sections();
        match passwords {
            [true, true] => file.refuse(
                Keystone::NAME,
                "password",
                "stands beside password_file: keep one of the two",
            ),
            [false, false] => file.missing("keystone.password_file (or keystone.password)"),
            _ => {}
        }
        if let Some((key, why)) = console.as_ref().and_then(Console::fault) {
            file.refuse(Console::NAME, key, why);
        }
        let config = (|| {
            Some(Self {
                cloud: cloud?,
                database: database?,
                delegate: delegate?,
                peer: peer?,
                metrics: metrics?,
                keystone: keystone?,
                tokens: tokens?,
                signing: signing?,
                pairing: pairing?,
                catalog: catalog?,
                services: services?,
                work: work?,
                notify: notify?,
                trace: trace?,
                audit: audit?,
                console: console?,
                log: log?,
            })
        })();
        file.finish(config)
    }

    /// Where the database is; holds a password for MariaDB.
    pub(crate) fn database_url(&self) -> SecretString {
        self.database.url.clone().unwrap_or_else(|| {
            let file = self.cloud.state_dir.join("alliance.db");
            SecretString::from(format!("sqlite://{}", file.display()))
        })
    }

    /// The file that the database is, if it is one.
    pub(crate) fn database_file(&self) -> Option<PathBuf> {
        let url = self.database_url();
        let file = url.expose_secret().strip_prefix("sqlite:")?;
        let file = file.trim_start_matches("//").split('?').next()?;
        Some(PathBuf::from(file))
    }

    /// Where a daemon or its database writes on this machine.
    pub(crate) fn written_folders(&self) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::from([self.cloud.state_dir.clone()]);
        let database = self.database_file();
        let files = database.as_deref().into_iter();
        let files = files.chain(self.audit.file.as_deref());
        folders.extend(files.filter_map(|file| file.parent()).map(Path::to_owned));
        folders
    }

    /// How partners' regions are shown, as far as this file decides that.
    pub(crate) fn showing(&self) -> Showing {
        let catalog = &self.catalog;
        let keystone = self.keystone.auth_url.host_str().map(plain);
        Showing {
            urls: UrlRules {
                lab: catalog.allow_http,
                refuse: catalog.refuse_ranges.clone(),
                own: keystone.into_iter().collect(),
                allow: catalog.allow_hosts.iter().map(|host| plain(host)).collect(),
            },
            names: RegionNames {
                naming: catalog.region_names,
                ..RegionNames::default()
            },
        }
    }

    /// Those of the warnings that are what makes a lab: its clouds are on one machine.
    pub(crate) fn remarks(&self) -> Vec<String> {
        match self.catalog.allow_http {
            true => [Some(ALLOWS_HTTP.to_owned()), self.out_of_reach()]
                .into_iter()
                .flatten()
                .collect(),
            false => Vec::new(),
        }
    }

    fn out_of_reach(&self) -> Option<String> {
        let reach = UrlRules::default().require_fit(self.peer.url.as_str());
        let reason = reach.err()?;
        Some(format!(
            "[peer] url {} {reason}: no other machine can pair with this cloud",
            self.peer.url
        ))
    }

    /// What is allowed, yet an operator should know.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        warnings.extend(self.out_of_reach());
        if self.catalog.allow_http {
            warnings.push(ALLOWS_HTTP.to_owned());
        }
        if !self.tokens.revoke_too_powerful {
            warnings.push(
                "[tokens] revoke_too_powerful is off: an admin token shown to a partner by mistake keeps working"
                    .to_owned(),
            );
        }
        if self.services.memcached.is_empty() {
            warnings.push(
                "[services] memcached is empty: services may honour tokens that have ended, or of a suspended partner, until their own caches end ([keystone_authtoken] token_cache_time, 300 s unless set)"
                    .to_owned(),
            );
        }
        if self.audit.bus && self.notify.exchange.is_none() {
            warnings.push(
                "[audit] bus is on, but [notify] exchange is not set: no audit event is said on the message bus"
                    .to_owned(),
            );
        }
        warnings
    }
}

const ALLOWS_HTTP: &str =
    "[catalog] allow_http is on: tokens can cross the network readable; for labs only";

/// All sections, in the order of the sample.
fn sections() -> [section::Outline; 17] {
    [
        section::Outline::of::<Cloud>(),
        section::Outline::of::<Database>(),
        section::Outline::of::<Delegate>(),
        section::Outline::of::<Peer>(),
        section::Outline::of::<Metrics>(),
        section::Outline::of::<Keystone>(),
        section::Outline::of::<Tokens>(),
        section::Outline::of::<Signing>(),
        section::Outline::of::<Pairing>(),
        section::Outline::of::<Catalog>(),
        section::Outline::of::<Services>(),
        section::Outline::of::<Work>(),
        section::Outline::of::<Notify>(),
        section::Outline::of::<Trace>(),
        section::Outline::of::<Audit>(),
        section::Outline::of::<Console>(),
        section::Outline::of::<Log>(),
    ]
}

/// What a configuration file holds: of nothing that never ends, or that has to be waited for.
///
/// # Errors
/// If it cannot be read, is no regular file, is larger than 16 MiB, or no UTF-8.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        let found = "it is no regular file; name the file itself, no pipe, device or folder";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, found));
    }
    let mut content = Vec::new();
    let file = fs::File::open(path)?;
    let size = file.take(LARGEST + 1).read_to_end(&mut content)?;
    if size as u64 > LARGEST {
        let found = "it has more than 16 MiB; is it the right file?";
        return Err(io::Error::new(io::ErrorKind::InvalidData, found));
    }
    String::from_utf8(content).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn read_password(path: &Path) -> Result<SecretString, ConfigError> {
    read_secret(path).map_err(|source| ConfigError::PasswordFile {
        path: path.to_owned(),
        source,
    })
}

/// What a file holds that holds nothing but a secret.
///
/// # Errors
/// If it cannot be read, or is empty.
pub(crate) fn read_secret(path: &Path) -> io::Result<SecretString> {
    let text = read_text(path)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty"));
    }
    Ok(SecretString::from(secret.to_owned()))
}
