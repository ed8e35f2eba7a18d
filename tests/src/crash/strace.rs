//! System calls that fail, by strace(1): which ones a call makes is read from an undisturbed run of it.

use std::{collections::BTreeMap, fmt};

use super::{call::Call, life::Life};

/// What strace looks at: all that changes files, mounts or owners, and what must be opened, read and locked for it.
pub(super) const TRACED: [&str; 43] = [
    "openat",
    "openat2",
    "getdents64",
    "mkdir",
    "mkdirat",
    "mknodat",
    "rename",
    "renameat",
    "renameat2",
    "write",
    "pwrite64",
    "copy_file_range",
    "ioctl",
    "ftruncate",
    "fallocate",
    "chown",
    "lchown",
    "fchown",
    "fchownat",
    "fchmod",
    "fchmodat",
    "setxattr",
    "lsetxattr",
    "fsetxattr",
    "removexattr",
    "lremovexattr",
    "fremovexattr",
    "utimensat",
    "linkat",
    "symlinkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "mount",
    "open_tree",
    "move_mount",
    "fsopen",
    "fsconfig",
    "fsmount",
    "umount2",
    "syncfs",
    "fsync",
    "flock",
];

/// The nth system call of a name in each thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SysCall {
    /// Its name.
    pub name: &'static str,
    /// Which one, from 1 on.
    pub nth: u32,
}

/// A system call that fails, or in which the process is killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The call.
    pub call: SysCall,
    /// The error, or `KILL`.
    pub error: &'static str,
}

impl Fault {
    pub(super) fn trace(&self) -> String {
        format!("trace={}", self.call.name)
    }

    pub(super) fn inject(&self) -> String {
        let SysCall { name, nth } = self.call;
        match self.error {
            "KILL" => format!("inject={name}:signal=KILL:when={nth}"),
            error => format!("inject={name}:error={error}:when={nth}"),
        }
    }
}

/// What a system call of this name may fail with on a machine that is full, broken, out of descriptors or forbidding.
fn errors_of(name: &str) -> &'static [&'static str] {
    match name {
        "openat" | "openat2" => &["EMFILE", "EIO", "ENOSPC", "EPERM", "KILL"],
        "open_tree" | "fsopen" | "fsmount" => &["EMFILE", "EPERM", "KILL"],
        "getdents64" | "flock" => &["EIO"],
        "syncfs" | "fsync" => &["EIO", "ENOSPC", "KILL"],
        "mkdir" | "mkdirat" | "mknodat" | "rename" | "renameat" | "renameat2" | "write" | "pwrite64"
        | "copy_file_range" | "ioctl" | "ftruncate" | "fallocate" | "linkat" | "symlinkat" => {
            &["ENOSPC", "EIO", "EPERM", "KILL"]
        }
        _ => &["EPERM", "EIO", "KILL"],
    }
}

/// Faults for a call of a life: `count` of them, of every system call that it makes on files at least one if that suffices;
/// or all.
///
/// # Panics
/// When the call does not end well undisturbed.
pub fn faults_of(life: &mut Life, at: usize, call: Call, count: Option<usize>) -> Vec<Fault> {
    let log = life.log(at, call).unwrap_or_else(|error| panic!("{call} undisturbed: {error}"));
    let made = made_on_files(&log, &life.place().dir().display().to_string());
    let all = made.iter().flat_map(|(name, most)| {
        let each = most.iter().flat_map(|nth| errors_of(name).iter().map(move |error| (*nth, *error)));
        each.map(|(nth, error)| Fault { call: SysCall { name, nth }, error })
    });
    let Some(count) = count else { return all.collect() };
    // One of each name in turn, chosen by the place in the life, so that other calls try others.
    let mut chosen = Vec::new();
    let mut turn = 0;
    while chosen.len() < count && turn < count {
        for (name, made) in &made {
            let errors = errors_of(name);
            let seed = at * 31 + turn * 7 + name.len();
            let nth = made[seed * 13 % made.len()];
            let fault = Fault { call: SysCall { name, nth }, error: errors[(at + turn) % errors.len()] };
            if chosen.len() < count && !chosen.contains(&fault) {
                chosen.push(fault);
            }
        }
        turn += 1;
    }
    chosen
}

/// Which ones of each system call a log has, from the first on that is about the scene.
fn made_on_files(log: &str, dir: &str) -> BTreeMap<&'static str, Vec<u32>> {
    let mut seen: BTreeMap<(&str, &'static str), u32> = BTreeMap::new();
    let mut made: BTreeMap<&'static str, Vec<u32>> = BTreeMap::new();
    let mut has_begun = false;
    for line in log.lines() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let Some(name) =
            TRACED.into_iter().find(|name| rest.strip_prefix(name).is_some_and(|r| r.starts_with('(')))
        else {
            continue;
        };
        let nth = seen.entry((pid, name)).or_default();
        *nth += 1;
        has_begun |= rest.contains(dir);
        // It tells of itself by writing to its standard output.
        let is_own = name == "write" && rest.starts_with("write(1<");
        let is_copy = name != "ioctl" || rest.contains("FICLONE");
        if has_begun && is_copy && !is_own {
            let made = made.entry(name).or_default();
            if !made.contains(nth) {
                made.push(*nth);
            }
        }
    }
    made
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.call.name, self.error)
    }
}
