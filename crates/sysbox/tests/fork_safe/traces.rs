//! What a call leaves behind in its process.

use std::{collections::BTreeMap, fs};

/// Descriptors of this process, with what each is open on.
pub(crate) fn descriptors() -> BTreeMap<i32, String> {
    let names: Vec<_> = fs::read_dir("/proc/self/fd")
        .expect("procfs")
        .map(|entry| entry.expect("procfs").file_name().into_string().expect("a number"))
        .collect();
    // The directory that was listed is closed by now.
    let target =
        |name: &String| Some(fs::read_link(format!("/proc/self/fd/{name}")).ok()?.display().to_string());
    names.iter().filter_map(|name| Some((name.parse().expect("a number"), target(name)?))).collect()
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
pub(crate) fn leaves_nothing<T>(what: &str, call: impl FnOnce() -> T) -> T {
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
