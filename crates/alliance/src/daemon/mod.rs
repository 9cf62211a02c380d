//! The daemon: what runs for as long as the cloud does.

mod adding;
mod agreeing;
mod auditing;
#[cfg(test)]
pub(crate) mod bed;
mod billing;
mod board;
mod border;
mod budgets;
mod chronicle;
mod clock;
pub(crate) mod console;
mod contracts;
pub(crate) mod delegate;
mod directory;
mod explaining;
mod files;
mod following;
mod heard;
mod hearing;
mod home;
mod host;
mod housekeeping;
mod instances;
pub(crate) mod key_files;
mod key_rings;
mod listening;
pub(crate) mod logging;
mod metrics;
mod monitoring;
mod notices;
mod own_catalog;
mod pairing;
mod plain;
mod pokes;
mod provisioning;
mod publish;
mod retiring;
mod revalidation;
mod revocations;
mod sign_outs;
mod sync;
mod tenancy;
mod traces;
mod trust;
mod turns;
mod usage;
mod wishes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use alliance_cloud::keystone::Keystone;
use alliance_cloud::webhook::Webhook;
use alliance_core::descriptor::{DESCRIPTOR_LIFETIME, Descriptor};
use alliance_peer::identity::Identity;
use alliance_peer::server::{Limits, Noise};
use alliance_peer::statement;
use alliance_store::Store;
use anyhow::Context;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use self::auditing::Auditor;
use self::board::{Board, process_of};
use self::border::Border;
use self::chronicle::Chronicle;
pub(crate) use self::clock::now;
use self::console::Door;
use self::delegate::{AdminUids, Socket};
use self::directory::Directory;
use self::heard::Heard;
use self::home::{Home, Noticing, OwnTokenKeys, PeerSide};
use self::host::Host;
use self::metrics::Metrics;
use self::own_catalog::{OWN_CATALOG, OwnCatalog};
use self::pokes::Pokes;
use self::publish::Publisher;
pub(crate) use self::publish::SNAPSHOT;
use self::retiring::Doubts;
use self::sync::Pulls;
use self::traces::Traces;
use crate::config::Config;

/// How long running requests may take to finish after a signal to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// How long a collector of traces may keep a stop waiting.
const TELL: Duration = Duration::from_secs(1);

/// Everything that requests and background work share.
pub(crate) struct Daemon {
    config: Config,
    identity: Arc<Identity>,
    store: Store,
    board: Arc<Board>,
    directory: Arc<Directory>,
    keystone: Arc<Keystone>,
    catalog: Arc<OwnCatalog>,
    border: Arc<Border>,
    publisher: Publisher,
    host: Host,
    home: Home,
    token_keys: OwnTokenKeys,
    metrics: Arc<Metrics>,
    traces: Traces,
    auditor: Auditor,
    chronicle: Chronicle,
    /// Counts changes of invitations and acceptances, for those who wait for one.
    pairings: watch::Sender<u64>,
    pulls: Pulls,
    heard: Heard,
    strangers: Noise,
    tasks: TaskTracker,
    noticing: Noticing,
    doubts: Doubts,
    /// Who is told what has happened to our projects at partners.
    webhook: Option<Webhook>,
    /// That something has.
    news: Notify,
    /// Whether the daemon is about to end.
    stop: watch::Sender<bool>,
}

/// Runs until SIGTERM or SIGINT, then finishes what is under way.
///
/// # Errors
/// If it cannot start, with what to do about it.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    logging::start(&config.log);
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let group = config.delegate.group_id()?;
    let daemon = Daemon::open(config, group).await?;
    let settings = &daemon.config;

    let admins = AdminUids::new(own_uid(), settings.delegate.admin_uids.iter().copied());
    let socket = Socket::bind(&settings.delegate.socket, group)?;
    let pokes = Pokes::bind(&settings.delegate.socket, group)?;
    let peers = TcpListener::bind(settings.peer.listen)
        .await
        .with_context(|| {
            format!(
                "listening at {}; is it taken? see [peer] listen",
                settings.peer.listen
            )
        })?;
    let monitor = monitoring::bind(settings.metrics.listen).await?;
    let door = Door::open(&settings.console).await?;
    tracing::info!(
        cloud = settings.cloud.name,
        cloud_id = %daemon.identity.cloud_id(),
        socket = %settings.delegate.socket.display(),
        peer = %settings.peer.listen,
        metrics = %settings.metrics.listen,
        version = env!("CARGO_PKG_VERSION"),
        "ready"
    );

    let stopping = daemon.stop.subscribe();
    let delegate = delegate::serve(
        socket,
        delegate::router(Arc::clone(&daemon), admins),
        stopped(stopping.clone()),
    );
    let delegate = tokio::spawn(delegate);
    let (service, identity) = (
        Arc::new(PeerSide(Arc::clone(&daemon))),
        Arc::clone(&daemon.identity),
    );
    let limits = Limits::of_connections(settings.peer.connections);
    let balancers = settings.peer.balancers.clone();
    let until = stopped(stopping.clone());
    let peers = tokio::spawn(async move {
        alliance_peer::server::serve(peers, &identity, service, limits, balancers, until).await
    });
    let monitor = tokio::spawn(monitoring::serve(
        monitor,
        Arc::clone(&daemon),
        stopped(stopping.clone()),
    ));
    let console = tokio::spawn(console::serve(
        door,
        Arc::clone(&daemon),
        stopped(stopping.clone()),
    ));
    let mut background = tokio::spawn(Arc::clone(&daemon).keep_going(pokes));

    tokio::select! {
        signal = wait_for_signal() => signal?,
        // Without it nothing is told, pulled or expired: better no daemon, which is noticed.
        ended = &mut background => {
            ended.context("background work ended; please report this")?;
        }
    }
    tracing::info!("stopping: no new requests, running ones finish");
    daemon.stop.send_replace(true);
    let drained = timeout(DRAIN, async {
        tokio::join!(delegate, peers, monitor, console)
    })
    .await;
    if drained.is_err() {
        tracing::warn!(
            seconds = DRAIN.as_secs(),
            "requests were still running and are cut off"
        );
    }
    background.abort();
    daemon.tasks.close();
    if timeout(DRAIN, daemon.tasks.wait()).await.is_err() {
        tracing::warn!(
            "background work was still running and is cut off; it is taken up again at the next start"
        );
    }
    if timeout(TELL, daemon.traces.tell_the_rest()).await.is_err() {
        tracing::debug!("the collector takes no traces; the last ones are lost");
    }
    if let Err(error) = daemon.host.write_projects().await {
        tracing::warn!(%error, "which projects of partners were here last is not in the database");
    }
    if let Err(error) = daemon.host.write_notes().await {
        tracing::error!(%error, "not all tokens that were let in are noted on disk; they may stay in the services' caches");
    }
    daemon.auditor.finish().await;
    daemon.say_goodbye().await;
    daemon.store.close().await;
    tracing::info!("stopped");
    Ok(())
}

impl Daemon {
    async fn open(config: Config, group: Option<u32>) -> anyhow::Result<Arc<Self>> {
        let state_dir = &config.cloud.state_dir;
        let identity = Arc::new(Identity::load(state_dir)?);
        let webhook = notices::webhook::configured(&config.notify)?;
        let instance = config.cloud.instance_name();
        let process = process_of(&instance);
        let store = Store::open(config.database_url().expose_secret(), identity.cloud_id()).await?;
        let store = store.shared_by(&process);
        let board = Arc::new(Board::new(instance, process, &store));
        // What others have told lately is heeded after all else was read.
        let (began, position) = (
            Instant::now(),
            store.bulletins().beginning(instances::KEPT).await?,
        );
        let keystone = Arc::new(Keystone::new(keystone_settings(&config))?);
        let directory = Arc::new(Directory::open(store.clone(), Arc::clone(&identity)).await?);
        let metrics = Arc::new(Metrics::new());
        let traces = Traces::open(&config, Arc::clone(&metrics))?;
        let auditor = Auditor::start(&config, identity.cloud_id(), &store, &metrics.audit);
        let catalog = Arc::new(OwnCatalog::open(
            state_dir.join(OWN_CATALOG),
            config.showing(),
        ));
        let (refresh, hide) = (config.catalog.refresh, config.catalog.hide_unreachable);
        let border = Arc::new(Border::new(refresh, hide));
        let publisher = Publisher::new(
            Arc::clone(&directory),
            store.clone(),
            Arc::clone(&keystone),
            Arc::clone(&catalog),
            Arc::clone(&border),
            Arc::clone(&metrics),
            publish::Settings {
                cloud_id: identity.cloud_id().clone(),
                cloud_name: config.cloud.name.clone(),
                cloud_key: identity.signing_key().public().to_jwk(),
                guest_grace: config.tokens.guest_grace,
                path: state_dir.join(SNAPSHOT),
                group,
            },
        );
        let host = Host::new(
            Arc::clone(&directory),
            store.clone(),
            Arc::clone(&metrics),
            Arc::clone(&identity),
            Arc::clone(&board),
            &config.tokens,
        )
        .audited_by(auditor.clone());
        // Before anybody asks about them. Those that have not ended only changes at home are about.
        let untold = host.read_ended_sessions().await?;
        host.has_yet_to_read();
        if !untold.is_empty() {
            publisher.end_sessions(untold, true);
        }
        let home = Home::new(
            Arc::clone(&identity),
            Arc::clone(&directory),
            Arc::clone(&keystone),
            Arc::clone(&metrics),
            &config.tokens,
            config.keystone.for_partners,
        )
        .audited_by(auditor.clone());
        let token_keys = OwnTokenKeys::new(config.signing.clone(), store.clone());
        // Before anybody asks for our descriptor.
        if let Err(error) = token_keys.read(now()).await {
            tracing::error!(
                error = format!("{error:#}"),
                "the keys of [signing] were not read; partners ask about signed tokens"
            );
        }
        board.begin(began, position).await;
        Ok(Arc::new(Self {
            config,
            identity,
            store,
            board,
            directory,
            keystone,
            catalog,
            border,
            publisher,
            host,
            home,
            token_keys,
            metrics,
            traces,
            auditor,
            chronicle: Chronicle::default(),
            pairings: watch::Sender::default(),
            pulls: Pulls::default(),
            heard: Heard::default(),
            strangers: Noise::new(),
            tasks: TaskTracker::new(),
            noticing: Noticing::default(),
            doubts: Doubts::default(),
            webhook,
            news: Notify::new(),
            stop: watch::Sender::default(),
        }))
    }

    /// What is done once after a start. It waits for Keystone, which is told by what goes on meanwhile.
    async fn do_first(&self) {
        if let Err(error) = self.publisher.publish(true).await {
            tracing::error!(
                error = format!("{error:#}"),
                "the snapshot for Keystone was not written; foreign tokens are judged by the old one"
            );
        }
        if let Err(error) = self.sign_unsigned().await {
            tracing::error!(
                ?error,
                "agreements of an earlier version are not signed; partners see them as before"
            );
        }
    }

    /// Background work, for ever.
    async fn keep_going(self: Arc<Self>, pokes: Pokes) {
        let refresh = self.config.catalog.refresh;
        self.spawn(Arc::clone(&self).forget_what_had_ended());
        self.spawn_until_stopped(Arc::clone(&self).read_live_sessions());
        tokio::join!(
            self.do_first(),
            self.publisher.ring_when_needed(),
            Arc::clone(&self).follow_board(),
            Arc::clone(&self).tell_instances(),
            Arc::clone(&self).follow_lease(),
            Arc::clone(&self).follow_instances(),
            Arc::clone(&self).lead(),
            Arc::clone(&self).follow_own_catalog(refresh),
            Arc::clone(&self).follow_own_versions(refresh),
            Arc::clone(&self).follow_clock(),
            Arc::clone(&self).claim_caches(),
            Arc::clone(&self).follow_revocations(self.config.tokens.revocation_refresh),
            Arc::clone(&self).follow_wishes(),
            Arc::clone(&self).follow_guests(),
            self.host.write_late_notes(),
            self.traces.tell(),
            Arc::clone(&self).note_sign_outs(),
            Arc::clone(&self).heed_pokes(pokes),
        );
    }

    /// Where partners reach this daemon: an origin, no slash at its end.
    pub(crate) fn peer_url(&self) -> String {
        self.config
            .peer
            .url
            .as_str()
            .trim_end_matches('/')
            .to_owned()
    }

    /// Work that nobody waits for, but that a stop lets finish.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// Work that nobody waits for, and that the next daemon does anyway: a stop cuts it off.
    fn spawn_until_stopped(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = stopped(self.stop.subscribe());
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop => {}
                () = work => {}
            }
        });
    }

    /// Waits so long, but not beyond a stop.
    async fn pause(&self, long: Duration) {
        // An elapsed time is what is meant.
        let _ = timeout(long, stopped(self.stop.subscribe())).await;
    }

    /// This cloud's descriptor as of now, signed.
    ///
    /// # Errors
    /// Only if signing fails.
    pub(crate) fn descriptor(&self) -> anyhow::Result<String> {
        let at = now();
        let descriptor = Descriptor {
            v: 1,
            iss: self.identity.cloud_id().clone(),
            iat: at,
            exp: at + DESCRIPTOR_LIFETIME,
            name: self.config.cloud.name.clone(),
            peer_url: self.peer_url(),
            identity_key: self.identity.identity_key().public().to_jwk(),
            signing_keys: vec![self.identity.signing_key().public().to_jwk()],
            token_keys: self.token_keys.current().to_vec(),
            regions: self.catalog.current().regions.clone(),
            capabilities: ["introspect", "grants", contracts::CAPABILITY]
                .map(str::to_owned)
                .into(),
        };
        statement::sign(&descriptor, self.identity.identity_key()).context("signing the descriptor")
    }
}

async fn wait_for_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

pub(crate) fn keystone_settings(config: &Config) -> alliance_cloud::keystone::Settings {
    let keystone = &config.keystone;
    alliance_cloud::keystone::Settings {
        auth_url: keystone.auth_url.clone(),
        ca_file: None,
        username: keystone.username.clone(),
        password: keystone.password.clone().into(),
        user_domain_name: keystone.user_domain_name.clone(),
        project_name: keystone.project_name.clone(),
        project_domain_name: keystone.project_domain_name.clone(),
        reads: alliance_cloud::keystone::Reads::BySystem,
        region: keystone.region.clone(),
        interface: keystone.interface.clone(),
        timeout: keystone.timeout,
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::bed::{Bed, Failure};
    use super::*;

    #[tokio::test]
    async fn a_stop_waits_for_nothing_that_the_next_daemon_does() -> Result<(), Failure> {
        let daemon = Bed::new().await?.daemon;
        daemon.spawn_until_stopped(pending());
        let swept = Arc::clone(&daemon);
        daemon.spawn(async move { swept.pause(Duration::MAX).await });
        daemon.stop.send_replace(true);
        daemon.tasks.close();
        timeout(DRAIN, daemon.tasks.wait()).await?;
        Ok(())
    }
}
