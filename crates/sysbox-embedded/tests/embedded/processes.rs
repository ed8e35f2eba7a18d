//! Several processes on one data root. Each is this test again, told by its environment to do the work of one.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use pollster::block_on;
use sysbox_core::MgrPort;
use sysbox_embedded::EmbeddedMgr;

use crate::{
    host::host,
    manager::{Place, SIZE, alloc, config, id, register, remove, running, start, stop},
};

const PLACE: &str = "SYSBOX_TEST_PLACE";
const NAME: &str = "SYSBOX_TEST_NAME";
/// Before what a worker tells, for the test harness writes to the same stream.
const TELLS: &str = "worker: ";

/// A process that does the work of `test`; it is killed when this goes.
struct Worker(Child);

impl Worker {
    fn spawn(test: &str, place: &Path, name: &str) -> Self {
        let program = env::current_exe().expect("this test");
        let child = Command::new(program)
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(PLACE, place)
            .env(NAME, name)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        Self(child.expect("spawned"))
    }

    /// What it tells, line by line.
    fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        let output = BufReader::new(self.0.stdout.take().expect("piped, and taken once"));
        let told = |line: String| line.split_once(TELLS).map(|(_, told)| told.to_owned());
        output.lines().map_while(Result::ok).filter_map(told)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The place and the name of the container, if this process is a worker.
fn work() -> Option<(PathBuf, String)> {
    Some((env::var_os(PLACE)?.into(), env::var(NAME).expect("set with the place")))
}

fn open(place: PathBuf) -> EmbeddedMgr {
    EmbeddedMgr::open(config(place), host()).expect("a usable data root")
}

fn tell(line: &str) {
    // Not println!, which the harness may keep back.
    let mut output = std::io::stdout().lock();
    writeln!(output, "{TELLS}{line}").and_then(|()| output.flush()).expect("the parent listens");
}

#[test]
fn of_64_processes_at_once_on_a_new_data_root_no_two_get_the_same_ids() {
    if let Some((place, name)) = work() {
        tell(&start(&open(place), &name).to_string());
        return;
    }
    let place = Place::with_slots(64);
    let test = "processes::of_64_processes_at_once_on_a_new_data_root_no_two_get_the_same_ids";
    let mut workers: Vec<_> =
        (0..64).map(|n| Worker::spawn(test, &place.path(""), &format!("c{n}"))).collect();
    let told = workers.iter_mut().filter_map(|worker| worker.lines().last());
    let given: BTreeSet<u32> = told.map(|first| first.parse().expect("an id")).collect();
    assert_eq!(given, (1..=64).map(|slot| slot * SIZE).collect());
}

#[test]
fn a_process_killed_at_any_moment_leaves_the_database_usable_and_no_call_half_done() {
    if let Some((place, name)) = work() {
        live_for_ever(&open(place), &name);
    }
    let place = Place::with_slots(4);
    let test = "processes::a_process_killed_at_any_moment_leaves_the_database_usable_and_no_call_half_done";
    for round in 0..24 {
        let mut worker = Worker::spawn(test, &place.path(""), "victim");
        let mut told = worker.lines();
        assert!(told.nth(round).is_some(), "the worker works");
        // It goes on meanwhile: each round kills it in or near another call.
        drop(worker);
        let mgr = place.open();
        start(&mgr, "after");
        stop(&mgr, "after");
        remove(&mgr, "after");
        let known = mgr.list().expect("readable");
        let used = mgr.subid_pools().expect("readable");
        let with_ids = known.iter().filter(|record| record.uids.is_some()).count();
        assert_eq!((used.uids.used, used.gids.used), (with_ids as u64, with_ids as u64), "{known:?}");
    }
}

/// Lives of one container, whatever an earlier worker left of it. Each call is told before it is made.
fn live_for_ever(mgr: &EmbeddedMgr, name: &str) -> ! {
    loop {
        tell("stops what is left");
        let _ = block_on(mgr.unregister(&id(name)));
        tell("removes it");
        let _ = block_on(mgr.remove(&id(name)));
        tell("registers");
        register(mgr, name).expect("a new container");
        tell("asks for ids");
        let (first, _) = alloc(mgr, name, SIZE).expect("enough ids");
        tell("updates");
        block_on(mgr.update(&running(name, first))).expect("registered");
    }
}

#[test]
fn nothing_is_left_open_between_calls_and_no_thread_is_started() {
    let test = "processes::nothing_is_left_open_between_calls_and_no_thread_is_started";
    if let Some((place, _)) = work() {
        let before = own_state();
        let mgr = open(place);
        let mut after = vec![("open", own_state())];
        register(&mgr, "c").expect("a new container");
        after.push(("register", own_state()));
        let (first, _) = alloc(&mgr, "c", SIZE).expect("enough ids");
        after.push(("alloc_subids", own_state()));
        block_on(mgr.update(&running("c", first))).expect("registered");
        after.push(("update", own_state()));
        stop(&mgr, "c");
        remove(&mgr, "c");
        mgr.list().expect("readable");
        after.push(("unregister, remove and list", own_state()));
        after.iter().filter(|(_, state)| *state != before).for_each(|(call, _)| tell(call));
        tell("done");
        return;
    }
    let place = Place::with_slots(1);
    let told: Vec<_> = Worker::spawn(test, &place.path(""), "c").lines().collect();
    assert_eq!(told, ["done"]);
}

/// The threads and the open files of this process. Only alone in a process do they stay as they are.
fn own_state() -> (usize, Vec<PathBuf>) {
    let entries = |path: &str| fs::read_dir(path).expect("proc is mounted").flatten();
    let files = entries("/proc/self/fd").filter_map(|fd| fs::read_link(fd.path()).ok());
    (entries("/proc/self/task").count(), files.filter(|file| !file.starts_with("/proc")).collect())
}
