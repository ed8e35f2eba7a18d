//! A rootfs, or what a container puts in its volumes, that tries to lead the manager elsewhere: nothing outside is read into a
//! volume, changed, or given to others. Needs root.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, lchown, symlink},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use rustix::fs::{CWD, FileType, Mode, makedev, mkdirat, mknodat};
use sysbox::{AbsPath, ShiftType, embedded::EmbeddedMgr, linux::chown, tree::TreeIds};
use sysbox_tests::{
    Snapshot,
    crash::{Call, Failure, Scene, Story, left},
    furnish,
};

/// A scene with a tree outside of every rootfs, and what that and `/etc` are like.
struct Site {
    scene: Scene,
    sentinel: Snapshot,
    etc: Vec<(PathBuf, u32, u32, u32)>,
}

impl Site {
    fn new() -> Self {
        let scene = Scene::bare(Story::Mapped, 1);
        let outside = scene.place.dir().join("outside");
        fs::create_dir(&outside).expect("made");
        furnish(&outside);
        fs::create_dir_all(scene.place.rootfs().join("var/lib")).expect("made");
        Self { sentinel: Snapshot::of(&outside), etc: etc(), scene }
    }

    fn outside(&self) -> PathBuf {
        self.scene.place.dir().join("outside")
    }

    fn docker(&self) -> PathBuf {
        self.scene.place.rootfs().join("var/lib/docker")
    }

    /// Registers a container and asks for its volumes.
    fn start(&self) -> (EmbeddedMgr, Result<(), Failure>) {
        let mgr = self.scene.place.open();
        for call in [Call::Register, Call::AllocSubids] {
            self.make(&mgr, call).expect("it needs nothing of the rootfs");
        }
        let volumes = self.make(&mgr, Call::ReqMounts(ShiftType::Chown));
        (mgr, volumes)
    }

    fn make(&self, mgr: &EmbeddedMgr, call: Call) -> Result<(), Failure> {
        call.make(&self.scene.place, mgr)
    }

    /// The volume of `/var/lib/docker`.
    fn volume(&self, mgr: &EmbeddedMgr) -> PathBuf {
        let record = mgr.status(&self.scene.place.id()).expect("readable").expect("registered");
        let mut volumes = record.volumes.into_iter();
        let docker = volumes.find(|volume| volume.destination.as_path() == Path::new("/var/lib/docker"));
        docker.expect("it has one").path.as_path().to_owned()
    }

    fn stop(&self, mgr: &EmbeddedMgr) {
        self.make(mgr, Call::Unregister).expect("it stops whatever its rootfs is like");
        self.make(mgr, Call::Remove).expect("it can be removed");
    }

    #[track_caller]
    fn assert_nothing_outside_changed(&self, mgr: &EmbeddedMgr, what: &str) {
        self.sentinel.assert_same(&Snapshot::of(&self.outside()), what);
        assert_eq!(self.etc, etc(), "{what}");
        assert_eq!(left(&self.scene.place, mgr), [""; 0], "{what}");
    }
}

/// The entries of `/etc`, with owners and modes.
fn etc() -> Vec<(PathBuf, u32, u32, u32)> {
    let mut entries: Vec<_> = fs::read_dir("/etc")
        .expect("readable")
        .map(|entry| {
            let path = entry.expect("readable").path();
            let metadata = fs::symlink_metadata(&path).expect("there");
            (path, metadata.uid(), metadata.gid(), metadata.mode())
        })
        .collect();
    entries.sort();
    entries
}

fn special(path: &Path, kind: FileType, device: u64) {
    mknodat(CWD, path, kind, Mode::from_raw_mode(0o666), device).expect("root may");
}

#[test]
fn a_destination_that_is_a_link_a_loop_a_fifo_or_a_file_leads_nowhere() {
    type Make = fn(&Site);
    let cases: [(&str, Make); 8] = [
        ("a link to /etc", |site| symlink("/etc", site.docker()).expect("made")),
        ("a link upwards", |site| symlink("../../../../../../outside", site.docker()).expect("made")),
        ("a link outside", |site| symlink(site.outside(), site.docker()).expect("made")),
        ("a loop", |site| symlink("docker", site.docker()).expect("made")),
        ("a fifo", |site| special(&site.docker(), FileType::Fifo, 0)),
        ("a device", |site| special(&site.docker(), FileType::CharacterDevice, makedev(1, 5))),
        ("a file", |site| fs::write(site.docker(), "no directory").expect("written")),
        ("its parent is a link outside", |site| {
            fs::remove_dir(site.scene.place.rootfs().join("var/lib")).expect("empty");
            symlink(site.outside(), site.scene.place.rootfs().join("var/lib")).expect("made");
        }),
    ];
    for (what, make) in cases {
        let site = Site::new();
        make(&site);
        let (mgr, volumes) = site.start();
        if volumes.is_ok() {
            let volume = site.volume(&mgr);
            assert_eq!(fs::read_dir(&volume).expect("a directory").count(), 0, "{what}");
            fs::write(volume.join("planted"), "by the container").expect("written");
        } else {
            assert!(
                volumes.as_ref().is_err_and(|failure| failure.text.contains("/var/lib/docker")),
                "{volumes:?}"
            );
        }
        site.stop(&mgr);
        site.assert_nothing_outside_changed(&mgr, what);
    }
}

/// Fills a directory with what a container could want to be followed, waited for, or choked on.
fn trap(dir: &Path, outside: &Path) {
    fs::create_dir_all(dir).expect("made");
    furnish(dir);
    symlink(outside, dir.join("outside")).expect("made");
    symlink("/etc", dir.join("etc")).expect("made");
    symlink("../../../../../..", dir.join("up")).expect("made");
    symlink("loop", dir.join("loop")).expect("made");
    special(&dir.join("pipe"), FileType::Fifo, 0);
    special(&dir.join("disk"), FileType::BlockDevice, makedev(259, 0));
    for name in [&b"two\nlines"[..], b"\xff\xfe", b" ", b"-rf", &[b'n'; 255]] {
        fs::write(dir.join(OsStr::from_bytes(name)), name).expect("written");
    }
    fs::create_dir(dir.join("links")).expect("made");
    fs::write(dir.join("links/0"), "ten thousand names").expect("written");
    for nth in 1..10_000 {
        fs::hard_link(dir.join("links/0"), dir.join(format!("links/{nth}"))).expect("made");
    }
    let mut deep = rustix::fs::open(dir, rustix::fs::OFlags::PATH, Mode::empty()).expect("there");
    for _ in 0..300 {
        mkdirat(&deep, "deeper", Mode::from_raw_mode(0o755)).expect("made");
        deep = rustix::fs::openat(&deep, "deeper", rustix::fs::OFlags::PATH, Mode::empty()).expect("there");
    }
}

#[test]
fn what_a_rootfs_and_a_volume_have_is_copied_as_it_is_and_never_followed() {
    let site = Site::new();
    trap(&site.docker(), &site.outside());
    let (mgr, volumes) = site.start();
    volumes.expect("it is strange, and can be copied");
    let volume = site.volume(&mgr);
    assert_eq!(fs::read_link(volume.join("outside")).expect("a link"), site.outside());
    assert_eq!(fs::metadata(volume.join("links/9999")).expect("there").nlink(), 10_000);
    assert!(!volume.join("disk").exists(), "a device is not copied");
    // The container makes a trap of its own, where the rootfs had directories.
    fs::remove_dir_all(volume.join("kept")).expect("removed");
    symlink(site.outside(), volume.join("kept")).expect("made");
    let own = volume.join("own");
    trap(&own, &site.outside());
    let first = site.scene.place.ids().first();
    lchown(&own, Some(first), Some(first)).expect("root may");
    site.stop(&mgr);
    assert_eq!(fs::read_link(site.docker().join("kept")).expect("a link"), site.outside());
    assert_eq!(fs::metadata(site.docker().join("own")).expect("there").uid(), 0);
    site.assert_nothing_outside_changed(&mgr, "traps");
}

#[test]
fn files_and_directories_that_become_links_while_they_are_copied_lead_nowhere() {
    for in_volume in [false, true] {
        let site = Site::new();
        for nth in 0..50 {
            fs::create_dir_all(site.docker().join(format!("dir-{nth}"))).expect("made");
            fs::write(site.docker().join(format!("dir-{nth}/file")), "inside").expect("written");
        }
        let (mgr, volumes) = site.start();
        volumes.expect("nothing is wrong yet");
        let tree = if in_volume { site.volume(&mgr) } else { site.docker() };
        let (outside, ends) = (site.outside().join("kept"), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| swap(&tree, &outside, &ends));
            for _ in 0..20 {
                for call in [Call::Pause, Call::Resume] {
                    // A tree that changes all the time may be refused; it is not followed out.
                    let _ = site.make(&mgr, call);
                }
            }
            ends.store(true, Ordering::Relaxed);
        });
        site.stop(&mgr);
        site.assert_nothing_outside_changed(
            &mgr,
            if in_volume { "the volume changes" } else { "the rootfs changes" },
        );
    }
}

/// Makes links of files and directories and back, until it is told to end.
fn swap(tree: &Path, outside: &Path, ends: &AtomicBool) {
    let aside = tree.join("aside");
    while !ends.load(Ordering::Relaxed) {
        for nth in 0..50 {
            let (dir, file) = (tree.join(format!("dir-{nth}")), tree.join(format!("dir-{nth}/file")));
            // The other side makes and removes these too, so any of it may fail.
            let _ = fs::remove_file(&file);
            let _ = symlink(outside.join("set-id"), &file);
            let _ = fs::rename(&dir, &aside);
            let _ = symlink(outside, &dir);
            let _ = fs::remove_file(&dir);
            let _ = fs::rename(&aside, &dir);
            let _ = fs::remove_file(&file);
            let _ = fs::write(&file, "inside");
        }
    }
}

#[test]
fn owners_are_shifted_in_the_rootfs_alone_also_in_a_clone_of_it() {
    let site = Site::new();
    let rootfs = site.scene.place.rootfs();
    trap(&rootfs.join("trap"), &site.outside());
    let path = AbsPath::new(&rootfs).expect("absolute");
    let before = Snapshot::of(&rootfs);
    let ids = TreeIds { uids: site.scene.place.ids(), gids: site.scene.place.ids() };
    chown::shift_tree(&path, &site.scene.place.id(), ids, &|_| ()).expect("shifted");
    site.sentinel.assert_same(&Snapshot::of(&site.outside()), "shifted");
    chown::revert_tree(&path, &|_| ()).expect("shifted back");
    before.assert_same(&Snapshot::of(&rootfs), "shifted back");

    let mut site = site;
    let dir = site.scene.place.dir().to_owned();
    let lower = dir.join("lower");
    fs::rename(&rootfs, &lower).expect("moved");
    site.scene.overlay(&lower, &dir.join("upper"), &dir.join("work"), &rootfs);
    let before = Snapshot::of(&lower);
    let mgr = site.scene.place.open();
    for call in [Call::Register, Call::AllocSubids, Call::CloneRootfs, Call::ChownClone] {
        site.make(&mgr, call).unwrap_or_else(|failure| panic!("{call}: {failure}"));
    }
    site.sentinel.assert_same(&Snapshot::of(&site.outside()), "cloned and shifted");
    site.stop(&mgr);
    before.assert_same(&Snapshot::of(&lower), "the lower layer");
    site.assert_nothing_outside_changed(&mgr, "cloned, shifted and removed");
}
