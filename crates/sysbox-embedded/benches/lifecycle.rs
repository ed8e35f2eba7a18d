//! What the manager's share of a container's life takes, with 10 and with 10,000 containers registered before, on a
//! connection per call and on one that is kept.
//!
//! `cargo bench -p sysbox-embedded --bench lifecycle`; the last lines are medians side by side.
#![expect(clippy::expect_used, reason = "a bench that cannot go on has nothing to report")]

#[path = "shared/calls.rs"]
mod calls;

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::Criterion;
use sysbox_embedded::{Connections, EmbeddedMgr};

use calls::{Fixture, alloc, id, register, remove, start, unregister, update};

const KINDS: [Connections; 2] = [Connections::PerCall, Connections::Kept];

/// What [`times`] takes the time of.
const CALLS: [&str; 6] = ["register", "alloc", "alloc again", "update", "unregister", "remove"];

fn main() {
    let fixtures = [10, 10_000].map(Fixture::with);
    let mut criterion = Criterion::default().configure_from_args().measurement_time(Duration::from_secs(5));
    for fixture in &fixtures {
        for kind in KINDS {
            let name = |what: &str| format!("{what}, {kind:?}, {} registered", fixture.registered);
            criterion.bench_function(&name("life"), |bench| bench.iter(|| life(fixture, kind)));
            let mgr = fixture.open(kind);
            for (call, what) in CALLS.iter().enumerate().take(2) {
                criterion.bench_function(&name(what), |bench| {
                    bench.iter_custom(|rounds| (0..rounds).map(|_| times(&mgr)[call]).sum());
                });
            }
        }
    }
    criterion.final_summary();
    medians(&fixtures);
}

/// Medians of calls that take turns, so that a slow second of the machine meets all.
#[expect(clippy::print_stdout, reason = "a bench reports on its standard output")]
fn medians(fixtures: &[Fixture; 2]) {
    for fixture in fixtures {
        let managers = KINDS.map(|kind| fixture.open(kind));
        let mut taken = KINDS.map(|_| CALLS.map(|_| Vec::new()));
        for _ in 0..1001 {
            for (mgr, taken) in managers.iter().zip(&mut taken) {
                taken.iter_mut().zip(times(mgr)).for_each(|(taken, time)| taken.push(time));
            }
        }
        let [per_call, kept] = taken.map(|taken| taken.map(median));
        for ((call, per_call), kept) in CALLS.iter().zip(per_call).zip(kept) {
            let ratio = per_call.as_secs_f64() / kept.as_secs_f64();
            println!(
                "{call}, {} registered: p50 {per_call:.0?} per call, {kept:.0?} kept, ratio {ratio:.1}",
                fixture.registered
            );
        }
        let lives = KINDS.map(|kind| median((0..301).map(|_| timed(|| life(fixture, kind))).collect()));
        println!(
            "life, {} registered: p50 {:.0?} per call, {:.0?} kept",
            fixture.registered, lives[0], lives[1]
        );
    }
}

/// Everything that a container asks of the manager, from opening the data root on.
fn life(fixture: &Fixture, kind: Connections) {
    let mgr = fixture.open(kind);
    let id = id("bench");
    start(&mgr, &id);
    unregister(&mgr, &id);
    remove(&mgr, &id);
}

/// How long each of [`CALLS`] took for one container.
fn times(mgr: &EmbeddedMgr) -> [Duration; CALLS.len()] {
    let id = id("bench");
    let register = timed(|| register(mgr, &id));
    let alloc_new = timed(|| _ = black_box(alloc(mgr, &id)));
    let range = alloc(mgr, &id);
    let alloc_again = timed(|| _ = black_box(alloc(mgr, &id)));
    let update = timed(|| update(mgr, &id, range));
    let unregister = timed(|| unregister(mgr, &id));
    [register, alloc_new, alloc_again, update, unregister, timed(|| remove(mgr, &id))]
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort_unstable();
    durations[durations.len() / 2]
}
