//! `sysbox bench`: what it reports is what docs/bench.md says, and it leaves nothing. Needs no root.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fd::OwnedFd,
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};
use serde_json::Value;
use sysbox_tests::{Running, binary, finish};
use tempfile::TempDir;

/// How many processes it starts: one for each way over a socket.
const SERVERS: usize = 4;

/// A short run, with a directory for its temporary files that is to be empty afterwards.
fn bench(temporary: &Path) -> Command {
    lasting(temporary, "2")
}

fn lasting(temporary: &Path, seconds: &str) -> Command {
    let mut command = Command::new(binary());
    command.args(["bench", "--seconds", seconds]).env("TMPDIR", temporary);
    command
}

fn dir() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn assert_empty(dir: &Path) {
    let left: Vec<PathBuf> =
        fs::read_dir(dir).expect("it is there").map(|entry| entry.expect("readable").path()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn the_fields_of_the_json_are_those_that_are_documented() {
    let temporary = dir();
    let text = finish(bench(temporary.path()).arg("--json")).success();
    assert_empty(temporary.path());
    let report: Value = serde_json::from_str(&text).expect("one JSON text and nothing else");
    let mut found = BTreeSet::new();
    fields("", &report, &mut found);
    assert_eq!(found, documented());
    assert_eq!(report["format"], 1);
    every_way_is_measured_for_every_call(&report);
    figures_are_of_calls_that_were_made(&report);
}

/// Adds the paths of all values that are neither list nor object.
fn fields(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let dot = if path.is_empty() { "" } else { "." };
                fields(&format!("{path}{dot}{name}"), value, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| fields(&format!("{path}[]"), value, found)),
        _ => {
            found.insert(path.to_owned());
        }
    }
}

/// The fields of the table in docs/bench.md.
fn documented() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/bench.md");
    let text = fs::read_to_string(path).expect("the document is there");
    text.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect()
}

fn texts<'a>(report: &'a Value, list: &str, field: &str) -> BTreeSet<&'a str> {
    let rows = report[list].as_array().expect("a list");
    rows.iter().map(|row| row[field].as_str().expect("a text")).collect()
}

fn every_way_is_measured_for_every_call(report: &Value) {
    let (ways, placements) = (texts(report, "ways", "name"), texts(report, "placements", "name"));
    assert!(ways.contains("ping-pong") && ways.contains("tarpc"), "{ways:?}");
    assert_eq!(report["servers"].as_array().map(Vec::len), Some(SERVERS));
    let calls = texts(report, "calls", "call");
    for list in ["calls", "latency", "throughput"] {
        assert_eq!(texts(report, list, "way"), ways, "{list}");
    }
    assert_eq!(texts(report, "latency", "call"), calls);
    assert_eq!(texts(report, "latency", "placement"), placements);
    let rows = |list: &str| report[list].as_array().expect("a list").len();
    // 14 calls of the manager, one of them also with many mounts, 5 of the fs daemon, and a life.
    assert_eq!(calls.len(), 14 + 1 + 5 + 1);
    assert_eq!(rows("calls"), calls.len() * ways.len());
    assert_eq!(rows("latency"), calls.len() * ways.len() * placements.len());
    assert_eq!(rows("throughput"), 3 * 3 * ways.len());
}

fn figures_are_of_calls_that_were_made(report: &Value) {
    for list in ["latency", "throughput"] {
        for row in report[list].as_array().expect("a list") {
            let [samples, p50, p90, p99] =
                ["samples", "p50_ns", "p90_ns", "p99_ns"].map(|field| row[field].as_u64().expect("a number"));
            assert!(samples > 0 && 0 < p50 && p50 <= p90 && p90 <= p99, "{row}");
            let ratio = row["ratio_to_floor"].as_f64().expect("a number");
            assert!(ratio > 0.0, "{row}");
            assert!(row["way"] != "ping-pong" || ratio == 1.0, "the floor is its own floor: {row}");
        }
    }
    for row in report["calls"].as_array().expect("a list") {
        let is_remote = row["way"] != "in-process";
        assert_eq!(row["request_bytes"].as_f64().is_some_and(|bytes| bytes > 0.0), is_remote, "{row}");
    }
}

#[test]
fn the_page_needs_nothing_else_and_runs_nothing() {
    let (temporary, place) = (dir(), dir());
    let page = place.path().join("report.html");
    fs::write(&page, "an earlier one").expect("written");
    let table = finish(bench(temporary.path()).arg("--html").arg(&page)).success();
    assert!(table.contains("mgr.alloc_subids"), "{table}");
    let page = fs::read_to_string(page).expect("it was made");
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    let count = |text: &str| page.matches(text).count();
    assert!(count("<svg") > 0, "there are charts");
    assert_eq!(count("<svg"), count("<svg role=\"img\" aria-label=\""), "each says what it is");
    assert_eq!((count("<th>"), count("<caption></caption>")), (0, 0), "tables say what is in them");
    for foreign in ["<script", "<link", "<img", "src=", "href=", "url(", "@import"] {
        assert!(!page.contains(foreign), "{foreign} in the page");
    }
    assert_eq!(fs::read_dir(place.path()).expect("readable").count(), 1, "only the page is there");
}

#[test]
fn a_page_that_cannot_be_made_is_refused_by_its_path_before_anything_is_measured() {
    let (temporary, place) = (dir(), dir());
    let path = place.path().display().to_string();
    finish(bench(temporary.path()).args(["--html", &path])).failure(1, &[&path, "no file"]);
    let inside = place.path().join("missing/report.html").display().to_string();
    finish(bench(temporary.path()).args(["--html", &inside])).failure(1, &[&inside, "directory"]);
    // Nobody can make a file there, root neither.
    let unwritable = "/proc/report.html";
    finish(lasting(temporary.path(), "600").args(["--html", unwritable]))
        .failure(1, &[unwritable, "written to"]);
    assert_empty(temporary.path());
}

#[test]
fn a_directory_for_temporary_files_that_is_too_deep_for_sockets_is_told_by_its_variable() {
    let outer = dir();
    let fits = outer.path().join("x".repeat(70 - outer.path().as_os_str().len() - 1));
    let deep = outer.path().join("y".repeat(120));
    for dir in [&fits, &deep] {
        fs::create_dir(dir).expect("made");
    }
    finish(&mut lasting(&deep, "1")).failure(1, &["TMPDIR", "107 bytes"]);
    let mut running = Running::start(&mut lasting(&fits, "600"));
    let servers = servers(&mut running);
    running.signal(Signal::TERM);
    for (_, server) in &servers {
        wait_for_end(server);
    }
    drop(running);
    assert_empty(&fits);
    assert_empty(&deep);
}

#[test]
fn ended_by_a_signal_it_leaves_no_server_and_no_socket() {
    let temporary = dir();
    let mut running = Running::start(&mut lasting(temporary.path(), "600"));
    let servers = servers(&mut running);
    // SIGINT does the same, but who starts this test in the background may have it ignored.
    running.signal(Signal::TERM);
    for (_, server) in &servers {
        wait_for_end(server);
    }
    drop(running);
    assert_empty(temporary.path());
}

#[test]
fn a_server_that_is_killed_is_named() {
    let temporary = dir();
    let mut running = Running::start(&mut lasting(temporary.path(), "600"));
    let (server, _) = servers(&mut running).remove(0);
    kill_process(server, Signal::KILL).expect("it runs");
    running.end().failure(1, &["the server of", "signal: 9"]);
    assert_empty(temporary.path());
}

/// The servers of a running bench, once all of them answer.
fn servers(bench: &mut Running) -> Vec<(Pid, OwnedFd)> {
    let path = format!("/proc/{0}/task/{0}/children", bench.pid().as_raw_nonzero());
    loop {
        assert!(bench.is_running(), "it has ended");
        let children = fs::read_to_string(&path).expect("it runs");
        let children: Vec<i32> = children.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect();
        if children.len() == SERVERS {
            let child = |raw| {
                let pid = Pid::from_raw(raw).expect("not 0");
                (pid, pidfd_open(pid, PidfdFlags::empty()).expect("it runs"))
            };
            return children.into_iter().map(child).collect();
        }
        std::thread::yield_now();
    }
}

fn wait_for_end(process: &OwnedFd) {
    let patience = sysbox_tests::PATIENCE.try_into().expect("a minute");
    let ended = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&patience)).expect("polled");
    assert_eq!(ended, 1, "a server is still there");
}
