//! What the daemon counts, in OpenMetrics.

mod audit;
mod partners;
mod process;
mod requests;
mod traffic;
mod usage;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use alliance_core::Seconds;
use alliance_core::notice;
use alliance_core::provision::StackState;
use alliance_store::Receiver;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub(crate) use self::audit::AuditMetrics;
pub(crate) use self::partners::PartnerMetrics;
use self::partners::Partners;
use self::process::Process;
use self::requests::Requests;
pub(crate) use self::traffic::Counts;
use self::traffic::Traffic;
use self::usage::Usage;
pub(crate) use self::usage::UsageMetrics;
use super::clock::now;

/// Labels of [`Metrics::verdicts`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct VerdictLabels {
    /// The partner's alias; `unknown` where the tag names none.
    pub partner: String,
    /// `valid`, `invalid` or `indeterminate`.
    pub status: &'static str,
    /// The reason code; `none` if valid.
    pub reason: &'static str,
    /// `local`, `offline`, `cache`, `asked` or `shared`.
    pub via: &'static str,
}

/// Labels of metrics about one partner.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AnswerLabels {
    /// The partner's alias.
    pub partner: String,
    /// `active` or the reason code.
    pub result: &'static str,
}

/// Labels of what is counted for each partner.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PartnerLabel {
    /// The partner's alias.
    pub partner: String,
}

/// Labels of [`Metrics::rings`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RingLabels {
    /// `acknowledged` or `failed`.
    pub result: &'static str,
}

/// Labels of [`Metrics::spans`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SpanLabels {
    /// `sent`, `failed` (the collector has not taken them) or `dropped` (too many were waiting).
    pub result: &'static str,
}

/// Labels of the count of agreements.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub(crate) struct AgreementLabels {
    /// `given` or `received`.
    pub direction: &'static str,
    /// As `alliance agreement list` names it.
    pub state: String,
}

/// Labels of the count of retirements.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub(crate) struct RetirementLabels {
    /// The phase; `waiting` for home's word, `remainder` where something is left.
    pub state: &'static str,
}

/// Labels of the count of stacks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StackLabel {
    /// As `alliance provision status` names it.
    state: &'static str,
}

/// Labels of the count of notices.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoticeLabel {
    /// As `alliance notice list` names it.
    kind: &'static str,
}

/// Labels of those who are told further.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReceiverLabel {
    /// `webhook` or `bus`.
    to: &'static str,
}

/// Labels of what this program is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabel {
    version: &'static str,
}

/// How long something took, by labels.
type Times<L> = Family<L, Histogram>;

fn times<L: Clone + std::hash::Hash + Eq>() -> Times<L> {
    Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 12)))
}

/// What is not counted, but looked up when it is printed.
#[derive(Default)]
pub(crate) struct Readings {
    /// All partners.
    pub partners: Vec<PartnerMetrics>,
    /// How many agreements there are.
    pub agreements: BTreeMap<AgreementLabels, i64>,
    /// How many retirements.
    pub retirements: BTreeMap<RetirementLabels, i64>,
    /// How many stacks.
    pub stacks: Vec<(StackState, u64)>,
    /// How metering goes on.
    pub usage: UsageMetrics,
    /// Whether the database answers.
    pub database: bool,
    /// Since when Keystone does not acknowledge the doorbell, or fails to take grants away; `None` if it does.
    pub keystone_deaf_since: Option<Seconds>,
    /// Whether this instance does what only one may.
    pub leads: bool,
    /// How long ago it last heeded other instances; `None` where there can be none.
    pub board_age: Option<Duration>,
}

/// All of them, and the registry that prints them.
pub(crate) struct Metrics {
    registry: Registry,
    /// What Keystone was told about foreign tokens.
    pub verdicts: Family<VerdictLabels, Counter>,
    /// Questions to partners: one each, however many requests waited for it.
    pub questions: Family<PartnerLabel, Counter>,
    /// Users who are here about whom partners were asked, though no request waits for it.
    pub checks: Family<PartnerLabel, Counter>,
    /// How long partners took to answer, in seconds.
    pub question_seconds: Times<PartnerLabel>,
    /// Answers to partners about our own tokens.
    pub answers: Family<AnswerLabels, Counter>,
    /// Doorbells to our Keystone.
    pub rings: Family<RingLabels, Counter>,
    /// Spans of traces.
    pub spans: Family<SpanLabels, Counter>,
    /// What the two APIs are asked.
    pub requests: Requests,
    /// Audit events.
    pub audit: AuditMetrics,
    /// The same by partner, for people who look at it.
    pub traffic: Traffic,
    sessions_ended: Family<PartnerLabel, Counter>,
    sign_out_seconds: Times<PartnerLabel>,
    database: Gauge,
    keystone_deaf_since: Gauge,
    leads: Gauge,
    board_age: Gauge<f64, AtomicU64>,
    partners: Partners,
    agreements: Family<AgreementLabels, Gauge>,
    retirements: Family<RetirementLabels, Gauge>,
    stacks: Family<StackLabel, Gauge>,
    usage: Usage,
    notices: Family<NoticeLabel, Counter>,
    notices_waiting: Family<ReceiverLabel, Gauge>,
    oldest_notice: Family<ReceiverLabel, Gauge>,
    usage_waiting: Family<ReceiverLabel, Gauge>,
    oldest_usage: Family<ReceiverLabel, Gauge>,
    audit_waiting: Family<ReceiverLabel, Gauge>,
    oldest_audit: Family<ReceiverLabel, Gauge>,
    /// Held while those that are set are printed.
    printing: Mutex<()>,
}

impl Metrics {
    /// All at zero.
    pub(crate) fn new() -> Self {
        let mut all = Registry::default();
        all.register_collector(Box::new(Process { started: now() }));
        let registry = all.sub_registry_with_prefix("alliance");
        let version = VersionLabel {
            version: env!("CARGO_PKG_VERSION"),
        };
        registry.register("build", "What this program is", Info::new(version));
        let verdicts = Family::<VerdictLabels, Counter>::default();
        let questions = Family::<PartnerLabel, Counter>::default();
        let checks = Family::<PartnerLabel, Counter>::default();
        let question_seconds = times::<PartnerLabel>();
        let answers = Family::<AnswerLabels, Counter>::default();
        let rings = Family::<RingLabels, Counter>::default();
        registry.register(
            "verdicts",
            "Answers to Keystone about foreign tokens",
            verdicts.clone(),
        );
        registry.register("questions", "Questions to partners", questions.clone());
        registry.register(
            "checks",
            "Users who are here about whom partners were asked, though no request waits for it",
            checks.clone(),
        );
        registry.register_with_unit(
            "question",
            "How long partners took to answer",
            Unit::Seconds,
            question_seconds.clone(),
        );
        registry.register(
            "answers",
            "Answers to partners about own tokens",
            answers.clone(),
        );
        registry.register("rings", "Doorbells to the own Keystone", rings.clone());
        let spans = Family::<SpanLabels, Counter>::default();
        registry.register(
            "spans",
            "Spans of traces, by what became of them",
            spans.clone(),
        );
        let requests = Requests::registered(registry);
        let sessions_ended = Family::<PartnerLabel, Counter>::default();
        registry.register(
            "sessions_ended",
            "Sessions of a partner's users that ended here before their time",
            sessions_ended.clone(),
        );
        let sign_out_seconds = times::<PartnerLabel>();
        registry.register_with_unit(
            "sign_out",
            "How long it took from home's word until the own Keystone and the services' caches were told",
            Unit::Seconds,
            sign_out_seconds.clone(),
        );
        let database = Gauge::default();
        registry.register(
            "database_reachable",
            "Whether the database answers",
            database.clone(),
        );
        let keystone_deaf_since = Gauge::default();
        registry.register_with_unit(
            "keystone_deaf_since",
            "Since when the own Keystone does not acknowledge the doorbell, or fails to take grants away that no agreement allows, since the epoch; 0 if it does",
            Unit::Seconds,
            keystone_deaf_since.clone(),
        );
        let leads = Gauge::default();
        registry.register(
            "leads",
            "Whether this instance does what only one may: hear partners, fetch, deliver",
            leads.clone(),
        );
        let board_age = Gauge::<f64, AtomicU64>::default();
        registry.register_with_unit(
            "board_age",
            "How long ago this instance last read what other instances tell; 0 where there can be none",
            Unit::Seconds,
            board_age.clone(),
        );
        let partners = Partners::registered(registry);
        let agreements = Family::<AgreementLabels, Gauge>::default();
        registry.register(
            "agreements",
            "Agreements that have not ended, by how they stand",
            agreements.clone(),
        );
        let retirements = Family::<RetirementLabels, Gauge>::default();
        registry.register(
            "retirements",
            "Partners' projects that are being retired, by how far that is",
            retirements.clone(),
        );
        let stacks = Family::<StackLabel, Gauge>::default();
        registry.register(
            "stacks",
            "What partners' projects have ordered here, by how it stands",
            stacks.clone(),
        );
        let usage = Usage::registered(registry);
        let notices = Family::<NoticeLabel, Counter>::default();
        registry.register(
            "notices",
            "What partners have told of our projects there, by what has happened",
            notices.clone(),
        );
        let notices_waiting = Family::<ReceiverLabel, Gauge>::default();
        registry.register(
            "notices_waiting",
            "Notices that have not been handed on",
            notices_waiting.clone(),
        );
        let oldest_notice = Family::<ReceiverLabel, Gauge>::default();
        registry.register_with_unit(
            "oldest_notice_waiting",
            "How long ago the oldest of them came",
            Unit::Seconds,
            oldest_notice.clone(),
        );
        let usage_waiting = Family::<ReceiverLabel, Gauge>::default();
        registry.register(
            "usage_waiting",
            "Usage records of partners that have not been handed on",
            usage_waiting.clone(),
        );
        let oldest_usage = Family::<ReceiverLabel, Gauge>::default();
        registry.register_with_unit(
            "oldest_usage_waiting",
            "How long ago the oldest of them came",
            Unit::Seconds,
            oldest_usage.clone(),
        );
        let audit_waiting = Family::<ReceiverLabel, Gauge>::default();
        registry.register(
            "audit_waiting",
            "Audit events that have not been said on the message bus",
            audit_waiting.clone(),
        );
        let oldest_audit = Family::<ReceiverLabel, Gauge>::default();
        registry.register_with_unit(
            "oldest_audit_waiting",
            "How long ago the oldest of them came",
            Unit::Seconds,
            oldest_audit.clone(),
        );
        let audit = AuditMetrics::registered(registry);
        Self {
            registry: all,
            verdicts,
            questions,
            checks,
            question_seconds,
            answers,
            rings,
            spans,
            requests,
            audit,
            traffic: Traffic::default(),
            sessions_ended,
            sign_out_seconds,
            database,
            keystone_deaf_since,
            leads,
            board_age,
            partners,
            agreements,
            retirements,
            stacks,
            usage,
            notices,
            notices_waiting,
            oldest_notice,
            usage_waiting,
            oldest_usage,
            audit_waiting,
            oldest_audit,
            printing: Mutex::default(),
        }
    }

    /// One was taken in.
    pub(crate) fn count_notice(&self, kind: notice::Kind) {
        let kind = kind.as_str();
        self.notices.get_or_create(&NoticeLabel { kind }).inc();
    }

    /// So many wait to be handed on, the oldest for so long.
    pub(crate) fn set_waiting(&self, receiver: Receiver, count: u64, age: Seconds) {
        let (to, waiting, oldest) = match receiver {
            Receiver::Webhook => ("webhook", &self.notices_waiting, &self.oldest_notice),
            Receiver::Bus => ("bus", &self.notices_waiting, &self.oldest_notice),
            Receiver::BusUsage | Receiver::BusHours => {
                ("bus", &self.usage_waiting, &self.oldest_usage)
            }
            Receiver::BusAudit => ("bus", &self.audit_waiting, &self.oldest_audit),
        };
        let label = ReceiverLabel { to };
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        waiting.get_or_create(&label).set(count);
        oldest.get_or_create(&label).set(age);
    }

    /// So many sessions of a partner's users have ended.
    pub(crate) fn count_ended_sessions(&self, partner: &str, count: usize) {
        let label = PartnerLabel {
            partner: partner.to_owned(),
        };
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.sessions_ended.get_or_create(&label).inc_by(count);
    }

    /// So long it took until everybody here was told.
    pub(crate) fn measure_sign_out(&self, partner: &str, took: Duration) {
        let label = PartnerLabel {
            partner: partner.to_owned(),
        };
        let measured = self.sign_out_seconds.get_or_create(&label);
        measured.observe(took.as_secs_f64());
    }

    /// The text of `/metrics`.
    pub(crate) fn text(&self, readings: &Readings) -> Result<String, std::fmt::Error> {
        let _printing = self.printing.lock().unwrap_or_else(PoisonError::into_inner);
        self.partners.set(&readings.partners);
        self.agreements.clear();
        for (labels, count) in &readings.agreements {
            self.agreements.get_or_create(labels).set(*count);
        }
        self.retirements.clear();
        for (labels, count) in &readings.retirements {
            self.retirements.get_or_create(labels).set(*count);
        }
        self.stacks.clear();
        for (state, count) in &readings.stacks {
            let state = state.as_str();
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            self.stacks.get_or_create(&StackLabel { state }).set(count);
        }
        self.usage.set(&readings.usage);
        self.database.set(readings.database.into());
        let deaf_since = readings.keystone_deaf_since.unwrap_or_default();
        self.keystone_deaf_since.set(deaf_since);
        self.leads.set(readings.leads.into());
        let board_age = readings.board_age.unwrap_or_default();
        self.board_age.set(board_age.as_secs_f64());
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
