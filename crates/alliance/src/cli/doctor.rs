//! `alliance doctor`

mod certificates;
mod conf;
mod ending;
mod keystone_conf;
mod lines;
mod lost_database;
mod memcached;
mod news;
mod owners;
mod place;
mod queue;
mod reach;
mod service_conf;
mod signing;
mod snapshot;
mod socket_owner;
mod staleness;
#[cfg(test)]
pub(super) mod tests;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use alliance_cloud::keystone::Keystone;
use alliance_core::Seconds;
use alliance_core::label::clean;
use alliance_core::partner::Status;
use alliance_core::retirement::Phase;
use alliance_peer::identity::Identity;
use alliance_peer::request_id::RequestId;
use clap::Args;
use serde::Serialize;

use self::conf::Conf;
use self::keystone_conf::KeystoneConf;
use super::output::Format;
use super::socket::Daemon;
use super::{DEFAULT_SOCKET, Failure, Output, agreement, configuration, init, partner, when};
use crate::config::Config;
use crate::daemon::delegate::status::{CLOCK_OF_KEYSTONE, keystones_clock, too_many_roles};
use crate::daemon::keystone_settings;
use crate::disk;
use crate::wire::{AgreementView, Health, PartnerView, RetirementView, Standing, StatusView};

/// How long home's word, or `alliance work`, may be waited for before that is mentioned, in seconds.
const SILENCE: Seconds = 3600;

/// What is said of Keystone's clock is called so.
const CLOCK: &str = "clock";

/// Check everything that pairing and foreign tokens need, and say what to do
///
/// The daemon, Keystone, its plugin, every partner. Exit code 1 if something does not work, 4 if
/// the daemon does not answer; with `--strict`, 1 also if something is worth a warning.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Check this configuration file and its keys as well
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check Keystone's configuration too, as far as the plugin needs it; may be repeated, the last
    /// one counts most
    #[arg(long, value_name = "FILE", requires = "config")]
    keystone_conf: Vec<PathBuf>,
    /// Check how a service that validates tokens keeps them; may be repeated, once for each service
    #[arg(long, value_name = "FILE", requires = "config")]
    service_conf: Vec<PathBuf>,
    /// Check the files alone, since the daemon has not been started yet: it is not asked, nor missed
    #[arg(long, requires = "config")]
    before_start: bool,
    /// Fail for warnings too
    #[arg(long)]
    strict: bool,
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    /// As it was chosen; what that costs.
    Note,
    Warn,
    Fail,
}

#[derive(Serialize)]
struct Finding {
    state: State,
    what: String,
    detail: String,
}

/// What is wrong: how bad that is; what it is, why it matters and what mends it.
type Fault = (State, String);

#[derive(Default)]
struct Findings {
    all: Vec<Finding>,
    /// Whose signatures make a token of this cloud: the hex SHA-256 of each key, by the files they are in.
    own_keys: BTreeMap<PathBuf, BTreeSet<String>>,
    /// This cloud's, if the configuration names its folder.
    identity: Option<Identity>,
}

fn of_warning(warning: &String, remarks: &[String], faults: &[String]) -> State {
    if remarks.contains(warning) {
        State::Note
    } else if faults.contains(warning) {
        State::Fail
    } else {
        State::Warn
    }
}

/// Whether this is where a daemon listens to which nothing else was said, and nothing is there.
fn is_not_there(socket: &Path) -> bool {
    socket == Path::new(DEFAULT_SOCKET) && !socket.exists()
}

/// An error, and what has led to it.
fn with_causes(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}

impl Doctor {
    pub(super) async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        let mut findings = Findings::default();
        let mut configured = None;
        if let Some(path) = &self.config {
            let config = findings.configuration(path, &self.keystone_conf, &self.service_conf);
            configured = config.await;
        }
        let socket = configured.as_ref().map(|config| &config.delegate.socket);
        let elsewhere = socket.filter(|_| daemon.socket() == Path::new(DEFAULT_SOCKET));
        let elsewhere = elsewhere.cloned().map(Daemon::new);
        let asked = elsewhere.as_ref().unwrap_or(daemon);
        let is_unknown = self.config.is_some() && configured.is_none();
        let unreachable = if self.before_start {
            None
        } else if is_unknown && is_not_there(asked.socket()) {
            let detail = "it was not asked, for its socket stands in that file; name it by --socket, or mend the file first";
            findings.note(State::Note, "daemon", detail);
            None
        } else {
            findings.while_it_runs(asked, configured.as_ref()).await
        };
        if let Some(config) = &configured {
            findings.service_caches(config).await;
        }
        if let (Some(config), Some(identity)) = (&configured, &findings.identity) {
            let runs = !self.before_start && unreachable.is_none();
            let found = reach::own_url(config, identity, runs).await;
            if let Some((state, detail)) = found {
                findings.note(state, "peer URL", detail);
            }
        }
        match out.format {
            Format::Json => out.json(&findings.all)?,
            Format::Table => {
                for Finding {
                    state,
                    what,
                    detail,
                } in &findings.all
                {
                    let word = match state {
                        State::Ok => "OK  ",
                        State::Note => "NOTE",
                        State::Warn => "WARN",
                        State::Fail => "FAIL",
                    };
                    out.line(format_args!("{word}  {what}: {detail}"));
                }
            }
        }
        let failed = findings
            .all
            .iter()
            .filter(|f| f.state == State::Fail || self.strict && f.state == State::Warn)
            .count();
        match unreachable {
            Some(failure) => Err(failure),
            None if failed > 0 => Err(Failure::refused(format_args!(
                "{failed} of {} checks failed",
                findings.all.len()
            ))),
            None => Ok(()),
        }
    }
}

impl Findings {
    /// What the file and the daemon say alike is said once.
    fn note(&mut self, state: State, what: &str, detail: impl ToString) {
        let detail = detail.to_string();
        let is_known = |found: &Finding| found.state == state && found.detail == detail;
        if !detail.is_empty() && self.all.iter().any(is_known) {
            return;
        }
        self.all.push(Finding {
            state,
            what: what.to_owned(),
            detail,
        });
    }

    /// The failure to end with, if the daemon cannot be asked.
    async fn while_it_runs(&mut self, daemon: &Daemon, config: Option<&Config>) -> Option<Failure> {
        // First, for of what was just written the daemon knows then whether it was heard.
        let heard = snapshot::unheard(daemon).await;
        let unreachable = self.daemon(daemon).await;
        if unreachable.is_some() {
            return unreachable;
        }
        let config = config.filter(|config| config.delegate.socket == daemon.socket());
        let of_file = config.map(snapshot::faults).unwrap_or_default();
        for (state, detail) in of_file.into_iter().chain(heard) {
            self.note(state, "Keystone's plugin", detail);
        }
        None
    }

    async fn configuration(
        &mut self,
        path: &Path,
        keystone_conf: &[PathBuf],
        service_conf: &[PathBuf],
    ) -> Option<Config> {
        let config = match Config::load(path) {
            Ok(config) => config,
            Err(error) => {
                self.note(State::Fail, "configuration", with_causes(error));
                // Where the daemon is may stand there nevertheless.
                let config = Config::read(path).ok()?;
                self.identity = Identity::load(&config.cloud.state_dir).ok();
                return Some(config);
            }
        };
        self.note(State::Ok, "configuration", path.display());
        let remarks = config.remarks();
        for warning in configuration::warnings(&config, path) {
            let state = of_warning(&warning, &remarks, &[]);
            self.note(state, "configuration", warning);
        }
        if let Some(warning) = init::snapshot_warning(&config) {
            self.note(State::Fail, "state_dir", warning);
        }
        if let Some((state, detail)) = owners::fault(&config.cloud.state_dir) {
            self.note(state, "state_dir", detail);
        }
        if let Some((state, detail)) = owners::everybodys(path) {
            self.note(state, "configuration", detail);
        }
        let mut secrets = configuration::secrets(&config, path);
        if config.console.listen.is_none() {
            secrets.retain(|(_, file)| config.console.key.as_deref() != Some(*file));
        }
        for (state, detail) in owners::unreadable(&config.cloud.state_dir, &secrets) {
            self.note(state, "secrets", detail);
        }
        for warning in disk::warnings(&config) {
            self.note(State::Warn, "disk", warning);
        }
        match Identity::load(&config.cloud.state_dir) {
            Ok(identity) => {
                self.note(State::Ok, "keys", identity.cloud_id());
                let (state, detail) = place::database(&config, identity.cloud_id()).await;
                self.note(state, "database", detail);
                if let Some((state, detail)) = place::open_database(&config) {
                    self.note(state, "database", detail);
                }
                self.identity = Some(identity);
            }
            Err(error) => {
                let error = init::lost(&config, error);
                self.note(State::Fail, "keys", with_causes(error));
            }
        }
        let own = self.identity.as_ref().map(|own| own.cloud_id().clone());
        self.keystone_user(&config).await;
        for (state, detail) in certificates::faults(&config, when::now()) {
            self.note(state, "certificates", detail);
        }
        let stranger = socket_owner::stranger(&config.delegate).await;
        for (state, detail) in place::socket(&config).into_iter().chain(stranger) {
            self.note(state, "socket", detail);
        }
        if let Some(found) = queue::faults(&config).await {
            self.faults("message bus", "the services are heard", found);
        }
        if !keystone_conf.is_empty() {
            let found = match Conf::read(keystone_conf) {
                Ok(conf) => {
                    let away = reach::caches(&conf, own.as_ref()).await;
                    let conf = KeystoneConf(conf);
                    self.own_keys = conf.own_keys();
                    Ok([conf.faults(&config), away].concat())
                }
                Err(error) => Err(error),
            };
            self.faults("keystone.conf", "as the plugin needs it", found);
        }
        for file in service_conf {
            let found = Conf::read(std::slice::from_ref(file));
            let found = match found {
                Ok(conf) => {
                    let servers = service_conf::servers(&conf).unwrap_or_default();
                    let others = memcached::other_clouds(&servers, own.as_ref()).await;
                    Ok(service_conf::faults(&conf, &config, &others))
                }
                Err(error) => Err(error),
            };
            let what = file.display().to_string();
            self.faults(&what, "its tokens can be taken back", found);
        }
        Some(config)
    }

    /// Whether the daemon can take services' tokens back where the file says that they are. Of what a daemon
    /// that runs has said that already nothing more is said.
    async fn service_caches(&mut self, config: &Config) {
        let is_said = |server: &String| {
            let (inside, first) = (format!(" at {server} "), format!("{server} "));
            let of_daemon = self.all.iter().filter(|found| found.what == "daemon");
            let mut said = of_daemon.map(|found| found.detail.as_str());
            said.any(|detail| detail.contains(&inside) || detail.starts_with(&first))
        };
        let servers = config.services.memcached.iter();
        let servers: Vec<_> = servers.filter(|server| !is_said(server)).collect();
        let own = self.identity.as_ref().map(Identity::cloud_id);
        for (state, detail) in reach::service_caches(&servers, own).await {
            self.note(state, "memcached", detail);
        }
    }

    /// Whether the user that the file names may do what a daemon has to, and no more.
    async fn keystone_user(&mut self, config: &Config) {
        let what = "Keystone's user";
        let keystone = match Keystone::new(keystone_settings(config)) {
            Ok(keystone) => keystone,
            Err(error) => return self.note(State::Fail, what, with_causes(error)),
        };
        let roles = keystone.own_roles(&RequestId::random().to_string()).await;
        match roles {
            Err(error) => self.note(State::Fail, what, with_causes(error)),
            Ok(roles) => match too_many_roles(config, &roles) {
                Some(warning) => self.note(State::Warn, what, warning),
                None => self.note(
                    State::Ok,
                    what,
                    format_args!(
                        "{} may validate tokens and read, and no more",
                        config.keystone.username
                    ),
                ),
            },
        }
        if let Some((is_wrong, detail)) = keystones_clock(config, &keystone) {
            let state = if is_wrong { State::Fail } else { State::Warn };
            self.note(state, CLOCK, detail);
        }
    }

    fn faults(&mut self, what: &str, fine: &str, found: Result<Vec<Fault>, String>) {
        let found = match found {
            Ok(found) => found,
            Err(error) => return self.note(State::Fail, what, error),
        };
        if found.is_empty() {
            self.note(State::Ok, what, fine);
        }
        for (state, detail) in found {
            self.note(state, what, detail);
        }
    }

    /// The failure to end with, if the daemon cannot be asked.
    async fn daemon(&mut self, daemon: &Daemon) -> Option<Failure> {
        // First, for what the daemon says of itself speaks of partners too.
        news::fetch(daemon).await;
        let status: StatusView = match daemon.get(&["status"]).send().await {
            Ok(status) => status,
            Err(error) => {
                self.note(State::Fail, "daemon", &error);
                return Some(error.into());
            }
        };
        // A daemon of an earlier version knows of none.
        let retirements = daemon.get(&["retirements"]).send().await;
        let retirements: Vec<RetirementView> = retirements.unwrap_or_default();
        self.note(
            State::Ok,
            "daemon",
            format_args!(
                "version {} on {}",
                status.version,
                daemon.socket().display()
            ),
        );
        if status.version != env!("CARGO_PKG_VERSION") {
            let ours = env!("CARGO_PKG_VERSION");
            let detail =
                format!("this command is of version {ours}; restart the daemon after an upgrade");
            self.note(State::Warn, "version", detail);
        }
        self.health("Keystone", &status.keystone);
        self.health("Keystone's plugin", &status.doorbell);
        if let Some(database) = &status.database {
            self.health("the daemon's database", database);
        }
        // What was measured twice differs by what the way took.
        let is_measured = self.all.iter().any(|found| found.what == CLOCK);
        let is_known = |warning: &&String| is_measured && warning.starts_with(CLOCK_OF_KEYSTONE);
        for warning in status.warnings.iter().filter(|warning| !is_known(warning)) {
            let state = of_warning(warning, &status.remarks, &status.faults);
            self.note(state, "daemon", warning);
        }
        match daemon.get(&["partners"]).send().await {
            Ok(partners) => {
                let partners: Vec<PartnerView> = partners;
                for view in partners {
                    self.partner(daemon, view, status.keystone.ok).await;
                }
            }
            Err(error) => self.note(State::Fail, "partners", error),
        }
        match daemon.get(&["agreements"]).send().await {
            Ok(agreements) => {
                let agreements: Vec<AgreementView> = agreements;
                for view in &agreements {
                    self.agreement(view);
                }
            }
            Err(error) => self.note(State::Fail, "agreements", error),
        }
        for view in retirements.iter().filter(|view| view.here) {
            self.retirement(view);
        }
        None
    }

    fn health(&mut self, what: &str, health: &Health) {
        let state = if health.ok { State::Ok } else { State::Fail };
        self.note(state, what, &health.detail);
    }

    /// What waits for somebody, is not believed, or ends soon.
    fn agreement(&mut self, view: &AgreementView) {
        if matches!(view.state.as_str(), "ended" | "expired") {
            return;
        }
        let what = format!("agreement with {}", view.partner_name);
        let id = clean(&view.agreement.id, 64);
        if let Some(contract) = &view.contract {
            let open = match contract.standing {
                Standing::Proposed => true,
                Standing::Rejected => !view.received,
                _ => false,
            };
            if open {
                let (newest, waits) = (contract.newest, agreement::waits(view, contract));
                self.note(
                    State::Warn,
                    &what,
                    format_args!("version {newest} of {id}: {waits}"),
                );
            }
            if let Some(fault) = &contract.fault {
                self.note(
                    State::Warn,
                    &what,
                    format_args!("{id}: {}", clean(fault, 400)),
                );
            }
        }
        if let Some(ending) = ending::of(view, when::now()) {
            self.note(State::Warn, &what, ending);
        }
    }

    /// What does not come to its end by itself.
    fn retirement(&mut self, view: &RetirementView) {
        let what = format!("retirement {}", view.id);
        let project = format!(
            "project {} of {}",
            clean(&view.project_id, 64),
            view.partner
        );
        if view.ended_at.is_none() && view.remainder > 0 {
            let detail = format!(
                "of {project} some is left that could not be stopped or deleted ({}); alliance retirement show says why",
                view.remainder
            );
            self.note(State::Warn, &what, detail);
        }
        let long_ago = when::now() - SILENCE;
        let is_due = view.quarantine_at.is_some_and(|at| at < long_ago);
        if view.phase == Phase::Quarantine && view.quarantined_at.is_none() && is_due && !view.held
        {
            let detail = format!(
                "{project} was to be stopped, and is not: does `alliance work` run, with [work] credential_id?"
            );
            self.note(State::Warn, &what, detail);
        }
        if let Some(since) = view.waits_since.filter(|since| *since < long_ago) {
            let detail = format!(
                "home has not said since {} how {project} is; nothing is stopped or deleted until then",
                when::rfc3339(since)
            );
            self.note(State::Warn, &what, detail);
        }
        if let Some(refusal) = view.receipt.as_ref().and_then(|one| one.refusal.as_ref()) {
            let detail = format!("home refuses the receipt: {}", clean(refusal, 300));
            self.note(State::Warn, &what, detail);
        }
    }

    async fn partner(&mut self, daemon: &Daemon, view: PartnerView, keystone_answers: bool) {
        let name = view.partner.name.clone();
        // The listing does not look into Keystone, the single view does; drafts have none.
        let detailed = match keystone_answers {
            true => daemon.get(&["partners", &name]).send().await.ok(),
            false => None,
        };
        let view = detailed.unwrap_or(view);
        let warnings = partner::warnings(&view);
        let what = format!("partner {name}");
        let ids = |are_of_now: bool| -> BTreeSet<String> {
            let keys = view.signing_keys.iter();
            let keys = keys.filter(|key| key.retired_at.is_none() == are_of_now);
            keys.map(|key| key.id.clone()).collect()
        };
        let (mut now, once) = (ids(true), ids(false));
        // The key that it is known by, and those of its daemon, are of the same kind.
        now.insert(view.partner.cloud_id.to_hex());
        now.extend(view.daemon_keys.iter().cloned());
        if let Some(detail) = signing::stranger(&name, &now, &self.own_keys) {
            self.note(State::Fail, &what, detail);
        } else if let Some(detail) = signing::stranger(&name, &once, &self.own_keys) {
            // It may be this cloud's own, which the partner told as its own by mistake, and does no more.
            self.note(State::Note, &what, detail);
        }
        if warnings.is_empty() {
            self.note(
                State::Ok,
                &what,
                format_args!(
                    "active, {}",
                    view.fingerprint.as_ref().unwrap_or(&view.partner.peer_url)
                ),
            );
        }
        for warning in warnings {
            let state = match view.partner.status {
                Status::Active | Status::Expired if !warning.is_minor => State::Fail,
                Status::Draft => State::Note,
                _ => State::Warn,
            };
            self.note(state, &what, warning.text);
        }
    }
}
