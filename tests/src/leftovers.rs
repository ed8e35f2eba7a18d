//! What the kernel still has of a container: mounts and cgroups.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The lines of this mount namespace's table (`proc_pid_mountinfo(5)`) that mention one of `words`.
pub(crate) fn mounts(words: &[&str]) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
    table
        .lines()
        .filter(|line| words.iter().any(|word| line.contains(word)))
        .map(|line| format!("mount {line}"))
        .collect()
}

/// The directories below the cgroup hierarchies whose path mentions `word`.
pub(crate) fn cgroups(word: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = waiting.pop() {
        // A cgroup of somebody else may go away while it is looked at.
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(entry.path());
                if entry.file_name().to_string_lossy().contains(word) {
                    found.push(format!("cgroup {}", entry.path().display()));
                }
            }
        }
    }
    found
}

/// A line for each entry of a directory; none if it is not there.
pub(crate) fn entries(dir: &Path) -> Vec<String> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| format!("entry {}", entry.path().display()))
        .collect()
}
