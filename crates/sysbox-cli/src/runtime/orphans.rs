//! Processes by which libcontainer was making a container when its runtime was killed.
//!
//! They go on: they make the container's cgroup, join it, and wait in it for a runtime that is no more. Until they join nothing
//! but the runtime's private mount namespace, which they are in, tells whose they are.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// What libcontainer calls its processes (`prctl(2)`, PR_SET_NAME), while those of the container have names of their own.
const NAME: &str = "youki:[";

/// How long they get to end after SIGKILL.
const PATIENCE: Duration = Duration::from_secs(10);

/// The mount namespace that this process is in, by the inode that no other has as long as a process is in it.
pub(crate) fn own_mount_namespace() -> anyhow::Result<u64> {
    mount_namespace("self").context("this process is not in /proc; is it mounted?")
}

/// Ends those of a runtime that has ended, and waits until they are gone.
pub(crate) fn end(mount_namespace: u64) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let orphans = orphans_in(mount_namespace);
        if orphans.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("processes {orphans:?} of libcontainer do not end; see what they wait for with ps");
        }
        for pid in orphans.into_iter().filter_map(Pid::from_raw) {
            // One that has ended meanwhile needs no signal.
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Those of a runtime that lives are its children, and so have a parent in the same namespace.
fn orphans_in(namespace: u64) -> Vec<i32> {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = names.filter_map(|name| name.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let is_in = |pid: &str| mount_namespace(pid) == Some(namespace);
        is_in(&pid.to_string()) && parent_of_libcontainers(*pid).is_some_and(|parent| !is_in(&parent))
    })
    .collect()
}

fn mount_namespace(pid: &str) -> Option<u64> {
    fs::metadata(format!("/proc/{pid}/ns/mnt")).ok().map(|namespace| namespace.ino())
}

/// The parent of a process, if that is one of libcontainer's and has not ended (`proc_pid_stat(5)`).
fn parent_of_libcontainers(pid: i32) -> Option<String> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(stat: &str) -> Option<String> {
    let (start, rest) = stat.rsplit_once(") ")?;
    let (_, name) = start.split_once(" (")?;
    let mut fields = rest.split(' ');
    let has_ended = matches!(fields.next()?, "Z" | "X");
    (name.starts_with(NAME) && !has_ended).then_some(fields.next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_processes_of_libcontainer_that_live_have_a_parent_here() {
        assert_eq!(parse("7 (youki:[1:INTER]) S 1 720 0").as_deref(), Some("1"));
        assert_eq!(parse("7 (youki:[1:INTER]) Z 1 720 0"), None);
        assert_eq!(parse("7 (sysbox) S 1 720 0"), None);
        assert_eq!(parse("7 (a) (youki:[) S 1 720 0"), None);
        assert_eq!(parse("7 (youki:["), None);
    }

    #[test]
    fn nothing_of_this_process_is_an_orphan() {
        let namespace = own_mount_namespace().expect("procfs");
        assert!(!orphans_in(namespace).contains(&std::process::id().cast_signed()));
    }
}
