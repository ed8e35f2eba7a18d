//! `sysbox bench`: what a call costs by each way to a backend.
//!
//! ```text
//! run -> servers, a process each -> count -> latency (rounds) -> throughput (rounds) -> Report -> table, JSON, HTML
//! ```
//!
//! The backend is the reference model, in memory: what is measured is the way there. In every round all ways have their turn,
//! a short one, so that what disturbs the machine disturbs all alike, and each is held against the floor of the same round.

mod chart;
mod client;
mod count;
mod counted;
mod html;
mod latency;
mod machine;
mod ping;
mod placement;
mod progress;
mod report;
mod samples;
mod serve;
mod server;
mod step;
mod table;
mod throughput;
mod usage;
mod way;

use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, bail};
use sysbox::{AbsPath, IdRange, conformance::Model, transport::attentively};
use tokio::runtime::Runtime;

use self::{
    client::{Client, LengthsOf, Sockets},
    placement::Cores,
    progress::Progress,
    report::Report,
    server::Server,
    step::{Requests, Step},
};
use crate::{args::BenchArgs, render};

pub(crate) use self::way::Way;

/// Runs the command.
pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    if let Some((way, dir)) = args.serve.zip(args.dir.as_deref()) {
        return serve::run(way, dir);
    }
    let html = args.html.as_deref().map(html::Target::new).transpose()?;
    let report = report(Duration::from_secs(args.seconds))?;
    // What was measured is told in one way if it cannot be in the other.
    let printed = if args.json { render::json(&report) } else { table::print(&report) };
    if let Some(html) = html {
        html.write(&report)?;
    }
    printed.map(|()| ExitCode::SUCCESS)
}

/// How much of the time is for calls one at a time; the rest is for many callers.
const ONE_AT_A_TIME: f64 = 0.6;

fn report(seconds: Duration) -> anyhow::Result<Report> {
    let (began_at, began) = (SystemTime::now(), Instant::now());
    let mut bench = Bench::start(Progress::new(seconds))?;
    let measured = bench.measure(began, seconds);
    let (calls, latency, throughput) = match measured {
        Ok(measured) => measured,
        Err(error) => return Err(bench.explain(error)),
    };
    Ok(Report {
        format: Report::FORMAT,
        began_unix_seconds: began_at
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
        took_seconds: samples::rounded(began.elapsed().as_secs_f64()),
        program: report::Program::default(),
        machine: machine::Machine::look(),
        ways: report::ways(),
        placements: report::placements(bench.cores.placements()),
        calls,
        latency,
        throughput,
        servers: bench.memory()?,
    })
}

/// What is measured, and with what.
struct Bench {
    progress: Progress,
    cores: Cores,
    runtime: Runtime,
    model: Arc<Model>,
    servers: BTreeMap<Way, Server>,
    lengths: Arc<LengthsOf>,
}

type Measured = (Vec<report::Call>, Vec<report::Latency>, Vec<report::Throughput>);

impl Bench {
    fn start(progress: Progress) -> anyhow::Result<Self> {
        progress.say("starting a server for each way");
        let mut bench = Self {
            progress,
            cores: Cores::look()?,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            model: new_model()?,
            servers: BTreeMap::new(),
            lengths: Arc::default(),
        };
        for way in Way::ALL.into_iter().filter(|way| way.has_server()) {
            let server = Server::start(way, &dir_of(way)?)?;
            bench.servers.insert(way, server);
        }
        Ok(bench)
    }

    fn measure(&mut self, began: Instant, seconds: Duration) -> anyhow::Result<Measured> {
        let calls = count::measure(self)?;
        self.lengths = Arc::new(count::shortest(&calls));
        let calls = count::with_floor(self, calls)?;
        let latency = latency::measure(self, began + seconds.mul_f64(ONE_AT_A_TIME))?;
        self.cores.release(self.servers.values())?;
        let throughput = throughput::measure(self, began + seconds)?;
        Ok((count::rows(&calls), latency, throughput))
    }

    /// A caller of a way.
    fn client(&self, way: Way) -> anyhow::Result<Client> {
        if way.has_server() {
            let sockets = Sockets::plain(&dir_of(way)?)?;
            self.runtime.block_on(Client::of_server(way, sockets, &self.lengths))
        } else {
            Ok(Client::in_process(&self.model))
        }
    }

    /// Makes calls one after the other as a process does that has nothing else to do (`sysbox::blocking`); how long they took.
    fn time(&self, client: &mut Client, steps: &[Step], requests: &Requests) -> anyhow::Result<Duration> {
        let began = Instant::now();
        for step in steps {
            self.runtime.block_on(attentively(client.call(*step, requests)))?;
        }
        Ok(began.elapsed())
    }

    /// That a server has ended is the cause of what failed.
    fn explain(&mut self, error: anyhow::Error) -> anyhow::Error {
        let ended = self.servers.values_mut().find_map(|server| server.usage().err());
        ended.unwrap_or(error)
    }

    fn memory(&mut self) -> anyhow::Result<Vec<report::Server>> {
        let row = |(way, server): (&Way, &mut Server)| {
            Ok(report::Server::new(*way, server.at_start.resident_bytes, server.usage()?.resident_bytes))
        };
        self.servers.iter_mut().map(row).collect()
    }
}

/// The directory of the server of a way. Nobody but that server makes it, so that none is left when this process is ended. Its
/// name is short, for the path of a socket is.
fn dir_of(way: Way) -> anyhow::Result<AbsPath> {
    let name = format!("sysbox-{}-{}", std::process::id(), way.name());
    let dir = std::path::absolute(std::env::temp_dir().join(name)).context("TMPDIR is no directory")?;
    Ok(AbsPath::new(dir)?)
}

/// A backend that has nothing yet, and ids for 1,024 containers.
fn new_model() -> anyhow::Result<Arc<Model>> {
    const FIRST: u32 = 1 << 30;
    Ok(Arc::new(Model::new(IdRange::new(FIRST, 65_536 * 1024)?)))
}

/// Says which call of which way failed.
fn by_way<T>(way: Way, outcome: anyhow::Result<T>) -> anyhow::Result<T> {
    outcome.with_context(|| format!("cannot measure {}", way.name()))
}

/// Fails where nothing was measured, for then there is nothing to tell.
fn some<T>(rows: Vec<T>) -> anyhow::Result<Vec<T>> {
    if rows.is_empty() {
        bail!("nothing was measured in the time given; give more by --seconds");
    }
    Ok(rows)
}
