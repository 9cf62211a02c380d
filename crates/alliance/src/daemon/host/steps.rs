//! What was done for an answer, and how long each step took: for people who ask why.

use std::time::Instant;

use crate::wire::{Path, Step, Via};

/// The steps of one answer.
pub(super) struct Trace {
    began: Instant,
    last: Instant,
    /// `None`: nobody wants to know.
    steps: Option<Vec<Step>>,
}

impl Trace {
    /// Begins now.
    pub(super) fn new(wanted: bool) -> Self {
        let began = Instant::now();
        Self {
            began,
            last: began,
            steps: wanted.then(Vec::new),
        }
    }

    /// Something is done.
    pub(super) fn step(&mut self, name: &str) {
        let Some(steps) = &mut self.steps else { return };
        let now = Instant::now();
        steps.push(Step {
            name: name.to_owned(),
            took_ms: now.duration_since(self.last).as_secs_f64() * 1000.0,
        });
        self.last = now;
    }

    /// The whole way.
    pub(super) fn path(self, via: Via) -> Path {
        Path {
            via,
            took_ms: self.began.elapsed().as_secs_f64() * 1000.0,
            steps: self.steps.unwrap_or_default(),
        }
    }
}
