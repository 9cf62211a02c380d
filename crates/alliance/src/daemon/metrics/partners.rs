//! How each partner stands, and the way to it. Set when they are printed, so that a partner that is gone
//! leaves none.

use std::sync::atomic::AtomicU64;

use alliance_core::Seconds;
use alliance_core::partner::Status;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::PartnerLabel;
use crate::wire::BorderView;

/// What is printed of one partner.
pub(crate) struct PartnerMetrics {
    /// Its alias.
    pub partner: String,
    /// What it is to us now.
    pub here: Status,
    /// What we are to it, if it has said so.
    pub there: Option<Status>,
    /// When it last answered.
    pub last_seen: Option<Seconds>,
    /// When trust in it ends.
    pub trust_till: Option<Seconds>,
    /// When its revocation list was last read, if it is read.
    pub list_read: Option<Seconds>,
    /// How the way to it is.
    pub border: BorderView,
    /// How many sessions of its users are here.
    pub sessions_here: usize,
    /// How many of our users' are there, as far as is known.
    pub sessions_abroad: usize,
    /// What has ended here and it has not heard: how many, and since when the oldest waits. `None` if it is
    /// not told.
    pub unheard: Option<(u64, Option<Seconds>)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    partner: String,
    /// As `alliance partner list` names it.
    here: &'static str,
    /// The same; `unknown` where it has not said.
    there: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SessionLabels {
    partner: String,
    /// `here` or `abroad`.
    side: &'static str,
}

type Whole = Family<PartnerLabel, Gauge>;
type Measure = Family<PartnerLabel, Gauge<f64, AtomicU64>>;

#[derive(Default)]
pub(super) struct Partners {
    state: Family<StateLabels, Gauge>,
    reachable: Whole,
    hidden: Whole,
    last_seen: Whole,
    trust_till: Whole,
    descriptor_till: Whole,
    round_trip: Measure,
    clock_ahead: Measure,
    list_read: Whole,
    sessions: Family<SessionLabels, Gauge>,
    unheard: Whole,
    unheard_since: Whole,
}

impl Partners {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let partners = Self::default();
        registry.register(
            "partner_state",
            "What a partner is to us, and we to it: 1",
            partners.state.clone(),
        );
        registry.register(
            "partner_reachable",
            "Whether a partner answered the last pull",
            partners.reachable.clone(),
        );
        registry.register(
            "partner_hidden",
            "Whether a partner's regions are hidden, since it does not answer",
            partners.hidden.clone(),
        );
        let whole = [
            (
                "partner_last_seen",
                "When a partner last answered, since the epoch",
                &partners.last_seen,
            ),
            (
                "partner_trust_till",
                "When the trust in a partner ends, since the epoch",
                &partners.trust_till,
            ),
            (
                "partner_descriptor_till",
                "When what a partner said of itself runs out, since the epoch",
                &partners.descriptor_till,
            ),
            (
                "revocation_list_read",
                "When a partner's revocation list was last read, since the epoch",
                &partners.list_read,
            ),
            (
                "sign_outs_unheard_since",
                "When the oldest of what it has not acknowledged was noted, since the epoch",
                &partners.unheard_since,
            ),
        ];
        let measured = [
            (
                "partner_round_trip",
                "How long the last pull from a partner took",
                &partners.round_trip,
            ),
            (
                "partner_clock_ahead",
                "How far a partner's clock is ahead",
                &partners.clock_ahead,
            ),
        ];
        registry.register(
            "sign_outs_unheard",
            "What has ended here and a partner has not acknowledged",
            partners.unheard.clone(),
        );
        for (name, help, family) in whole {
            registry.register_with_unit(name, help, Unit::Seconds, family.clone());
        }
        for (name, help, family) in measured {
            registry.register_with_unit(name, help, Unit::Seconds, family.clone());
        }
        registry.register(
            "sessions",
            "Sessions of a partner's users here, and of own users there",
            partners.sessions.clone(),
        );
        partners
    }

    pub(super) fn set(&self, partners: &[PartnerMetrics]) {
        self.state.clear();
        self.sessions.clear();
        for family in [
            &self.reachable,
            &self.hidden,
            &self.last_seen,
            &self.trust_till,
            &self.descriptor_till,
            &self.list_read,
            &self.unheard,
            &self.unheard_since,
        ] {
            family.clear();
        }
        for family in [&self.round_trip, &self.clock_ahead] {
            family.clear();
        }
        for partner in partners {
            self.set_one(partner);
        }
    }

    fn set_one(&self, said: &PartnerMetrics) {
        let (partner, border) = (&said.partner, &said.border);
        let state = StateLabels {
            partner: partner.clone(),
            here: said.here.as_str(),
            there: said.there.map_or("unknown", Status::as_str),
        };
        self.state.get_or_create(&state).set(1);
        for (side, count) in [
            ("here", said.sessions_here),
            ("abroad", said.sessions_abroad),
        ] {
            let label = SessionLabels {
                partner: partner.clone(),
                side,
            };
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.sessions.get_or_create(&label).set(count);
        }
        let label = PartnerLabel {
            partner: partner.clone(),
        };
        let unheard = said
            .unheard
            .map(|(count, _)| i64::try_from(count).unwrap_or(i64::MAX));
        let whole = [
            (
                &self.reachable,
                Some(border.unreachable_since.is_none().into()),
            ),
            (&self.hidden, Some(border.is_hidden.into())),
            (&self.last_seen, said.last_seen),
            (&self.trust_till, said.trust_till),
            (&self.descriptor_till, border.descriptor_till),
            (&self.list_read, said.list_read),
            (&self.unheard, unheard),
            (
                &self.unheard_since,
                said.unheard.and_then(|(_, since)| since),
            ),
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
