//! Scenes: a file system with a rootfs and a source of a bind mount, made anew for each life, and what happens in it.

use std::{
    ffi::CString,
    fs::{self, File},
    os::unix::fs::lchown,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::{
    fs::statvfs,
    mount::{MountFlags, UnmountFlags, mount, unmount},
};
use sysbox::ShiftType::{Chown, IdMappedMount};
use tempfile::TempDir;

use super::{
    act::{Act, file, set_time},
    call::Call,
    place::{Place, SIZE, entries},
};
use crate::{furnish, ground::open_to_all, leftovers::mounts, require_root};

/// Ranges that the scenes of one test program may use.
const SLOTS: u32 = 64;

/// The first range that the next scene of this program gets.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// What a container's life is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// A rootfs on ext4, its owners shifted on disk; a source that must be shifted; paused, resumed, restarted.
    Chowned,
    /// A rootfs on ext4, given ID-mapped, in one run chowned instead.
    Mapped,
    /// An overlay, cloned and shifted.
    Cloned,
    /// An overlay, given ID-mapped by a runtime that chowns the upper layer.
    Upper,
}

impl Story {
    /// Every story.
    pub const ALL: [Self; 4] = [Self::Chowned, Self::Mapped, Self::Cloned, Self::Upper];

    const fn is_on_overlay(self) -> bool {
        matches!(self, Self::Cloned | Self::Upper)
    }

    /// What happens, in this order.
    pub fn acts(self) -> Vec<Act> {
        use Act::{ChownUpper, GiveBackRootfs, ShiftRootfs, Write};
        use Call::*;
        let calls = |calls: &[Call]| calls.iter().copied().map(Act::Call).collect::<Vec<_>>();
        let parts = match self {
            Self::Chowned => vec![
                calls(&[Register, AllocSubids, PrepMounts, ReqShiftfsMark, ReqMounts(Chown), ReqFsState]),
                vec![ShiftRootfs],
                calls(&[Update(Chown)]),
                vec![Write(1)],
                calls(&[Pause, Resume]),
                vec![Write(2)],
                calls(&[Unregister]),
                vec![GiveBackRootfs],
                calls(&[Register, PrepMounts, ReqMounts(Chown)]),
                vec![ShiftRootfs, Write(3)],
                calls(&[Pause, Unregister]),
                vec![GiveBackRootfs],
                calls(&[Remove]),
            ],
            Self::Mapped => vec![
                calls(&[Register, AllocSubids, ReqMounts(IdMappedMount), Update(IdMappedMount)]),
                vec![Write(1)],
                calls(&[Pause, Resume]),
                vec![Write(2)],
                calls(&[Unregister, Register, ReqMounts(Chown), Update(Chown)]),
                vec![Write(3)],
                calls(&[Unregister, Register, ReqMounts(IdMappedMount), Unregister, Remove]),
            ],
            Self::Cloned => vec![
                calls(&[Register, AllocSubids, CloneRootfs, ReqMounts(Chown), ChownClone, Update(Chown)]),
                vec![Write(1)],
                calls(&[Pause, Resume, RevertClone, ChownClone]),
                vec![Write(2)],
                calls(&[Unregister, Register, CloneRootfs, ChownClone, Unregister, Remove]),
            ],
            Self::Upper => vec![
                calls(&[Register, AllocSubids, ReqMounts(IdMappedMount)]),
                vec![ChownUpper],
                calls(&[Update(IdMappedMount)]),
                vec![Write(1)],
                calls(&[Pause, Resume]),
                vec![Write(2)],
                calls(&[Unregister, Remove]),
            ],
        };
        parts.concat()
    }
}

/// A place, and what is mounted for it.
#[derive(Debug)]
pub struct Scene {
    /// Where everything is.
    pub place: Place,
    /// What it is for.
    pub story: Story,
    /// What is mounted in it, the last first.
    mounted: Vec<PathBuf>,
    dir: TempDir,
}

impl Scene {
    /// Makes a scene on a fresh ext4.
    ///
    /// # Panics
    /// When not root, or when something cannot be made or mounted.
    pub fn new(story: Story) -> Self {
        let mut scene = Self::bare(story, 1);
        scene.reset();
        scene
    }

    /// A fresh ext4 with nothing on it, and ids for this many containers.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn bare(story: Story, slots: u32) -> Self {
        require_root();
        let slot = NEXT.fetch_add(slots, Ordering::Relaxed);
        assert!(slot + slots <= SLOTS, "a test program has ids for {SLOTS} containers");
        // Above the ids of sites, see there.
        Self::with_ids(story, (16_384 + std::process::id() % 64 * SLOTS + slot) * SIZE, slots)
    }

    /// One of the same story and ids, of which nothing is spoilt.
    #[must_use]
    pub fn afresh(&self) -> Self {
        let ids = self.place.ids();
        let mut scene = Self::with_ids(self.story, ids.first(), ids.count() / SIZE);
        scene.reset();
        scene
    }

    fn with_ids(story: Story, first: u32, slots: u32) -> Self {
        let dir = TempDir::with_prefix_in("sysbox-crash-", roomy()).expect("a temporary directory");
        open_to_all(dir.path());
        let (image, at) = (dir.path().join("ext4.img"), dir.path().join("fs"));
        fs::create_dir(&at).expect("made");
        File::create(&image).and_then(|file| file.set_len(256 << 20)).expect("made");
        succeed(
            Command::new("mkfs.ext4").args(["-q", "-F", "-N", "40000", "-O", "^has_journal"]).arg(&image),
        );
        succeed(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at));
        Self { place: Place::new(at.clone(), first, slots), story, mounted: vec![at], dir }
    }

    /// Makes the rootfs and the source anew. The data root stays.
    ///
    /// # Panics
    /// When something cannot be made or mounted.
    pub fn reset(&mut self) {
        while self.mounted.len() > 1 {
            unmount(self.mounted.remove(0), UnmountFlags::DETACH).expect("root may");
        }
        for path in entries(self.place.dir()) {
            if path != self.place.data_root() && !path.ends_with("lost+found") {
                fs::remove_dir_all(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
            }
        }
        let dir = self.place.dir().to_owned();
        let rootfs = self.place.rootfs();
        if self.story.is_on_overlay() {
            make_rootfs(&dir.join("lower"));
            self.overlay(&dir.join("lower"), &self.place.upper(), &dir.join("work"), &rootfs);
            file(&rootfs.join("from-upper"), 0, 0, 0o644);
        } else {
            make_rootfs(&rootfs);
        }
        let [lower, upper, work] = ["source-lower", "source-upper", "source-work"].map(|name| dir.join(name));
        make_source(&lower);
        self.overlay(&lower, &upper, &work, &self.place.source());
    }

    /// Mounts an overlay of these layers, which is unmounted at the end.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn overlay(&mut self, lower: &Path, upper: &Path, work: &Path, at: &Path) {
        for dir in [upper, work, at] {
            fs::create_dir_all(dir).expect("made");
        }
        use std::os::unix::fs::MetadataExt;
        let root = fs::metadata(lower).expect("it is there");
        lchown(upper, Some(root.uid()), Some(root.gid())).expect("root may");
        let [lower, upper, work] = [lower, upper, work].map(Path::display);
        let data = format!("lowerdir={lower},upperdir={upper},workdir={work},metacopy=off");
        let data = CString::new(data).expect("no NUL");
        mount("overlay", at, "overlay", MountFlags::empty(), Some(&*data))
            .expect("an overlay can be mounted");
        self.mounted.insert(0, at.to_owned());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // What a manager has left mounted after a test that failed goes with the file system it is on.
        let left = mounts(&[&self.dir.path().display().to_string()]);
        // A line of mountinfo, with a word before it.
        for at in left.iter().rev().filter_map(|line| line.split(' ').nth(5)) {
            let _ = unmount(at, UnmountFlags::DETACH);
        }
    }
}

/// A rootfs with one of everything, also where volumes will be.
fn make_rootfs(rootfs: &Path) {
    for dir in ["etc", "var/lib/docker", "var/lib/buildkit"] {
        fs::create_dir_all(rootfs.join(dir)).expect("made");
    }
    furnish(rootfs);
    fs::write(rootfs.join("etc/os-release"), "ID=fedora\nVERSION_ID=40\n").expect("written");
    let docker = rootfs.join("var/lib/docker");
    furnish(&docker);
    for path in ["etc/removed", "var/lib/docker/changed", "var/lib/docker/removed"] {
        file(&rootfs.join(path), 0, 0, 0o644);
    }
    for nth in 0..8 {
        let dir = docker.join(format!("images/{nth}"));
        fs::create_dir_all(&dir).expect("made");
        file(&dir.join("layer"), nth, 100 + nth, 0o600);
    }
    set_times(rootfs);
}

/// A directory of a user's.
fn make_source(source: &Path) {
    fs::create_dir_all(source.join("dir")).expect("made");
    for (name, owner) in [("mine", 1000), ("dir/mine", 1000), ("another's", 1005)] {
        file(&source.join(name), 0, owner, 0o644);
    }
    for dir in ["", "dir"] {
        lchown(source.join(dir), Some(1000), Some(1000)).expect("root may");
    }
    set_times(source);
}

fn set_times(path: &Path) {
    if fs::symlink_metadata(path).expect("it is there").is_dir() {
        entries(path).iter().for_each(|entry| set_times(entry));
    }
    set_time(path);
}

/// Where images are put: in memory, where there is enough of it, for the manager waits for the disk after each change.
fn roomy() -> &'static Path {
    const ENOUGH: u64 = 2 << 30;
    let memory = Path::new("/dev/shm");
    let is_roomy = statvfs(memory).is_ok_and(|free| free.f_bavail * free.f_frsize > ENOUGH);
    if is_roomy { memory } else { Path::new("/var/tmp") }
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
