//! A process may fork between any two calls of the blocking API: no thread of ours is alive, no signal handler of ours is
//! set, and no descriptor of ours stays open over exec.
#![expect(clippy::expect_used, reason = "a test")]

use std::{collections::BTreeMap, fs, num::NonZeroU32, sync::Arc};

use sysbox::{
    AbsPath, Backend, BackendOptions, BackendUrl, IdMappings, IdRange, ShiftType, Sysbox, blocking::wait,
    linux::LinuxHost,
};

/// Descriptors of this process, with what each is open on.
fn descriptors() -> BTreeMap<i32, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/fd").expect("procfs") {
        let entry = entry.expect("procfs");
        let number = entry.file_name().to_str().expect("a number").parse().expect("a number");
        // The directory that is being listed is gone by now.
        if let Ok(target) = fs::read_link(entry.path()) {
            found.insert(number, target.display().to_string());
        }
    }
    found
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").expect("procfs").count()
}

/// The sets of caught and blocked signals, as the kernel shows them.
fn signal_masks() -> Vec<String> {
    let status = fs::read_to_string("/proc/thread-self/status").expect("procfs");
    status
        .lines()
        .filter(|line| line.starts_with("Sig"))
        .filter(|line| !line.starts_with("SigQ"))
        .map(str::to_owned)
        .collect()
}

/// Runs a call and checks what it left behind.
fn leaves_nothing<T>(what: &str, call: impl FnOnce() -> T) -> T {
    let before = (threads(), descriptors(), signal_masks());
    let outcome = call();
    assert_eq!(threads(), before.0, "threads after {what}");
    assert_eq!(signal_masks(), before.2, "signals after {what}");
    for (number, target) in descriptors() {
        if before.1.contains_key(&number) {
            continue;
        }
        // The octal flags of open(2), among them O_CLOEXEC (proc_pid_fdinfo(5)).
        let flags = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let cloexec = flags.lines().any(|line| {
            line.strip_prefix("flags:").is_some_and(|octal| {
                u32::from_str_radix(octal.trim(), 8).is_ok_and(|bits| bits & 0o2_000_000 != 0)
            })
        });
        assert!(cloexec, "descriptor {number} on {target} stays open over exec after {what}");
    }
    outcome
}

#[test]
fn no_call_leaves_a_thread_a_signal_handler_or_a_descriptor_that_survives_exec() {
    let dir = tempfile::tempdir().expect("a directory");
    let data_root = AbsPath::new(dir.path().join("data")).expect("absolute");
    let options = BackendOptions { data_root: Some(data_root), ..BackendOptions::default() };
    let host = Arc::new(LinuxHost::default());
    let backend =
        leaves_nothing("open", || Backend::open(&BackendUrl::default(), &options, host)).expect("opened");
    let mut sysbox = Sysbox::new("c1".parse().expect("valid"), backend.ports());
    let spec = serde_json::from_str(r#"{"ociVersion":"1.0.2","root":{"path":"/bundle/rootfs"},"linux":{}}"#)
        .expect("a spec");
    let size = NonZeroU32::new(65_536).expect("not 0");

    leaves_nothing("register", || wait(sysbox.mgr.register(&spec)).map(drop)).expect("registered");
    let ids = leaves_nothing("req_subid", || wait(sysbox.mgr.req_subid(size))).expect("allocated");
    let mappings = IdMappings::single(IdRange::new(ids.uid.0, 65_536).expect("a range")).expect("valid");
    leaves_nothing("update", || {
        wait(sysbox.mgr.update(None, None, mappings.clone(), mappings, ShiftType::IdMappedMount))
    })
    .expect("updated");
    leaves_nothing("pause", || wait(sysbox.mgr.pause())).expect("paused");
    leaves_nothing("resume", || wait(sysbox.mgr.resume())).expect("resumed");
    leaves_nothing("teardown", || wait(sysbox.teardown())).expect("unregistered");
    leaves_nothing("purge", || wait(sysbox.purge())).expect("removed");
    let before = descriptors().len();
    for _ in 0..100 {
        wait(sysbox.mgr.register(&spec)).expect("registered");
        wait(sysbox.purge()).expect("removed");
    }
    assert_eq!(descriptors().len(), before, "descriptors after a hundred containers");
}
