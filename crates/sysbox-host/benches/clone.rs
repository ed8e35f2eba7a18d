//! Shifts the owners of a rootfs on overlayfs with 100,000 inodes by a clone, and by chown of the overlay itself, in turn, and
//! prints how they compare. Needs root, losetup, and 6 GiB in `/var/tmp`, where an ext4 is made for it.
//!
//! The second one copies all data, as an overlay without metacopy does. Each time is of fresh upper layers and a cold cache;
//! what the clone has to do once only is in its first time.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "what it prints is what it is run for")]

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use sysbox_core::{AbsPath, ContainerId, IdRange, host::OverlayLayers, tree::TreeIds};
use sysbox_host::{
    chown::shift_tree,
    mount_namespace::{detach_below, enter_private},
    overlay::{self, clone::OverlayClone},
    remove::remove_tree,
};

const DIRECTORIES: u32 = 1_000;
const FILES: u32 = 99;
const FILE_LEN: usize = 4096;
const ROUNDS: usize = 3;

fn main() {
    assert!(rustix::process::geteuid().is_root(), "changing owners needs root; run the bench as root");
    enter_private().expect("root may");
    let place = Place::new();
    let lower = place.at("lower");
    make_tree(lower.as_path());
    let mut times: [Vec<Duration>; 4] = Default::default();
    for _ in 0..ROUNDS {
        let [first, revert, second] = by_clone(&place, &lower);
        let chown = by_chown(&place, &lower);
        for (times, time) in times.iter_mut().zip([first, second, revert, chown]) {
            times.push(time);
        }
    }
    let [first, second, revert, chown] = times.map(|mut times| {
        times.sort();
        times[ROUNDS / 2]
    });
    println!("{} inodes of {FILE_LEN} bytes, median of {ROUNDS}:", 1 + DIRECTORIES * (1 + FILES));
    for (name, time) in [
        ("chown of the overlay", chown),
        ("clone, attached and shifted", first),
        ("clone, reverted", revert),
        ("clone, shifted again", second),
    ] {
        println!(
            "{name:<27} {time:>9.1?}, {:.1} times as fast as the chown",
            chown.as_secs_f64() / time.as_secs_f64()
        );
    }
}

/// A clone's first shift, revert and second shift.
fn by_clone(place: &Place, lower: &AbsPath) -> [Duration; 3] {
    let (rootfs, clone) = (place.rootfs(lower), OverlayClone::new(place.at("clone")).expect("short enough"));
    let shift = || {
        clone.shift(&container(), ids(), &|_| ()).expect("shifted");
    };
    let first = timed(|| {
        clone.attach(&rootfs).expect("attached");
        shift();
    });
    let revert = timed(|| clone.revert(&|_| ()).expect("reverted"));
    let second = timed(shift);
    clone.revert(&|_| ()).expect("reverted");
    clone.discard().expect("discarded");
    place.clear();
    [first, revert, second]
}

fn by_chown(place: &Place, lower: &AbsPath) -> Duration {
    let rootfs = place.rootfs(lower);
    let time = timed(|| {
        shift_tree(&rootfs, &container(), ids(), &|_| ()).expect("shifted");
    });
    place.clear();
    time
}

fn container() -> ContainerId {
    "bench".parse().expect("a container id")
}

fn ids() -> TreeIds {
    let range = IdRange::new(1_000_000, 65_536).expect("far below the greatest id");
    TreeIds { uids: range, gids: range }
}

fn timed(work: impl FnOnce()) -> Duration {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3").expect("root may");
    let start = Instant::now();
    work();
    start.elapsed()
}

/// A fresh ext4 on a loop device. It goes away with its guard.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir_in("/var/tmp").expect("a directory for the image"));
        let (image, mount) = (place.0.path().join("image"), place.0.path().join("mount"));
        fs::File::create(&image).and_then(|file| file.set_len(6 << 30)).expect("a sparse file");
        fs::create_dir(&mount).expect("a new directory");
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).args([&image, &mount]));
        place
    }

    fn at(&self, name: &str) -> AbsPath {
        AbsPath::new(self.0.path().join("mount").join(name)).expect("absolute")
    }

    /// An overlay over this layer, with a fresh upper one.
    fn rootfs(&self, lower: &AbsPath) -> AbsPath {
        let [upper, work, rootfs] = ["upper", "work", "rootfs"].map(|name| self.at(name));
        for path in [&upper, &work, &rootfs] {
            fs::create_dir(path).expect("a new directory");
        }
        let layers = OverlayLayers {
            lower: vec![lower.clone().into()],
            data: Vec::new(),
            upper: Some(upper.into()),
            work: Some(work.into()),
            options: Vec::new(),
        };
        overlay::mount(&layers, &rootfs).expect("mounted");
        rootfs
    }

    /// Removes the overlay and its upper layer.
    fn clear(&self) {
        detach_below(&self.at("rootfs")).expect("detached");
        for name in ["upper", "work", "rootfs"] {
            remove_tree(&self.at(name)).expect("removed");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        detach_below(&AbsPath::new(self.0.path()).expect("absolute")).expect("detached");
    }
}

fn run(command: &mut Command) {
    assert!(command.status().expect("it is installed").success(), "{command:?}");
}

fn make_tree(root: &Path) {
    fs::create_dir(root).expect("a new directory");
    for directory in 0..DIRECTORIES {
        let directory = root.join(format!("directory-{directory}"));
        fs::create_dir(&directory).expect("a new directory");
        for file in 0..FILES {
            fs::write(directory.join(format!("file-{file}")), [b'x'; FILE_LEN]).expect("a new file");
        }
    }
}
