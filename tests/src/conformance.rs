//! The backends of this project for the suite of `sysbox-conformance`: each manager alone and behind each transport.
//!
//! A row is a backend and the transports it is behind. Servers run in the test's process, each on a thread of its own, on
//! sockets in the row's temporary directory; nothing is left when the subject is dropped.

mod backend;
mod mounts;
mod rights;
mod teeth;
mod transport;

use std::sync::Arc;

use async_trait::async_trait;
use sysbox::{AbsPath, session::Ports};
use sysbox_conformance::{Ability, BoxError, Clonable, Flaw, Harness, Lack, Subject};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use self::{
    mounts::{Unmounted, overlay},
    transport::Hop,
};

pub use self::{backend::Backend, rights::Rights, teeth::every_flaw_is_seen, transport::Transport};

/// A kind of backend: what answers, and the transports that a call passes on its way, the last one first.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name in reports.
    pub name: &'static str,
    /// Who answers.
    pub backend: Backend,
    /// What is in between, from the backend to the caller.
    pub transports: &'static [Transport],
}

/// Every kind.
pub const ROWS: [Row; 8] = [
    Row { name: "model", backend: Backend::Model, transports: &[] },
    Row { name: "embedded", backend: Backend::Embedded, transports: &[] },
    Row { name: "model-over-grpc", backend: Backend::Model, transports: &[Transport::Grpc] },
    Row { name: "embedded-over-grpc", backend: Backend::Embedded, transports: &[Transport::Grpc] },
    Row { name: "model-over-tarpc", backend: Backend::Model, transports: &[Transport::Tarpc] },
    Row { name: "embedded-over-tarpc", backend: Backend::Embedded, transports: &[Transport::Tarpc] },
    // A tarpc daemon in front of one that speaks gRPC, as Sysbox's own do.
    Row {
        name: "embedded-over-grpc-over-tarpc",
        backend: Backend::Embedded,
        transports: &[Transport::Grpc, Transport::Tarpc],
    },
    // A gRPC daemon, as Sysbox's clients need it, in front of a tarpc daemon.
    Row {
        name: "model-over-tarpc-over-grpc",
        backend: Backend::Model,
        transports: &[Transport::Tarpc, Transport::Grpc],
    },
];

impl Row {
    /// The harness of this kind, in a process with these rights. With a flaw, the backend behind the transports has it.
    pub fn harness(self, rights: Rights, flaw: Option<Flaw>) -> Arc<dyn Harness> {
        Arc::new(RowHarness { row: self, rights, flaw })
    }

    /// Whether it can do other things with the rights of root than without.
    pub fn is_able_as_root(self) -> bool {
        self.backend == Backend::Embedded
    }

    /// Everything from a data root in `dir` on. What was there before is found again.
    fn start(self, flaw: Option<Flaw>, dir: TempDir) -> Result<Subject, BoxError> {
        let data_root = AbsPath::new(dir.path().join("data"))?;
        let ports = match self.transports {
            [] => self.backend.open(&data_root)?,
            _ => self.backend.open_for_server(&data_root)?,
        };
        self.behind_transports(flawed(ports, flaw), dir)
    }

    fn behind_transports(self, mut ports: Ports, dir: TempDir) -> Result<Subject, BoxError> {
        let mut hops = Vec::new();
        for (nth, transport) in self.transports.iter().enumerate() {
            let sockets = AbsPath::new(dir.path().join(format!("hop-{nth}")))?;
            let (hop, beyond) = Hop::start(*transport, ports, &sockets)?;
            // Those nearer to the caller are ended first.
            hops.insert(0, hop);
            ports = beyond;
        }
        let mounts = Unmounted::below(dir.path());
        let guard = Box::new(Running { hops, mounts, dir });
        Ok(Subject { ports, capacity: Backend::CAPACITY, guard })
    }
}

/// What keeps a subject alive. The servers end before the directory goes.
#[derive(Debug)]
struct Running {
    hops: Vec<Hop>,
    mounts: Unmounted,
    dir: TempDir,
}

#[derive(Debug)]
struct RowHarness {
    row: Row,
    rights: Rights,
    flaw: Option<Flaw>,
}

#[async_trait]
impl Harness for RowHarness {
    fn name(&self) -> &str {
        self.row.name
    }

    async fn fresh(&self) -> Result<Subject, BoxError> {
        self.row.start(self.flaw, TempDir::with_prefix("sysbox-conformance-")?)
    }

    fn lacks(&self) -> Vec<Lack> {
        let reason = "it does its work itself";
        let alone = Lack { ability: Ability::Relay, reason };
        let alone = self.row.transports.is_empty().then_some(alone);
        let of_transports = self.row.transports.iter().flat_map(|transport| transport.lacks());
        self.row.backend.lacks(self.rights).into_iter().chain(of_transports.copied()).chain(alone).collect()
    }

    async fn restarted(&self, subject: Subject) -> Result<Subject, BoxError> {
        let Subject { ports, capacity: _, guard } = subject;
        let running = guard.downcast::<Running>().map_err(|_| "the subject is of another harness")?;
        let Running { hops, mounts, dir } = *running;
        // What is mounted stays so without the process.
        mounts.stay();
        // To wait for the end of a server would hold up the callers that it waits for.
        spawn_blocking(move || drop((ports, hops))).await?;
        self.row.start(self.flaw, dir)
    }

    fn clonable(&self, layer: AbsPath, beside: &AbsPath) -> Result<Clonable, BoxError> {
        if self.row.backend != Backend::Embedded || self.rights == Rights::None {
            return Ok(Clonable { rootfs: layer, guard: Box::new(()) });
        }
        let rootfs = overlay(&layer, beside)?;
        Ok(Clonable { rootfs, guard: Box::new(Unmounted::below(beside.as_path())) })
    }

    async fn relay(&self, ports: Ports) -> Result<Subject, BoxError> {
        if self.row.transports.is_empty() {
            return Err("there is no transport that could pass calls on".into());
        }
        self.row.behind_transports(flawed(ports, self.flaw), TempDir::with_prefix("sysbox-conformance-")?)
    }
}

fn flawed(ports: Ports, flaw: Option<Flaw>) -> Ports {
    match flaw {
        None => ports,
        Some(flaw) => Ports {
            mgr: ports.mgr.map(|mgr| flaw.mgr(mgr)),
            fs: ports.fs.map(|fs| flaw.fs(fs)),
            seccomp: ports.seccomp,
        },
    }
}
