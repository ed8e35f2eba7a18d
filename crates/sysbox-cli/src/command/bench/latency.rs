//! How long a call takes when there is one caller.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    Bench, Way, by_way,
    client::Client,
    placement::Placement,
    report,
    samples::{Series, nanoseconds, rounded},
    some,
    step::{Requests, SCRIPTS, Script},
};

type Key = (Placement, &'static str, Way);

/// Measures in rounds until there is no time for another.
pub(crate) fn measure(bench: &mut Bench, until: Instant) -> anyhow::Result<Vec<report::Latency>> {
    let requests = Requests::of(0)?;
    let clients = Way::ALL.into_iter().map(|way| Ok((way, bench.client(way)?)));
    let mut clients: BTreeMap<Way, Client> = clients.collect::<anyhow::Result<_>>()?;
    let mut series = BTreeMap::new();
    let mut longest = Duration::ZERO;
    // The first round is measured even when it is late.
    for round in 1.. {
        let began = Instant::now();
        if round > 1 && began + longest > until {
            break;
        }
        for &placement in bench.cores.placements() {
            bench.progress.say(&format!("one call at a time, {}: round {round}", placement.meaning()));
            bench.cores.place(placement, bench.servers.values())?;
            for script in &SCRIPTS {
                for (way, client) in in_order(&mut clients) {
                    let blocks = by_way(way, block(bench, client, script, &requests))?;
                    for (call, times) in blocks {
                        let series: &mut Series = series.entry((placement, call, way)).or_default();
                        series.add_times(times);
                    }
                }
            }
        }
        longest = longest.max(began.elapsed());
    }
    some(rows(&series))
}

/// By their place in [`Way::ALL`].
fn in_order(clients: &mut BTreeMap<Way, Client>) -> impl Iterator<Item = (Way, &mut Client)> {
    clients.iter_mut().map(|(way, client)| (*way, client))
}

/// What one way takes for what a script times, some times each.
fn block(
    bench: &Bench,
    client: &mut Client,
    script: &Script,
    requests: &Requests,
) -> anyhow::Result<Vec<(&'static str, Vec<u32>)>> {
    let mut times: Vec<_> = script.timed.iter().map(|timed| (timed.name, Vec::new())).collect();
    bench.time(client, script.before, requests)?;
    for repeat in 0..script.repeats {
        for (timed, (_, times)) in script.timed.iter().zip(&mut times) {
            let time = bench.time(client, timed.steps, requests)?;
            // The first time the caches are full of another way's data.
            if repeat > 0 {
                times.push(nanoseconds(time));
            }
        }
    }
    bench.time(client, script.after, requests)?;
    Ok(times)
}

fn rows(series: &BTreeMap<Key, Series>) -> Vec<report::Latency> {
    let row = |(&(placement, call, way), of_way): (&Key, &Series)| report::Latency {
        placement,
        call,
        way,
        times: of_way.percentiles(),
        ratio_to_floor: series
            .get(&(placement, call, Way::FLOOR))
            .map_or(0.0, |floor| rounded(of_way.ratio_to(floor))),
    };
    series.iter().map(row).collect()
}
