//! `alliance doctor`

mod conf;
mod keystone_conf;
mod place;
mod queue;
mod service_conf;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use alliance_core::Seconds;
use alliance_core::label::clean;
use alliance_core::partner::Status;
use alliance_core::retirement::Phase;
use alliance_peer::identity::Identity;
use clap::Args;
use serde::Serialize;

use self::conf::Conf;
use self::keystone_conf::KeystoneConf;
use super::output::Format;
use super::socket::Daemon;
use super::{Failure, Output, agreement, configuration, init, partner, when};
use crate::config::Config;
use crate::disk;
use crate::wire::{AgreementView, Health, PartnerView, RetirementView, Standing, StatusView};

/// How long before its end an agreement is mentioned, in seconds.
const ENDS_SOON: Seconds = 7 * 86_400;
/// How long home's word, or `alliance work`, may be waited for before that is mentioned, in seconds.
const SILENCE: Seconds = 3600;

/// Check everything that pairing and foreign tokens need, and say what to do
///
/// The daemon, Keystone, its plugin, every partner. Exit code 1 if something does not work, 4 if
/// the daemon does not answer.
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
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
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
    /// Whose signatures make a token of this cloud, by the hex SHA-256 of each key.
    own_keys: BTreeSet<String>,
}

impl Doctor {
    pub(super) async fn run(self, daemon: &Daemon, out: &mut Output) -> Result<(), Failure> {
        let mut findings = Findings::default();
        if let Some(path) = self.config {
            findings
                .configuration(&path, &self.keystone_conf, &self.service_conf)
                .await;
        }
        let unreachable = findings.daemon(daemon).await;
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
            .filter(|f| f.state == State::Fail)
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
    fn note(&mut self, state: State, what: &str, detail: impl ToString) {
        self.all.push(Finding {
            state,
            what: what.to_owned(),
            detail: detail.to_string(),
        });
    }

    async fn configuration(
        &mut self,
        path: &Path,
        keystone_conf: &[PathBuf],
        service_conf: &[PathBuf],
    ) {
        let config = match Config::load(path) {
            Ok(config) => config,
            Err(error) => return self.note(State::Fail, "configuration", error),
        };
        self.note(State::Ok, "configuration", path.display());
        for warning in configuration::warnings(&config, path) {
            self.note(State::Warn, "configuration", warning);
        }
        if let Some(warning) = init::snapshot_warning(&config) {
            self.note(State::Fail, "state_dir", warning);
        }
        if let Some(warning) = disk::warning(&config.cloud.state_dir, disk::LEAST) {
            self.note(State::Warn, "state_dir", warning);
        }
        match Identity::load(&config.cloud.state_dir) {
            Ok(identity) => {
                self.note(State::Ok, "keys", identity.cloud_id());
                let (state, detail) = place::database(&config, identity.cloud_id()).await;
                self.note(state, "database", detail);
            }
            Err(error) => self.note(State::Fail, "keys", error),
        }
        for (state, detail) in place::socket(&config) {
            self.note(state, "socket", detail);
        }
        if let Some(found) = queue::faults(&config).await {
            self.faults("message bus", "the services are heard", found);
        }
        if !keystone_conf.is_empty() {
            let found = Conf::read(keystone_conf).map(|conf| {
                let conf = KeystoneConf(conf);
                self.own_keys = conf.own_keys();
                conf.faults(&config)
            });
            self.faults("keystone.conf", "as the plugin needs it", found);
        }
        for file in service_conf {
            let found = Conf::read(std::slice::from_ref(file));
            let found = found.map(|conf| service_conf::faults(&conf, &config));
            let what = file.display().to_string();
            self.faults(&what, "its tokens can be taken back", found);
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
        let asked = async {
            let status: StatusView = daemon.get(&["status"]).send().await?;
            let partners: Vec<PartnerView> = daemon.get(&["partners"]).send().await?;
            let agreements: Vec<AgreementView> = daemon.get(&["agreements"]).send().await?;
            // A daemon of an earlier version knows of none.
            let retirements = daemon.get(&["retirements"]).send().await;
            let retirements: Vec<RetirementView> = retirements.unwrap_or_default();
            Ok((status, partners, agreements, retirements))
        };
        let (status, partners, agreements, retirements) = match asked.await {
            Ok(answers) => answers,
            Err(error) => {
                let error: super::socket::SocketError = error;
                self.note(State::Fail, "daemon", &error);
                return Some(error.into());
            }
        };
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
        for warning in &status.warnings {
            self.note(State::Warn, "daemon", warning);
        }
        for view in partners {
            self.partner(daemon, view).await;
        }
        for view in &agreements {
            self.agreement(view);
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
        let soon = when::now() + ENDS_SOON;
        if let Some(till) = view.agreement.terms.till.filter(|till| *till <= soon) {
            let till = when::rfc3339(till);
            self.note(State::Warn, &what, format_args!("{id} ends at {till}"));
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

    async fn partner(&mut self, daemon: &Daemon, view: PartnerView) {
        let name = view.partner.name.clone();
        // The listing does not look into Keystone, the single view does; drafts have none.
        let view = match daemon.get(&["partners", &name]).send().await {
            Ok(detailed) => detailed,
            Err(_) => view,
        };
        let warnings = partner::warnings(&view);
        let what = format!("partner {name}");
        if view
            .signing_keys
            .iter()
            .any(|key| self.own_keys.contains(&key.id))
        {
            let detail = format!(
                "a key of {name} is among this cloud's own, in [jwt_tokens] jws_public_key_repository: what {name} signs is taken for a token of this cloud, whoever it names; take that file out"
            );
            self.note(State::Fail, &what, detail);
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
                Status::Active if !warning.is_minor => State::Fail,
                _ => State::Warn,
            };
            self.note(state, &what, warning.text);
        }
    }
}
