//! Shifts the owners of 100,000 inodes by three ways side by side, there and back in turn, and prints how they compare.
//!
//! The bare walk is the least that a program with one thread can do: openat, getdents and fchownat, with no look at what it
//! changes, and GNU's does the same here. Both lose set-id bits and capabilities, and tell no inode from another; ours
//! asks for the status and the attributes of each. Needs root; the tree is made in `TMPDIR`, whose file system is so chosen.
#![expect(clippy::expect_used, reason = "without what it needs the bench has nothing to report")]

use std::{
    ffi::{CStr, CString},
    fs::{self, File},
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use criterion::Criterion;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, RawDir, Uid, chownat, openat};
use sysbox_core::{AbsPath, IdRange, tree::TreeIds};
use sysbox_host::chown::{revert_tree, shift_tree};

const DIRECTORIES: u32 = 1_000;
const FILES: u32 = 99;
const INODES: u32 = 1 + DIRECTORIES * (1 + FILES);
const FIRST: u32 = 1_000_000;

/// Whether the kernel has the inodes in memory when a walk begins, as after unpacking, or has to read them, as after a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cache {
    Warm,
    Cold,
}

/// How often each way is timed for the comparison.
const ROUNDS: usize = 11;

fn main() {
    assert!(rustix::process::geteuid().is_root(), "changing owners needs root; run the bench as root");
    let place = tempfile::tempdir().expect("a directory for temporary files");
    let root = place.path().join("tree");
    make_tree(&root);
    compare(&root, Cache::Warm);
    compare(&root, Cache::Cold);
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let mut group = criterion.benchmark_group(format!("chown of {INODES} inodes"));
    for (name, chown) in WAYS {
        // Each way starts from and comes back to owners that the others can start from.
        chown(&root, 0);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                (0..iterations).map(|_| there_and_back(&root, chown, Cache::Warm)).sum()
            });
        });
    }
    group.finish();
    criterion.final_summary();
}

/// Times the ways in turn, so that whatever else the machine does falls on all of them, and prints how they compare.
#[expect(clippy::print_stdout, reason = "it is what the bench is run for")]
fn compare(root: &Path, cache: Cache) {
    println!("{cache:?} cache, median of {ROUNDS} times there and back:");
    let mut times = WAYS.map(|_| Vec::with_capacity(ROUNDS));
    for _ in 0..ROUNDS {
        for ((_, chown), times) in WAYS.into_iter().zip(&mut times) {
            times.push(there_and_back(root, chown, cache));
        }
    }
    let medians = times.map(|mut times| {
        times.sort();
        times[ROUNDS / 2]
    });
    for ((name, _), time) in WAYS.into_iter().zip(medians) {
        let rate = f64::from(INODES) / time.as_secs_f64();
        let ratio = time.as_secs_f64() / medians[0].as_secs_f64();
        println!("{name:<27} {time:>9.1?} {rate:>10.0} inodes/s, {ratio:.2} times the time of {OURS}");
    }
}

/// Gives everything in the tree to this id, from 0 or from [`FIRST`].
type Chown = fn(&Path, u32);

const OURS: &str = "shift_tree and revert_tree";
const WAYS: [(&str, Chown); 3] = [(OURS, ours), ("a bare walk", bare_walk), ("chown -hR", gnu)];

/// The mean time of a way there and the way back.
fn there_and_back(root: &Path, chown: Chown, cache: Cache) -> Duration {
    let timed = |id| {
        if cache == Cache::Cold {
            rustix::fs::sync();
            fs::write("/proc/sys/vm/drop_caches", "3").expect("root may");
        }
        let start = Instant::now();
        chown(root, id);
        start.elapsed()
    };
    (timed(FIRST) + timed(0)) / 2
}

fn ours(root: &Path, id: u32) {
    let root = AbsPath::new(root).expect("a temporary directory has an absolute path");
    if id == 0 {
        revert_tree(&root, &|_| ()).expect("the tree was shifted");
        return;
    }
    let range = IdRange::new(id, 65_536).expect("far below the greatest id");
    let container = "bench".parse().expect("a container id");
    let report =
        shift_tree(&root, &container, TreeIds { uids: range, gids: range }, &|_| ()).expect("root may");
    assert_eq!(report.changed, u64::from(INODES));
}

fn bare_walk(root: &Path, id: u32) {
    chown_below(CWD, &CString::new(root.as_os_str().as_encoded_bytes()).expect("no NUL"), id);
}

fn chown_below(above: BorrowedFd<'_>, name: &CStr, id: u32) {
    let chown = |directory: BorrowedFd<'_>, name: &CStr| {
        let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
        chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).expect("root may");
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(above, name, flags, Mode::empty()).expect("the tree stays");
    chown(above, name);
    let mut buffer = Vec::with_capacity(32 * 1024);
    let mut entries = RawDir::new(&directory, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry.expect("the directory stays");
        match (entry.file_name(), entry.file_type()) {
            (name, _) if name == c"." || name == c".." => {}
            (name, FileType::Directory) => chown_below(directory.as_fd(), name, id),
            (name, _) => chown(directory.as_fd(), name),
        }
    }
}

fn gnu(root: &Path, id: u32) {
    let status = Command::new("chown").args(["-hR", &format!("{id}:{id}")]).arg(root).status();
    assert!(status.expect("GNU chown is installed").success());
}

fn make_tree(root: &Path) {
    fs::create_dir(root).expect("a new directory");
    for directory in 0..DIRECTORIES {
        let directory = root.join(format!("directory-{directory}"));
        fs::create_dir(&directory).expect("a new directory");
        for file in 0..FILES {
            File::create(directory.join(format!("file-{file}"))).expect("a new file");
        }
    }
}
