//! Which cores client and server run on.
//!
//! To wake a sleeping core takes longer than most calls do, and the scheduler would choose one placement or the other: a mix of
//! both would be neither.

use anyhow::Context;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

use super::server::Server;

/// Where client and server run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Placement {
    /// Each on a core of its own.
    TwoCores,
    /// Both on the same.
    OneCore,
}

impl Placement {
    /// Its name in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::TwoCores => "two-cores",
            Self::OneCore => "one-core",
        }
    }

    /// What it is, for people.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::TwoCores => "client and server each on a core of its own",
            Self::OneCore => "client and server on the same core",
        }
    }
}

/// The cores that this process may run on, as it was started.
#[derive(Debug)]
pub(crate) struct Cores {
    all: CpuSet,
    first: CpuSet,
    second: Option<CpuSet>,
}

impl Cores {
    /// Looks which there are.
    pub(crate) fn look() -> anyhow::Result<Self> {
        let all = sched_getaffinity(None).context("cannot see which cores there are")?;
        let mut singles = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).map(|core| {
            let mut single = CpuSet::new();
            single.set(core);
            single
        });
        let first = singles.next().context("there is no core")?;
        Ok(Self { first, second: singles.next(), all })
    }

    /// The placements that are possible.
    pub(crate) fn placements(&self) -> &'static [Placement] {
        match self.second {
            Some(_) => &[Placement::TwoCores, Placement::OneCore],
            None => &[Placement::OneCore],
        }
    }

    /// Places the calling thread and the servers.
    pub(crate) fn place<'a>(
        &self,
        placement: Placement,
        servers: impl Iterator<Item = &'a Server>,
    ) -> anyhow::Result<()> {
        let of_servers = match (placement, &self.second) {
            (Placement::TwoCores, Some(second)) => second,
            _ => &self.first,
        };
        place(&self.first, of_servers, servers)
    }

    /// Lets the scheduler choose again.
    pub(crate) fn release<'a>(&self, servers: impl Iterator<Item = &'a Server>) -> anyhow::Result<()> {
        place(&self.all, &self.all, servers)
    }
}

fn place<'a>(
    client: &CpuSet,
    server: &CpuSet,
    mut servers: impl Iterator<Item = &'a Server>,
) -> anyhow::Result<()> {
    sched_setaffinity(None, client).context("cannot move to another core")?;
    servers.try_for_each(|each| each.pin(server))
}
