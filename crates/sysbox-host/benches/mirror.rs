//! Mirrors trees by [`mirror`] and by `rsync -rauqlH` side by side, in turn, and prints how they compare.
//!
//! Small files on ext4, from nothing, with nothing changed and with one in a hundred changed; large ones on btrfs and XFS, whose
//! blocks can be shared; and the most memory that a process had that did it. Needs root, rsync and the programs that make the
//! file systems; everything is in loop images under `/var/tmp`, or in the directory that is given as argument.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "it is what the bench is run for")]

use std::{
    env,
    fs::{self, File},
    io::Write,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rustix::{
    fs::{Mode, OFlags, open},
    mount::{UnmountFlags, unmount},
};
use sysbox_host::mirror::{Options, Owners, Report, mirror};
use tempfile::TempDir;

const DIRECTORIES: u32 = 500;
const FILES: u32 = 100;
/// One large file, and how many.
const LARGE: u64 = 512 << 20;
const LARGE_FILES: u32 = 2;
/// How often each way is timed.
const ROUNDS: usize = 5;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let [_, mark, source, target] = arguments.as_slice()
        && mark == "child"
    {
        ours(Path::new(source), Path::new(target));
        println!("{}", most_memory());
        return;
    }
    assert!(rustix::process::geteuid().is_root(), "copying owners needs root; run the bench as root");
    let rsync = Command::new("rsync").arg("--version").output();
    assert!(rsync.is_ok_and(|output| output.status.success()), "rsync is not in PATH; install it");
    println!(
        "{:<44} {:>10} {:>10} {:>7} {:>10}",
        format!("median of {ROUNDS}"),
        "mirror",
        "rsync",
        "ratio",
        "memory"
    );
    small_files();
    large_files("btrfs", &["mkfs.btrfs", "-q"]);
    large_files("xfs", &["mkfs.xfs", "-q", "-m", "reflink=1"]);
}

fn small_files() {
    let disk = Disk::new(&["mkfs.ext4", "-q", "-F"], 4 << 30);
    let source = disk.directory("source");
    for directory in 0..DIRECTORIES {
        let directory = source.join(format!("directory-{directory}"));
        fs::create_dir(&directory).expect("a new directory");
        for file in 0..FILES {
            let len = 1024 + (file as usize * 37) % 3072;
            fs::write(directory.join(format!("file-{file}")), vec![b'x'; len]).expect("a new file");
        }
    }
    compare(&disk, "50,000 files on ext4, from nothing", |_| (), true);
    compare(&disk, "50,000 files on ext4, nothing changed", |_| (), false);
    let change = |round: usize| {
        for directory in 0..DIRECTORIES {
            let path = source.join(format!("directory-{directory}/file-{}", round % FILES as usize));
            fs::write(path, format!("changed {round}")).expect("it is there");
        }
    };
    compare(&disk, "50,000 files on ext4, 1% changed", change, false);
}

fn large_files(name: &str, program: &[&str]) {
    let disk = Disk::new(program, 8 << 30);
    let source = disk.directory("source");
    let block: Vec<u8> =
        (0..1u32 << 20).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for index in 0..LARGE_FILES {
        let mut file = File::create(source.join(index.to_string())).expect("a new file");
        for _ in 0..LARGE >> 20 {
            file.write_all(&block).expect("there is room");
        }
    }
    let what = format!("{LARGE_FILES} files of {} MiB on {name}, from nothing", LARGE >> 20);
    compare(&disk, &what, |_| (), true);
}

/// Makes the second directory the same as the first one.
type Way = fn(&Path, &Path);

/// Times both ways in turn, so that whatever else the machine does falls on both, and prints how they compare.
fn compare(disk: &Disk, what: &str, before: impl Fn(usize), fresh: bool) {
    let source = disk.directory("source");
    let ways: [(PathBuf, Way); 2] =
        [(disk.directory("by-mirror"), ours), (disk.directory("by-rsync"), rsync)];
    let mut times = [const { Vec::new() }; 2];
    for round in 0..ROUNDS {
        before(round + if fresh { 0 } else { 1 });
        for turn in 0..2 {
            let index = (round + turn) % 2;
            let (target, way) = &ways[index];
            if fresh {
                empty(target);
            }
            settle();
            let start = Instant::now();
            way(&source, target);
            // rsync leaves that to others.
            rustix::fs::syncfs(disk.point_fd()).expect("it can be written");
            times[index].push(start.elapsed());
        }
    }
    if fresh {
        empty(&ways[0].0);
    }
    before(ROUNDS + 1);
    let memory = child(&source, &ways[0].0);
    let [ours, theirs] = times.map(|mut times: Vec<Duration>| {
        times.sort();
        times[ROUNDS / 2]
    });
    println!(
        "{what:<44} {ours:>10.1?} {theirs:>10.1?} {:>6.2}x {:>6} KiB",
        theirs.as_secs_f64() / ours.as_secs_f64(),
        memory
    );
}

fn ours(source: &Path, target: &Path) {
    let open = |path| {
        open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).expect("a directory")
    };
    let options = Options { owners: Owners::Kept, unchanged_since: None, progress: &|_| () };
    let report: Report =
        mirror(open(source).as_fd(), open(target).as_fd(), &options).expect("nothing is in the way");
    assert_eq!(report.vanished + report.mounts + report.left_out_attributes, 0);
}

fn rsync(source: &Path, target: &Path) {
    let with_slash = |path: &Path| format!("{}/", path.display());
    let status = Command::new("rsync").args(["-rauqlH", &with_slash(source), &with_slash(target)]).status();
    assert!(status.expect("rsync is there").success());
}

/// Mirrors in a process of its own and returns the most memory that it had, in KiB.
fn child(source: &Path, target: &Path) -> u64 {
    let program = env::current_exe().expect("it is running");
    let output =
        Command::new(program).arg("child").args([source, target]).output().expect("it can be started");
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

/// The most memory that this process had, in KiB (`VmHWM` of `proc_pid_status(5)`).
fn most_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("proc(5)");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("proc(5)");
    line.trim().trim_end_matches(" kB").parse().expect("proc(5)")
}

fn empty(path: &Path) {
    fs::remove_dir_all(path).expect("it is there");
    fs::create_dir(path).expect("a new directory");
}

/// Lets what was written before be on the disk, so that neither way pays for the other one.
fn settle() {
    rustix::fs::sync();
}

/// A file system of its own, in a loop image.
struct Disk {
    point: PathBuf,
    _directory: TempDir,
}

impl Disk {
    fn new(program: &[&str], size: u64) -> Self {
        let place = env::args().nth(1).filter(|argument| argument.starts_with('/'));
        let directory = tempfile::tempdir_in(place.as_deref().unwrap_or("/var/tmp")).expect("a directory");
        let image = directory.path().join("image");
        File::create(&image).and_then(|file| file.set_len(size)).expect("a sparse file");
        run(Command::new(program[0]).args(&program[1..]).arg(&image));
        let point = directory.path().join("point");
        fs::create_dir(&point).expect("a new directory");
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&point));
        Self { point, _directory: directory }
    }

    fn directory(&self, name: &str) -> PathBuf {
        let path = self.point.join(name);
        fs::create_dir_all(&path).expect("a directory");
        path
    }

    fn point_fd(&self) -> File {
        File::open(&self.point).expect("it is mounted")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(&self.point, UnmountFlags::DETACH);
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
}
