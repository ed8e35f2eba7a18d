//! What a daemon needs that keeps its connection: memory with 10,000 containers, and what 200,000 calls leave behind.
//!
//! `cargo bench -p sysbox-embedded --bench daemon`. It is a program of its own, for it looks at its own memory.
#![expect(clippy::expect_used, reason = "a bench that cannot go on has nothing to report")]
#![expect(clippy::print_stdout, reason = "a bench reports on its standard output")]

#[path = "shared/calls.rs"]
#[expect(dead_code, reason = "the other bench uses the rest")]
mod calls;

use std::{
    env, fs,
    path::Path,
    time::{Duration, Instant},
};

use sysbox_embedded::{Connections, EmbeddedMgr};

use calls::{id, open, remove, start, unregister};

/// A life is so many calls.
const CALLS_OF_LIFE: usize = 5;

fn main() {
    // `cargo test` runs benches too, to see that they still work.
    let (containers, calls) =
        if env::args().any(|arg| arg == "--bench") { (10_000, 200_000) } else { (10, 50) };
    let root = tempfile::tempdir().expect("a directory");
    println!("before: {}", own_state());
    let mgr = open(root.path(), Connections::Kept);
    let begun = Instant::now();
    for n in 0..containers {
        start(&mgr, &id(&format!("c{n}")));
    }
    let took = begun.elapsed();
    println!("{containers} containers with ids registered in {took:.1?}: {}", own_state());
    let begun = Instant::now();
    let listed = mgr.list().expect("readable").len();
    println!("{listed} containers listed in {:.1?}: {}", begun.elapsed(), own_state());
    for _ in 0..4 {
        let lives = calls / CALLS_OF_LIFE / 4;
        let begun = Instant::now();
        let (slowest, longest_log) = live(&mgr, lives, root.path());
        let (calls, took) = (lives * CALLS_OF_LIFE, begun.elapsed());
        println!(
            "{calls} calls in {took:.1?}, slowest life {slowest:.1?}, log at most {} KiB: {}",
            longest_log / 1024,
            own_state()
        );
    }
}

/// The longest life, and the longest that the log was.
fn live(mgr: &EmbeddedMgr, lives: usize, root: &Path) -> (Duration, u64) {
    let id = id("bench");
    let (mut slowest, mut longest_log) = (Duration::ZERO, 0);
    for _ in 0..lives {
        let begun = Instant::now();
        start(mgr, &id);
        unregister(mgr, &id);
        remove(mgr, &id);
        slowest = slowest.max(begun.elapsed());
        longest_log = longest_log.max(fs::metadata(root.join("state.db-wal")).expect("there").len());
    }
    (slowest, longest_log)
}

fn own_state() -> String {
    let status = fs::read_to_string("/proc/self/status").expect("proc is mounted");
    let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map_or("", str::trim);
    let open = fs::read_dir("/proc/self/fd").expect("proc is mounted").count();
    format!("RSS {}, at most {}, {open} descriptors", value("VmRSS:"), value("VmHWM:"))
}
