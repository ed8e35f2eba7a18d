//! The report, as it is printed as JSON. `docs/bench.md` says what every field means and what stays as it is.

use serde::Serialize;

use super::{Way, machine::Machine, placement::Placement, samples::Percentiles};

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) format: u32,
    pub(crate) began_unix_seconds: u64,
    pub(crate) took_seconds: f64,
    pub(crate) program: Program,
    pub(crate) machine: Machine,
    pub(crate) ways: Vec<Named>,
    pub(crate) placements: Vec<Named>,
    pub(crate) calls: Vec<Call>,
    pub(crate) latency: Vec<Latency>,
    pub(crate) throughput: Vec<Throughput>,
    pub(crate) servers: Vec<Server>,
}

impl Report {
    /// The number of the format. With the same number, fields are only added.
    pub(crate) const FORMAT: u32 = 1;
}

/// The program that measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Program {
    pub(crate) version: &'static str,
    /// Whether it was built with optimizations, without which its figures say little.
    pub(crate) optimized: bool,
}

impl Default for Program {
    fn default() -> Self {
        Self { version: env!("CARGO_PKG_VERSION"), optimized: !cfg!(debug_assertions) }
    }
}

/// A name that is used below, and what it means.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
}

/// The ways that were measured.
pub(crate) fn ways() -> Vec<Named> {
    Way::ALL.map(|way| Named { name: way.name(), meaning: way.meaning() }).into()
}

/// The placements that were measured.
pub(crate) fn placements(placements: &[Placement]) -> Vec<Named> {
    let named = |placement: &Placement| Named { name: placement.name(), meaning: placement.meaning() };
    placements.iter().map(named).collect()
}

/// What a call takes on any machine.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Call {
    pub(crate) call: &'static str,
    pub(crate) way: Way,
    pub(crate) request_bytes: Option<f64>,
    pub(crate) reply_bytes: Option<f64>,
    pub(crate) client_allocations: f64,
    pub(crate) server_allocations: Option<f64>,
}

/// How long a call takes with one caller.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) placement: Placement,
    pub(crate) call: &'static str,
    pub(crate) way: Way,
    #[serde(flatten)]
    pub(crate) times: Percentiles,
    pub(crate) ratio_to_floor: f64,
}

/// What gets through with several callers.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Throughput {
    pub(crate) call: &'static str,
    pub(crate) callers: usize,
    pub(crate) way: Way,
    pub(crate) calls_per_second: f64,
    pub(crate) ratio_to_floor: f64,
    #[serde(flatten)]
    pub(crate) times: Percentiles,
    pub(crate) client_cpu_ns: f64,
    pub(crate) server_cpu_ns: Option<f64>,
}

/// The memory of a server.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Server {
    pub(crate) way: Way,
    pub(crate) resident_bytes_at_start: u64,
    pub(crate) resident_bytes_at_end: u64,
    pub(crate) growth_bytes: u64,
}

impl Server {
    /// The memory of the server of a way.
    pub(crate) const fn new(way: Way, at_start: u64, at_end: u64) -> Self {
        let growth_bytes = at_end.saturating_sub(at_start);
        Self { way, resident_bytes_at_start: at_start, resident_bytes_at_end: at_end, growth_bytes }
    }
}
