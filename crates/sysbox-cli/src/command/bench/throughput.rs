//! How many calls get through when there are several callers, and what each costs both ends.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use sysbox::transport::attentively;
use tokio::task::JoinSet;

use super::{
    Bench, Way, by_way,
    client::Client,
    report,
    samples::{Series, nanoseconds, rounded},
    server::Server,
    some,
    step::{Requests, Step, WITH_MANY},
    usage::cpu,
};

/// How many callers there are.
const CALLERS: [usize; 3] = [1, 8, 64];

/// The turn of one way: the longest, and where there is little time the shortest.
const LONGEST: Duration = Duration::from_millis(30);
const SHORTEST: Duration = Duration::from_millis(2);

/// How many rounds there should be at least.
const ROUNDS: u32 = 3;

/// Most calls in a turn: what is called in this process would fill the memory with times.
const MOST: usize = 20_000;

/// A task that makes one call after the other, for a container of its own.
struct Caller {
    client: Client,
    requests: Requests,
}

/// How a caller waits.
#[derive(Clone, Copy)]
enum Wait {
    /// As a process that has nothing else to do.
    Attentively,
    /// As a task beside others.
    Asleep,
}

impl Caller {
    /// Makes calls until it is time, at least one and not more than so many; how long each took.
    async fn call(
        &mut self,
        step: Step,
        until: Instant,
        most: usize,
        wait: Wait,
    ) -> anyhow::Result<Vec<u32>> {
        let mut times = Vec::new();
        let mut now = Instant::now();
        while times.is_empty() || (now < until && times.len() < most) {
            let call = self.client.call(step, &self.requests);
            match wait {
                Wait::Attentively => attentively(call).await?,
                Wait::Asleep => call.await?,
            }
            let ended = Instant::now();
            times.push(nanoseconds(ended - now));
            now = ended;
        }
        Ok(times)
    }
}

/// What was measured of one way with so many callers.
#[derive(Default)]
struct Measured {
    series: Series,
    calls: usize,
    client_cpu: Duration,
    server_cpu: Duration,
}

type Key = (&'static str, usize, Way);

/// Measures in rounds until there is no time for another.
pub(crate) fn measure(bench: &mut Bench, until: Instant) -> anyhow::Result<Vec<report::Throughput>> {
    let mut callers: BTreeMap<Way, Vec<Caller>> = BTreeMap::new();
    for way in Way::ALL {
        bench.progress.say(&format!("making containers: {}", way.name()));
        let made = by_way(way, make_callers(bench, way))?;
        callers.insert(way, made);
    }
    let blocks = u32::try_from(WITH_MANY.len() * CALLERS.len() * callers.len()).unwrap_or(u32::MAX);
    let length =
        (until.saturating_duration_since(Instant::now()) / (blocks * ROUNDS)).clamp(SHORTEST, LONGEST);
    let mut measured = BTreeMap::new();
    let mut longest = Duration::ZERO;
    for round in 1.. {
        let began = Instant::now();
        // The first round is measured even when it is late.
        if round > 1 && began + longest > until {
            break;
        }
        for step in WITH_MANY {
            for count in CALLERS {
                bench.progress.say(&format!("{} with {count} callers: round {round}", step.name()));
                for (way, callers) in &mut callers {
                    let into = measured.entry((step.name(), count, *way)).or_default();
                    by_way(*way, block(bench, *way, callers, count, step, length, into))?;
                }
            }
        }
        longest = longest.max(began.elapsed());
    }
    some(rows(&measured))
}

/// As many callers as ever call at once, each with a container that is there.
fn make_callers(bench: &Bench, way: Way) -> anyhow::Result<Vec<Caller>> {
    let most = CALLERS.into_iter().max().unwrap_or(0);
    let first = bench.client(way)?;
    let caller = |number| {
        let mut client = first.another().map_or_else(|| bench.client(way), Ok)?;
        let requests = Requests::of(number)?;
        bench.time(&mut client, &[Step::Register], &requests)?;
        Ok(Caller { client, requests })
    };
    (1..=most).map(caller).collect()
}

/// One turn of a way.
fn block(
    bench: &mut Bench,
    way: Way,
    callers: &mut Vec<Caller>,
    count: usize,
    step: Step,
    length: Duration,
    into: &mut Measured,
) -> anyhow::Result<()> {
    let server_cpu = |bench: &mut Bench| {
        let used = bench.servers.get_mut(&way).map(Server::usage).transpose();
        used.map(|used| used.map_or(Duration::ZERO, |used| used.cpu))
    };
    let of_server = server_cpu(bench)?;
    let (of_client, began) = (cpu(), Instant::now());
    let times = bench.runtime.block_on(at_once(callers, count, step, began + length))?;
    let (took, of_client) = (began.elapsed(), cpu().saturating_sub(of_client));
    into.server_cpu += server_cpu(bench)?.saturating_sub(of_server);
    into.client_cpu += of_client;
    into.calls += times.len();
    let calls_per_second = times.len() as f64 / took.as_secs_f64();
    into.series.add(times, calls_per_second);
    Ok(())
}

/// Lets some of the callers call until it is time; how long each call took.
async fn at_once(
    callers: &mut Vec<Caller>,
    count: usize,
    step: Step,
    until: Instant,
) -> anyhow::Result<Vec<u32>> {
    if let [only, ..] = &mut callers[..]
        && count == 1
    {
        return only.call(step, until, MOST, Wait::Attentively).await;
    }
    let mut tasks = JoinSet::new();
    for mut caller in callers.drain(..count.min(callers.len())) {
        tasks.spawn(async move {
            let times = caller.call(step, until, MOST / count, Wait::Asleep).await;
            (caller, times)
        });
    }
    let mut all = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let (caller, times) = ended?;
        callers.push(caller);
        all.extend(times?);
    }
    Ok(all)
}

fn rows(measured: &BTreeMap<Key, Measured>) -> Vec<report::Throughput> {
    let row = |(&(call, callers, way), of_way): (&Key, &Measured)| {
        let per_call = |cpu: Duration| rounded(cpu.as_nanos() as f64 / of_way.calls.max(1) as f64);
        report::Throughput {
            call,
            callers,
            way,
            calls_per_second: rounded(of_way.series.figure()),
            ratio_to_floor: measured
                .get(&(call, callers, Way::FLOOR))
                .map_or(0.0, |floor| rounded(of_way.series.ratio_to(&floor.series))),
            times: of_way.series.percentiles(),
            client_cpu_ns: per_call(of_way.client_cpu),
            server_cpu_ns: way.has_server().then(|| per_call(of_way.server_cpu)),
        }
    };
    measured.iter().map(row).collect()
}
