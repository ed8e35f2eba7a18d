//! The processes of the host, found by what their `/proc` directory says.

use std::{
    fs,
    ops::Range,
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::{bundle::uid_map, running::wait_readable};

/// How long a process that nobody waits for gets to end by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// The processes that use ids of `ids`, or that were started with `word` on their command line.
pub(crate) fn processes_of(ids: &Range<u32>, word: &str) -> Vec<Pid> {
    let names = fs::read_dir("/proc").expect("/proc is mounted");
    let pids = names.filter_map(|name| name.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(Pid::from_raw).filter(|pid| uses(*pid, ids, word)).collect()
}

/// A process that ends meanwhile, or has ended and only waits to be reaped, uses nothing.
fn uses(pid: Pid, ids: &Range<u32>, word: &str) -> bool {
    let dir = format!("/proc/{}", pid.as_raw_nonzero());
    let read = |name: &str| fs::read(Path::new(&dir).join(name)).unwrap_or_default();
    let status = String::from_utf8_lossy(&read("status")).into_owned();
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
    };
    if field("State:").starts_with('Z') || pid == rustix::process::getpid() {
        return false;
    }
    let users = [field("Uid:"), field("Gid:")].join(" ");
    let map = uid_map(&String::from_utf8_lossy(&read("uid_map")));
    users.split_whitespace().filter_map(|id| id.parse().ok()).any(|id: u32| ids.contains(&id))
        || map.is_some_and(|[_, outside, _]| ids.contains(&outside))
        || String::from_utf8_lossy(&read("cmdline")).contains(word)
}

/// A line about each of these processes that does not end by itself soon.
pub(crate) fn that_stay(pids: Vec<Pid>) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    let stays =
        |pid: &Pid| pidfd_open(*pid, PidfdFlags::empty()).is_ok_and(|pidfd| !wait_readable(&pidfd, deadline));
    let described = |pid: Pid| {
        let name = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        format!("process {}", name.unwrap_or_default().trim())
    };
    pids.into_iter().filter(stays).map(described).collect()
}

/// Ends processes, and waits until they have ended.
pub(crate) fn end(pids: Vec<Pid>) {
    for pid in &pids {
        // One that has ended meanwhile needs no signal.
        let _ = kill_process(*pid, Signal::KILL);
    }
    that_stay(pids);
}
