//! What the manager's share of a container's life takes, with 10 and with 10,000 containers registered before.
//!
//! `cargo bench -p sysbox-embedded`; the last lines are the medians and the ratios between the two.
#![expect(clippy::expect_used, reason = "a bench that cannot go on has nothing to report")]

#[path = "../tests/embedded/host.rs"]
mod host;

use std::{
    fs,
    hint::black_box,
    num::NonZeroU32,
    path::Path,
    time::{Duration, Instant},
};

use criterion::Criterion;
use pollster::block_on;
use sysbox_core::{
    AbsPath, ContainerId, IdMappings, IdRange, MgrPort, Registration, ShiftType, SubidRequest, Update,
};
use sysbox_embedded::{Config, EmbeddedMgr};
use tempfile::TempDir;

const SIZE: u32 = 65_536;

struct Fixture {
    root: TempDir,
    registered: u32,
}

impl Fixture {
    /// A data root with that many containers, each with ids of its own.
    fn with(registered: u32) -> Self {
        // Filled in memory and then copied: on a disk that alone would take a minute.
        let memory = tempfile::tempdir_in("/dev/shm").expect("a directory");
        let mgr = open(memory.path());
        (0..registered).for_each(|n| start(&mgr, &id(&format!("c{n}"))));
        let root = tempfile::tempdir().expect("a directory");
        for file in ["state.db", "state.db-wal"] {
            fs::copy(memory.path().join(file), root.path().join(file)).expect("copied");
        }
        Self { root, registered }
    }

    fn open(&self) -> EmbeddedMgr {
        open(self.root.path())
    }
}

fn open(root: &Path) -> EmbeddedMgr {
    let root = AbsPath::new(root).expect("absolute");
    EmbeddedMgr::open(Config::new(root), host::host()).expect("a usable data root")
}

fn main() {
    let fixtures = [10, 10_000].map(Fixture::with);
    let mut criterion = Criterion::default().configure_from_args().measurement_time(Duration::from_secs(5));
    for fixture in &fixtures {
        let name = |what: &str| format!("{what} with {} registered", fixture.registered);
        criterion.bench_function(&name("life"), |bench| bench.iter(|| life(fixture)));
        let mgr = fixture.open();
        criterion.bench_function(&name("register"), |bench| {
            bench.iter_custom(|rounds| (0..rounds).map(|_| times(&mgr)[0]).sum());
        });
        criterion.bench_function(&name("alloc"), |bench| {
            bench.iter_custom(|rounds| (0..rounds).map(|_| times(&mgr)[1]).sum());
        });
    }
    criterion.final_summary();
    ratios(&fixtures);
}

/// Medians of calls that take turns, so that a slow second of the machine meets both.
#[expect(clippy::print_stdout, reason = "a bench reports on its standard output")]
fn ratios(fixtures: &[Fixture; 2]) {
    let managers = fixtures.each_ref().map(Fixture::open);
    for (call, name) in ["register", "alloc"].iter().enumerate() {
        let mut taken = [const { Vec::new() }; 2];
        for _ in 0..1001 {
            for (mgr, taken) in managers.iter().zip(&mut taken) {
                taken.push(times(mgr)[call]);
            }
        }
        let [few, many] = taken.map(median);
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        println!("{name}: p50 {few:?} with 10, {many:?} with 10000 registered, ratio {ratio:.2}");
    }
    let lives =
        fixtures.each_ref().map(|fixture| median((0..301).map(|_| timed(|| life(fixture))).collect()));
    println!("life: p50 {:?} with 10, {:?} with 10000 registered", lives[0], lives[1]);
}

/// Everything that a container asks of the manager, from opening the data root on.
fn life(fixture: &Fixture) {
    let mgr = fixture.open();
    let id = id("bench");
    start(&mgr, &id);
    stop(&mgr, &id);
}

/// How long it took to register a container and to give it ids.
fn times(mgr: &EmbeddedMgr) -> [Duration; 2] {
    let id = id("bench");
    let register = timed(|| register(mgr, &id));
    let alloc = timed(|| _ = black_box(alloc(mgr, &id)));
    stop(mgr, &id);
    [register, alloc]
}

fn start(mgr: &EmbeddedMgr, id: &ContainerId) {
    register(mgr, id);
    let range = alloc(mgr, id);
    let mappings = IdMappings::single(range).expect("a valid range");
    let update = Update {
        id: id.clone(),
        userns: Some(AbsPath::new("/proc/self/ns/user").expect("absolute")),
        netns: Some(AbsPath::new("/proc/self/ns/net").expect("absolute")),
        uid_mappings: mappings.clone(),
        gid_mappings: mappings,
        rootfs_shift: ShiftType::IdMappedMount,
    };
    block_on(mgr.update(&update)).expect("registered");
}

fn register(mgr: &EmbeddedMgr, id: &ContainerId) {
    let registration = Registration {
        id: id.clone(),
        rootfs: AbsPath::new("/srv/rootfs").expect("absolute"),
        userns: None,
        netns: None,
        uid_mappings: IdMappings::default(),
        gid_mappings: IdMappings::default(),
    };
    block_on(mgr.register(&registration)).expect("a new container");
}

fn alloc(mgr: &EmbeddedMgr, id: &ContainerId) -> IdRange {
    let request = SubidRequest { id: id.clone(), size: NonZeroU32::new(SIZE).expect("not 0") };
    let subids = block_on(mgr.alloc_subids(&request)).expect("enough ids");
    IdRange::new(subids.uid.0, SIZE).expect("a valid range")
}

fn stop(mgr: &EmbeddedMgr, id: &ContainerId) {
    block_on(mgr.unregister(id)).expect("registered");
    block_on(mgr.remove(id)).expect("stopped");
}

fn id(text: &str) -> ContainerId {
    text.parse().expect("a valid id")
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
