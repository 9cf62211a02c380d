//! What the daemon counts, in OpenMetrics.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

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

/// Labels of [`Metrics::questions`] and [`Metrics::checks`].
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

/// All of them, and the registry that prints them.
pub(crate) struct Metrics {
    registry: Registry,
    /// What Keystone was told about foreign tokens.
    pub verdicts: Family<VerdictLabels, Counter>,
    /// Questions to partners: one each, however many requests waited for it.
    pub questions: Family<PartnerLabel, Counter>,
    /// Questions to partners about users who are here, for which no request waits.
    pub checks: Family<PartnerLabel, Counter>,
    /// How long partners took to answer, in seconds.
    pub question_seconds: Histogram,
    /// Answers to partners about our own tokens.
    pub answers: Family<AnswerLabels, Counter>,
    /// When a partner's revocation list was last read, seconds since the Unix epoch.
    pub revocation_list: Family<PartnerLabel, Gauge>,
    /// Doorbells to our Keystone.
    pub rings: Family<RingLabels, Counter>,
}

impl Metrics {
    /// All at zero.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("alliance");
        let verdicts = Family::<VerdictLabels, Counter>::default();
        let questions = Family::<PartnerLabel, Counter>::default();
        let checks = Family::<PartnerLabel, Counter>::default();
        let question_seconds = Histogram::new(exponential_buckets(0.001, 2.0, 12));
        let answers = Family::<AnswerLabels, Counter>::default();
        let revocation_list = Family::<PartnerLabel, Gauge>::default();
        let rings = Family::<RingLabels, Counter>::default();
        registry.register(
            "verdicts",
            "Answers to Keystone about foreign tokens",
            verdicts.clone(),
        );
        registry.register("questions", "Questions to partners", questions.clone());
        registry.register(
            "checks",
            "Questions to partners about users who are here, for which no request waits",
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
        registry.register_with_unit(
            "revocation_list_read",
            "When a partner's revocation list was last read, since the epoch",
            Unit::Seconds,
            revocation_list.clone(),
        );
        registry.register("rings", "Doorbells to the own Keystone", rings.clone());
        Self {
            registry,
            verdicts,
            questions,
            checks,
            question_seconds,
            answers,
            revocation_list,
            rings,
        }
    }

    /// The text of `/metrics`.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
