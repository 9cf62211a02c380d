//! Log lines that strangers can cause at will: a few tell an operator what is wrong, a million
//! hide it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use alliance_core::budget::Budget;

const LINES_PER_SECOND: f64 = 1.0;
const BURST: f64 = 30.0;

/// How many such lines may still be written.
#[derive(Debug)]
pub struct Noise {
    since: Instant,
    state: Mutex<(Budget, u64)>,
}

impl Default for Noise {
    fn default() -> Self {
        Self::new()
    }
}

impl Noise {
    /// All of them.
    pub fn new() -> Self {
        Self {
            since: Instant::now(),
            state: Mutex::new((Budget::full(LINES_PER_SECOND, BURST, 0.0), 0)),
        }
    }

    /// Logs why a connection was refused, or counts it until a line may be written again.
    pub(super) fn refused(&self, peer: SocketAddr, why: impl fmt::Display) {
        if let Some(untold) = self.may_speak() {
            tracing::info!(%peer, untold, "refused a connection to the peer API: {why}");
        }
    }

    /// How many lines were left out before this one, if there may be one.
    pub fn may_speak(&self) -> Option<u64> {
        let now = self.since.elapsed().as_secs_f64();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (budget, untold) = &mut *state;
        if budget.has_any(now) {
            budget.take(now);
            Some(std::mem::take(untold))
        } else {
            *untold += 1;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_counted_not_told() {
        let noise = Noise::new();
        let told = (0..10_000).filter(|_| noise.may_speak().is_some()).count();
        assert!((30..40).contains(&told), "{told}");
        assert!(noise.state.lock().unwrap().1 >= 9_960);
    }
}
