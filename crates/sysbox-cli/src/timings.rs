//! How long each step took.

use std::time::{Duration, Instant};

/// The steps of a command, in order, with the time that each took.
#[derive(Debug, Default)]
pub(crate) struct Timings {
    steps: Vec<(&'static str, Duration)>,
}

impl Timings {
    /// Does a step and notes how long it took, also when it fails.
    pub(crate) fn step<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let outcome = work();
        let took = start.elapsed();
        tracing::debug!(step = name, ?took);
        self.steps.push((name, took));
        outcome
    }

    /// The steps so far.
    pub(crate) fn steps(&self) -> &[(&'static str, Duration)] {
        &self.steps
    }
}
