//! A clone whose process is killed by SIGKILL at any time leaves the rootfs as it was, once it is reverted and discarded, and can
//! be used as if nothing had been. Needs root.
//!
//! It brings its own `main`, since it starts itself anew as the process to be killed.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "it is a test")]

use std::{
    env,
    io::{Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use sysbox_core::tree::TreePhase;
use sysbox_host::overlay::clone::OverlayClone;

#[expect(dead_code, reason = "the other tests of overlays need the rest of it")]
#[path = "kernel/place.rs"]
mod place;
#[path = "clone/rootfs.rs"]
mod rootfs;
#[expect(dead_code, reason = "the tests of tree chown need the rest of it")]
#[path = "chown/support.rs"]
mod support;

use place::{GID, Place, UID, owner};
use rootfs::{Rootfs, ids};
use support::{abs, assert_same, container, file, record, require_root};

/// What the process to be killed does.
const CALLS: [&str; 4] = ["attach", "shift", "revert", "discard"];

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let [_, mark, call, dir, rootfs] = arguments.as_slice()
        && mark == "child"
    {
        return child(call, Path::new(dir), Path::new(rootfs));
    }
    require_root();
    // So many kills are wanted of each call, each at another time of it. It takes long where data go to a disk.
    for (name, kills, place) in [("temporary directory", 10, Place::new()), ("tmpfs", 50, Place::on_tmpfs())]
    {
        for call in CALLS {
            killed_anywhere_it_leaves_the_rootfs_as_it_was(&place, name, call, kills);
        }
    }
}

/// Says that it is there, and then makes the call.
fn child(call: &str, dir: &Path, rootfs: &Path) {
    std::io::stdout().write_all(b".").and_then(|()| std::io::stdout().flush()).expect("the parent listens");
    let clone = OverlayClone::new(abs(dir)).expect("short enough");
    match call {
        "attach" => clone.attach(&abs(rootfs)),
        "shift" => clone.shift(&container(), ids(), &|_| ()).map(drop),
        "revert" => clone.revert(&|_| ()),
        _ => clone.discard(),
    }
    .expect("nothing is in the way");
}

/// A process that has just begun with a call. It shares the mount namespace with this one.
fn start(call: &str, dir: &Path, rootfs: &Rootfs) -> Child {
    let program = env::current_exe().expect("it is running");
    let mut child = Command::new(program)
        .args(["child", call])
        .args([dir, rootfs.path.as_path()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be started");
    child.stdout.as_mut().expect("a pipe").read_exact(&mut [0]).expect("the child says that it is there");
    child
}

/// Brings the clone to where the call begins.
fn prepare(call: &str, rootfs: &Rootfs) {
    match call {
        "attach" => {}
        "shift" => rootfs.attach(),
        "revert" => {
            rootfs.attach();
            rootfs.shift();
        }
        _ => {
            rootfs.attach();
            rootfs.shift();
            rootfs.revert();
        }
    }
}

fn killed_anywhere_it_leaves_the_rootfs_as_it_was(place: &Place, name: &str, call: &str, wanted: u32) {
    let rootfs = Rootfs::new(place, call, &[]);
    for nth in 0..200 {
        file(&rootfs.upper().join(nth.to_string()), 0o4755, (nth, 1));
        file(&rootfs.layers.lower[0].join(format!("lower-{nth}")), 0o2755, (nth, 1));
    }
    sysbox_host::overlay::refresh(&rootfs.path).expect("mounted");
    let dir = place.at(&format!("{call}-clone"));
    let (before, works) = (rootfs.on_disk(), rootfs.works());
    let duration = duration(call, dir.as_path(), &rootfs);
    let (mut kills, mut midst) = (0, 0);
    for attempt in 0.. {
        assert!(attempt < 20 * wanted, "only {kills} of {attempt} kills came in time");
        if kills == wanted {
            break;
        }
        prepare(call, &rootfs);
        let mut child = start(call, dir.as_path(), &rootfs);
        // No rule depends on this time: whatever state the kill leaves must be mended.
        thread::sleep(duration * (attempt % wanted) / wanted);
        child.kill().expect("it was started");
        kills += u32::from(!child.wait().expect("it was started").success());
        let bottom = dir.as_path().join("layers/upper");
        let in_midst = |root: &Path| {
            let phase = root.exists().then(|| record(root)).flatten().map(|record| record.phase);
            matches!(phase, Some(TreePhase::Shifting | TreePhase::Reverting))
        };
        midst += u32::from(in_midst(rootfs.upper()) || in_midst(&bottom));
        if attempt % 2 == 0 {
            rootfs.attach();
            rootfs.shift();
            assert_eq!(owner(rootfs.shown("usr/deep/group")), (UID, GID + 5));
            assert_eq!(owner(rootfs.shown("7")), (UID + 7, GID + 1));
        }
        rootfs.revert();
        assert_same(&rootfs.on_disk(), &before);
        rootfs.clone.discard().expect("it is reverted");
        assert_same(&rootfs.on_disk(), &before);
        assert_eq!(rootfs.works(), works, "no work directory is left");
        assert!(!dir.as_path().exists());
    }
    assert!(midst > 0 || !["shift", "revert"].contains(&call), "no kill came between two changes of owners");
    println!(
        "test killed_anywhere_it_leaves_the_rootfs_as_it_was ({call}, {name}) ... ok: {kills} kills, {midst} of them between two changes of owners"
    );
}

/// How long a call takes that is not killed.
fn duration(call: &str, dir: &Path, rootfs: &Rootfs) -> Duration {
    prepare(call, rootfs);
    let mut child = start(call, dir, rootfs);
    let start = Instant::now();
    assert!(child.wait().expect("it was started").success());
    let duration = start.elapsed();
    rootfs.revert();
    rootfs.clone.discard().expect("it is reverted");
    duration
}
