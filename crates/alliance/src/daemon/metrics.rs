//! What the daemon counts, in OpenMetrics.

mod usage;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

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
use prometheus_client::registry::{Registry, Unit};

use self::usage::Usage;
pub(crate) use self::usage::UsageMetrics;
use crate::wire::BorderView;

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
    pub question_seconds: Histogram,
    /// Answers to partners about our own tokens.
    pub answers: Family<AnswerLabels, Counter>,
    /// When a partner's revocation list was last read, seconds since the Unix epoch.
    pub revocation_list: Family<PartnerLabel, Gauge>,
    /// Doorbells to our Keystone.
    pub rings: Family<RingLabels, Counter>,
    border: Border,
    agreements: Family<AgreementLabels, Gauge>,
    retirements: Family<RetirementLabels, Gauge>,
    stacks: Family<StackLabel, Gauge>,
    usage: Usage,
    notices: Family<NoticeLabel, Counter>,
    notices_waiting: Family<ReceiverLabel, Gauge>,
    oldest_notice: Family<ReceiverLabel, Gauge>,
    usage_waiting: Family<ReceiverLabel, Gauge>,
    oldest_usage: Family<ReceiverLabel, Gauge>,
    /// Held while those that are set are printed.
    printing: Mutex<()>,
}

type Measure = Family<PartnerLabel, Gauge<f64, AtomicU64>>;

/// How the ways to partners are. Set when they are printed, so that a partner that is gone leaves none.
#[derive(Default)]
struct Border {
    reachable: Family<PartnerLabel, Gauge>,
    hidden: Family<PartnerLabel, Gauge>,
    last_seen: Family<PartnerLabel, Gauge>,
    trust_till: Family<PartnerLabel, Gauge>,
    descriptor_till: Family<PartnerLabel, Gauge>,
    round_trip: Measure,
    clock_ahead: Measure,
}

/// What is printed of one partner.
pub(crate) struct PartnerMetrics {
    /// Its alias.
    pub partner: String,
    /// When it last answered.
    pub last_seen: Option<Seconds>,
    /// When trust in it ends.
    pub trust_till: Option<Seconds>,
    /// How the way to it is.
    pub border: BorderView,
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
        registry.register_with_unit(
            "revocation_list_read",
            "When a partner's revocation list was last read, since the epoch",
            Unit::Seconds,
            revocation_list.clone(),
        );
        registry.register("rings", "Doorbells to the own Keystone", rings.clone());
        let border = Border::registered(&mut registry);
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
        let usage = Usage::registered(&mut registry);
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
        Self {
            registry,
            verdicts,
            questions,
            checks,
            question_seconds,
            answers,
            revocation_list,
            rings,
            border,
            agreements,
            retirements,
            stacks,
            usage,
            notices,
            notices_waiting,
            oldest_notice,
            usage_waiting,
            oldest_usage,
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
        };
        let label = ReceiverLabel { to };
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        waiting.get_or_create(&label).set(count);
        oldest.get_or_create(&label).set(age);
    }

    /// The text of `/metrics`, with these partners, so many agreements, retirements and stacks, and this
    /// usage.
    pub(crate) fn text(
        &self,
        partners: &[PartnerMetrics],
        agreements: &BTreeMap<AgreementLabels, i64>,
        retirements: &BTreeMap<RetirementLabels, i64>,
        stacks: &[(StackState, u64)],
        usage: &UsageMetrics,
    ) -> Result<String, std::fmt::Error> {
        let _printing = self.printing.lock().unwrap_or_else(PoisonError::into_inner);
        self.border.set(partners);
        self.agreements.clear();
        for (labels, count) in agreements {
            self.agreements.get_or_create(labels).set(*count);
        }
        self.retirements.clear();
        for (labels, count) in retirements {
            self.retirements.get_or_create(labels).set(*count);
        }
        self.stacks.clear();
        for (state, count) in stacks {
            let state = state.as_str();
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            self.stacks.get_or_create(&StackLabel { state }).set(count);
        }
        self.usage.set(usage);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Border {
    fn registered(registry: &mut Registry) -> Self {
        let border = Self::default();
        registry.register(
            "partner_reachable",
            "Whether a partner answered the last pull",
            border.reachable.clone(),
        );
        registry.register(
            "partner_hidden",
            "Whether a partner's regions are hidden, since it does not answer",
            border.hidden.clone(),
        );
        registry.register_with_unit(
            "partner_last_seen",
            "When a partner last answered, since the epoch",
            Unit::Seconds,
            border.last_seen.clone(),
        );
        registry.register_with_unit(
            "partner_trust_till",
            "When the trust in a partner ends, since the epoch",
            Unit::Seconds,
            border.trust_till.clone(),
        );
        registry.register_with_unit(
            "partner_descriptor_till",
            "When what a partner said of itself runs out, since the epoch",
            Unit::Seconds,
            border.descriptor_till.clone(),
        );
        registry.register_with_unit(
            "partner_round_trip",
            "How long the last pull from a partner took",
            Unit::Seconds,
            border.round_trip.clone(),
        );
        registry.register_with_unit(
            "partner_clock_ahead",
            "How far a partner's clock is ahead",
            Unit::Seconds,
            border.clock_ahead.clone(),
        );
        border
    }

    fn set(&self, partners: &[PartnerMetrics]) {
        for family in [
            &self.reachable,
            &self.hidden,
            &self.last_seen,
            &self.trust_till,
            &self.descriptor_till,
        ] {
            family.clear();
        }
        for family in [&self.round_trip, &self.clock_ahead] {
            family.clear();
        }
        for PartnerMetrics {
            partner,
            last_seen,
            trust_till,
            border,
        } in partners
        {
            let label = PartnerLabel {
                partner: partner.clone(),
            };
            let whole = [
                (
                    &self.reachable,
                    Some(border.unreachable_since.is_none().into()),
                ),
                (&self.hidden, Some(border.is_hidden.into())),
                (&self.last_seen, *last_seen),
                (&self.trust_till, *trust_till),
                (&self.descriptor_till, border.descriptor_till),
            ];
            for (family, value) in whole {
                if let Some(value) = value {
                    family.get_or_create(&label).set(value);
                }
            }
            let measured = [
                (&self.round_trip, border.round_trips.map(|times| times.last)),
                (&self.clock_ahead, border.skew.map(|skew| skew.ahead)),
            ];
            for (family, value) in measured {
                if let Some(value) = value {
                    family.get_or_create(&label).set(value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partner_that_is_gone_leaves_no_numbers() -> Result<(), std::fmt::Error> {
        let metrics = Metrics::new();
        let west = PartnerMetrics {
            partner: "west".into(),
            last_seen: Some(1000),
            trust_till: None,
            border: BorderView {
                reachable_since: None,
                unreachable_since: Some(1030),
                is_hidden: true,
                round_trips: None,
                skew: None,
                last_change: None,
                descriptor_till: Some(2000),
                protocol: None,
                version: None,
            },
        };
        let given = AgreementLabels {
            direction: "given",
            state: "live".into(),
        };
        let text = metrics.text(
            &[west],
            &BTreeMap::from([(given, 2)]),
            &BTreeMap::from([(RetirementLabels { state: "remainder" }, 3)]),
            &[(StackState::Running, 3)],
            &UsageMetrics::default(),
        )?;
        for line in [
            r#"alliance_partner_reachable{partner="west"} 0"#,
            r#"alliance_partner_hidden{partner="west"} 1"#,
            r#"alliance_partner_last_seen_seconds{partner="west"} 1000"#,
            r#"alliance_partner_descriptor_till_seconds{partner="west"} 2000"#,
            r#"alliance_agreements{direction="given",state="live"} 2"#,
            r#"alliance_retirements{state="remainder"} 3"#,
            r#"alliance_stacks{state="running"} 3"#,
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("partner_trust_till_seconds{"));
        let text = metrics.text(
            &[],
            &BTreeMap::new(),
            &BTreeMap::new(),
            &[],
            &UsageMetrics::default(),
        )?;
        assert!(!text.contains("west") && !text.contains("agreements{"));
        Ok(())
    }
}
