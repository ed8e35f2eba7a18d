//! What each call takes that does not depend on how fast the machine is: bytes on the wire, and allocations of both ends.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Bench, Way, by_way,
    client::{Client, LengthsOf, Sockets},
    dir_of,
    ping::Lengths,
    report,
    samples::rounded,
    server::Server,
    step::{Requests, SCRIPTS, Step, Timed},
    usage::{Usage, allocations},
};

/// How often each call is made to be counted.
const TIMES: u32 = 20;

/// What was counted of some calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    request_bytes: u64,
    reply_bytes: u64,
    client_allocations: u64,
    server_allocations: u64,
    /// How often the server was asked for these.
    questions: u64,
}

/// By call and way.
pub(crate) type Counted = BTreeMap<(&'static str, Way), Counts>;

/// Counts all ways but the floor, whose lengths follow from it.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<Counted> {
    let mut counted = Counted::new();
    for way in Way::ALL.into_iter().filter(|way| *way != Way::FLOOR) {
        bench.progress.say(&format!("counting bytes and allocations: {}", way.name()));
        let outcome = of_way(bench, way, &mut counted);
        by_way(way, outcome)?;
    }
    Ok(counted)
}

/// Adds the floor.
pub(crate) fn with_floor(bench: &mut Bench, mut counted: Counted) -> anyhow::Result<Counted> {
    let lengths = bench.lengths.clone();
    by_way(Way::FLOOR, of_way(bench, Way::FLOOR, &mut counted))?;
    for timed in SCRIPTS.iter().flat_map(|script| script.timed) {
        let counts = counted.entry((timed.name, Way::FLOOR)).or_default();
        for length in timed.steps.iter().filter_map(|step| lengths.get(step)) {
            counts.request_bytes += u64::from(length.request) * u64::from(TIMES);
            counts.reply_bytes += u64::from(length.reply) * u64::from(TIMES);
        }
    }
    Ok(counted)
}

/// The shortest messages that any way needs for each call.
pub(crate) fn shortest(counted: &Counted) -> LengthsOf {
    let mut shortest = LengthsOf::new();
    for Timed { name, steps } in SCRIPTS.iter().flat_map(|script| script.timed) {
        let [step] = steps else { continue };
        let of_ways = Way::ALL.into_iter().filter(|way| way.has_server());
        let lengths = of_ways.filter_map(|way| counted.get(&(*name, way))).map(|counts| Lengths {
            request: per_call(counts.request_bytes),
            reply: per_call(counts.reply_bytes),
        });
        if let Some(least) = lengths.min_by_key(|each| u64::from(each.request) + u64::from(each.reply)) {
            shortest.insert(*step, least);
        }
    }
    shortest
}

fn per_call(total: u64) -> u32 {
    u32::try_from((total + u64::from(TIMES) / 2) / u64::from(TIMES)).unwrap_or(u32::MAX)
}

/// The rows of the report.
pub(crate) fn rows(counted: &Counted) -> Vec<report::Call> {
    let per_call = |total: u64| (total as f64 / f64::from(TIMES) * 10.0).round() / 10.0;
    let row = |(&(call, way), counts): (&(&'static str, Way), &Counts)| report::Call {
        call,
        way,
        request_bytes: way.has_server().then(|| rounded(per_call(counts.request_bytes))),
        reply_bytes: way.has_server().then(|| rounded(per_call(counts.reply_bytes))),
        client_allocations: rounded(per_call(counts.client_allocations)),
        server_allocations: way.has_server().then(|| rounded(per_call(counts.server_allocations))),
    };
    counted.iter().map(row).collect()
}

/// Bytes and allocations are counted one after the other: to count bytes costs the server allocations.
fn of_way(bench: &mut Bench, way: Way, counted: &mut Counted) -> anyhow::Result<()> {
    let client = bench.client(way)?;
    let mut server = bench.servers.remove(&way);
    let of_question = server.as_mut().map(allocations_of_a_question).transpose()?;
    let counts = run(bench, server.as_mut(), client);
    let bytes = match &mut server {
        // The floor has no bytes of its own.
        Some(server) if way != Way::FLOOR => {
            let sockets = Sockets::counted(&dir_of(way)?)?;
            let client = bench.runtime.block_on(Client::of_server(way, sockets, &Arc::default()))?;
            run(bench, Some(server), client)
        }
        _ => Ok(BTreeMap::new()),
    };
    // Also where something failed: whether it has ended is asked of it then.
    bench.servers.extend(server.map(|server| (way, server)));
    let bytes = bytes?;
    for (name, mut counts) in counts? {
        if let Some(bytes) = bytes.get(name) {
            (counts.request_bytes, counts.reply_bytes) = (bytes.request_bytes, bytes.reply_bytes);
        }
        let of_questions = counts.questions * of_question.unwrap_or(0);
        counts.server_allocations = counts.server_allocations.saturating_sub(of_questions);
        counted.insert((name, way), counts);
    }
    Ok(())
}

fn allocations_of_a_question(server: &mut Server) -> anyhow::Result<u64> {
    // The first time there are buffers to be made.
    server.usage()?;
    let before = server.usage()?;
    Ok(server.usage()?.allocations.saturating_sub(before.allocations))
}

/// Makes the calls of all scripts, the first time uncounted.
fn run(
    bench: &Bench,
    mut server: Option<&mut Server>,
    mut client: Client,
) -> anyhow::Result<BTreeMap<&'static str, Counts>> {
    let requests = Requests::of(0)?;
    let mut counts: BTreeMap<&'static str, Counts> = BTreeMap::new();
    let mut ask = || server.as_mut().map_or_else(|| Ok(Usage::default()), |server| server.usage());
    for script in &SCRIPTS {
        uncounted(bench, &mut client, script.before, &requests)?;
        for time in 0..=TIMES {
            for timed in script.timed {
                let (before, ours) = (ask()?, allocations());
                bench.time(&mut client, timed.steps, &requests)?;
                let (ours, after) = (allocations() - ours, ask()?);
                if time > 0 {
                    counts.entry(timed.name).or_default().add(&before, &after, ours);
                }
            }
        }
        uncounted(bench, &mut client, script.after, &requests)?;
    }
    Ok(counts)
}

fn uncounted(bench: &Bench, client: &mut Client, steps: &[Step], requests: &Requests) -> anyhow::Result<()> {
    bench.time(client, steps, requests).map(drop)
}

impl Counts {
    fn add(&mut self, before: &Usage, after: &Usage, ours: u64) {
        self.request_bytes += after.received_bytes - before.received_bytes;
        self.reply_bytes += after.sent_bytes - before.sent_bytes;
        self.server_allocations += after.allocations - before.allocations;
        self.client_allocations += ours;
        self.questions += 1;
    }
}
