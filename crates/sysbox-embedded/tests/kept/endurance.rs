//! Thousands of calls on one handle. The bench `daemon` makes 200,000 of them.

use std::{fs, path::Path};

use sysbox_embedded::EmbeddedMgr;

use crate::{
    manager::{Place, remove, start, stop},
    worker::{Worker, open, own_state, tell, work},
};

#[test]
fn thousands_of_calls_leave_descriptors_and_memory_as_they_were_and_the_log_short() {
    if let Some((place, _)) = work() {
        let log = place.join("data/state.db-wal");
        let mgr = open(place);
        live(&mgr, 1000, &log);
        let (state, memory) = (own_state(), resident_kib());
        let longest = live(&mgr, 5000, &log);
        let (later_state, later_memory) = (own_state(), resident_kib());
        assert_eq!(later_state, state);
        assert!(later_memory < memory + 1024, "{memory} KiB have become {later_memory}");
        assert!(longest < 5 << 20, "the log had {longest} bytes");
        tell("done");
        return;
    }
    let place = Place::with_slots(1);
    let test = "endurance::thousands_of_calls_leave_descriptors_and_memory_as_they_were_and_the_log_short";
    let told: Vec<_> = Worker::spawn(test, &place.path(""), "c").lines().collect();
    assert_eq!(told, ["done"]);
}

/// Makes that many calls, and tells how long the log was at most.
fn live(mgr: &EmbeddedMgr, calls: usize, log: &Path) -> u64 {
    let lives = (0..calls / 5).map(|_| {
        start(mgr, "c");
        stop(mgr, "c");
        remove(mgr, "c");
        fs::metadata(log).expect("there").len()
    });
    lives.max().expect("some")
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
