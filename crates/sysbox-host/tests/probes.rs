//! Probes and user namespaces on the real kernel: what they find, how long they take and that they leave nothing. Needs root.
#![expect(clippy::expect_used, reason = "it is a test")]

use std::{
    fs,
    os::fd::AsFd,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::mount::{MountPropagationFlags, mount_change};
use sysbox_core::{
    AbsPath, HostPort, IdMappings, IdRange,
    host::{Feature, Support},
};
use sysbox_host::{LinuxHost, UserNamespace, mount_namespace};

/// These tests count what the process has, so one runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Waits for the others, and leaves the host's mount namespace, where others mount too.
fn alone() -> impl Drop {
    let turn = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    mount_namespace::enter_private().expect("a mount namespace; these tests need root");
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).expect("private");
    turn
}

fn path(text: &str) -> AbsPath {
    AbsPath::new(text).expect("absolute")
}

fn mappings(first: u32) -> IdMappings {
    IdMappings::single(IdRange::new(first, 65_536).expect("valid")).expect("valid")
}

fn features() -> Vec<Feature> {
    let tmp = AbsPath::new(std::env::temp_dir()).expect("absolute");
    vec![
        Feature::IdMappedMount(tmp.clone()),
        Feature::IdMappedMount(path("/proc")),
        Feature::IdMappedRootfs(tmp),
        Feature::OverlayOnIdMapped,
        Feature::OverlayMetacopy,
        Feature::UserNamespaces,
        Feature::SeccompNotify,
        Feature::Fuse,
        Feature::Shiftfs,
        Feature::AppArmorUserns,
        Feature::AppArmorFusermount3,
    ]
}

/// All that a probe could leave: mounts, descriptors, threads, processes, and a process that is no longer dumpable.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    mounts: String,
    descriptors: usize,
    threads: usize,
    children: Vec<u32>,
    dumpable: String,
}

impl Held {
    fn now() -> Self {
        let count = |dir: &str| fs::read_dir(dir).expect("read").count();
        Self {
            mounts: fs::read_to_string("/proc/thread-self/mountinfo").expect("read"),
            descriptors: count("/proc/self/fd"),
            threads: threads(),
            children: children(),
            dumpable: format!("{:?}", rustix::process::dumpable_behavior()),
        }
    }
}

/// The threads that probes start. Those of the test harness come and go.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("read").filter_map(Result::ok);
    tasks
        .filter(|task| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name == "sysbox-mounts\n")
        })
        .count()
}

fn children() -> Vec<u32> {
    let parent = format!("PPid:\t{}", std::process::id());
    let is_child = |pid: &u32| {
        let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"));
        status.is_ok_and(|status| status.lines().any(|line| line == parent))
    };
    let pids = fs::read_dir("/proc")
        .expect("read")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(is_child).collect()
}

fn time(host: &LinuxHost, feature: &Feature) -> Duration {
    let start = Instant::now();
    host.probe(feature).expect("asked");
    start.elapsed()
}

#[test]
fn every_probe_answers_within_50_ms_and_leaves_nothing_behind() {
    let _alone = alone();
    let host = LinuxHost::new();
    let before = Held::now();
    for feature in features() {
        // The best of three, as another program may have the processors.
        let took = (0..3).map(|_| time(&host, &feature)).min().expect("three");
        println!("{feature}: {took:?}");
        assert!(took < Duration::from_millis(50), "{feature} took {took:?}");
        assert_eq!(Held::now(), before, "{feature}");
    }
}

#[test]
fn this_kernel_has_what_it_was_seen_to_have() {
    let _alone = alone();
    let host = LinuxHost::new();
    let answer = |feature| host.probe(&feature).expect("asked");
    // Without these the other tests that need root could not have run.
    for feature in [
        Feature::UserNamespaces,
        Feature::OverlayOnIdMapped,
        Feature::OverlayMetacopy,
        Feature::SeccompNotify,
    ] {
        assert_eq!(answer(feature.clone()), Support::Yes, "{feature}");
    }
    let Support::No { reason, .. } = answer(Feature::IdMappedMount(path("/proc"))) else {
        panic!("proc is never mapped")
    };
    assert!(reason.contains("proc"), "{reason}");
}

#[test]
fn a_file_system_is_tried_once_and_answers_for_each_path() {
    let _alone = alone();
    let host = LinuxHost::new();
    for probe in ["/proc", "/proc/sys", "/proc"] {
        let Support::No { reason, .. } = host.probe(&Feature::IdMappedMount(path(probe))).expect("asked")
        else {
            panic!("proc is never mapped")
        };
        assert!(reason.starts_with(&format!("{probe} is on proc")), "{reason}");
    }
    assert!(host.probe(&Feature::IdMappedMount(path("/no/such/path"))).is_err());
}

#[test]
fn sixty_four_user_namespaces_can_be_made_at_once_and_no_process_stays() {
    let _alone = alone();
    let before = Held::now();
    let make = |nth: u32| UserNamespace::new(&mappings(65_536 * (nth + 1)), &mappings(65_536)).expect("made");
    let made = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..64).map(|nth| scope.spawn(move || make(nth))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    let inodes: std::collections::HashSet<u64> =
        made.iter().map(|userns| rustix::fs::fstat(userns.as_fd()).expect("asked").st_ino).collect();
    assert_eq!(inodes.len(), 64, "each is another one");
    drop(made);
    assert_eq!(Held::now(), before);
}

#[test]
fn a_user_namespace_is_opened_by_its_path_and_nothing_else_is() {
    let _alone = alone();
    UserNamespace::open(&path("/proc/self/ns/user")).expect("one");
    for other in ["/proc/self/ns/net", "/etc", "/no/such/file"] {
        UserNamespace::open(&path(other)).expect_err(other);
    }
}
