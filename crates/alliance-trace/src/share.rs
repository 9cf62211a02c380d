//! Which traces are kept though nobody asks for it.

use crate::context::TraceId;

/// One more than the largest number that 7 bytes hold.
const ALL: u64 = 1 << 56;

/// A share of all traces. Decided by the trace's id alone, as OpenTelemetry's consistent probability
/// sampling has it: what a cloud keeps, one with a greater share keeps too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Traces below it are not kept.
    threshold: u64,
}

impl Share {
    /// `ratio` is from 0 (none) to 1 (all).
    pub fn new(ratio: f64) -> Option<Self> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a whole number from 0 to 2^56, see the range"
        )]
        let threshold = || ((1.0 - ratio) * ALL as f64).round() as u64;
        (0.0..=1.0).contains(&ratio).then(|| Self {
            threshold: threshold(),
        })
    }

    /// Whether this trace is one of them.
    pub fn takes(self, trace: TraceId) -> bool {
        trace.randomness() >= self.threshold
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// Requests' ids as OpenStack makes them, the same ones each time.
    fn traces() -> impl Iterator<Item = TraceId> {
        let ids = (0..20_000_u32).map(|number| {
            let by_name = Uuid::new_v5(&Uuid::NAMESPACE_OID, &number.to_be_bytes());
            uuid::Builder::from_random_bytes(by_name.into_bytes()).into_uuid()
        });
        ids.map(|id| TraceId::of_request(id).unwrap())
    }

    #[test]
    fn of_requests_ids_the_share_that_was_asked_for_is_kept() {
        for ratio in [0.01, 0.2, 0.5, 0.8] {
            let share = Share::new(ratio).unwrap();
            let kept = traces().filter(|trace| share.takes(*trace)).count();
            let kept = f64::from(u32::try_from(kept).unwrap()) / 20_000.0;
            assert!((kept - ratio).abs() < 0.01, "{kept} for {ratio}");
        }
    }

    #[test]
    fn none_is_none_and_all_is_all() {
        let (none, all) = (Share::new(0.0).unwrap(), Share::new(1.0).unwrap());
        let least = Uuid::from_u128(1 << 127);
        let most = Uuid::from_u128(u128::MAX);
        for id in [least, most].map(|id| TraceId::of_request(id).unwrap()) {
            assert!(all.takes(id));
            assert!(!none.takes(id));
        }
        for wrong in [-0.1, 1.1, f64::NAN] {
            assert_eq!(Share::new(wrong), None);
        }
    }

    #[test]
    fn what_one_cloud_keeps_another_with_a_greater_share_keeps_too() {
        let (small, great) = (Share::new(0.1).unwrap(), Share::new(0.3).unwrap());
        assert!(traces().all(|trace| !small.takes(trace) || great.takes(trace)));
        assert!(traces().any(|trace| small.takes(trace)));
    }
}
