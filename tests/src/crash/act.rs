//! What happens in a life: calls, and between them what the runtime and the container do by themselves.

use std::{
    fmt, fs,
    os::unix::fs::{MetadataExt, PermissionsExt, lchown},
    path::Path,
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use sysbox::{
    embedded::{ContainerState, EmbeddedMgr},
    linux::chown,
    tree::TreeIds,
};

use super::{
    call::Call,
    place::{Place, abs},
    view::View,
};
use crate::tree::shift_owners;

/// An act of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A call of the manager.
    Call(Call),
    /// The runtime shifts the owners in the rootfs.
    ShiftRootfs,
    /// The runtime shifts them back.
    GiveBackRootfs,
    /// A stock runtime gives the upper layer of the rootfs to the container by a plain chown.
    ChownUpper,
    /// The container works in its volumes and, if there is a shifted one, in its clone, for the nth time.
    Write(u32),
}

/// When files were made and changed that a container never touches.
const BEFORE: i64 = 1_000_000_000;

impl Act {
    /// Does it.
    ///
    /// # Errors
    /// What a call fails with.
    ///
    /// # Panics
    /// When anything else cannot be done.
    pub fn perform(self, place: &Place, mgr: &EmbeddedMgr) -> Result<(), String> {
        match self {
            Self::Call(call) => return call.make(place, mgr).map_err(|failure| format!("{call}: {failure}")),
            Self::ShiftRootfs => {
                let ids = TreeIds { uids: place.ids(), gids: place.ids() };
                let done = chown::shift_tree(&abs(&place.rootfs()), &place.id(), ids, &|_| ());
                done.map(drop).unwrap_or_else(|error| panic!("{error}"));
            }
            Self::GiveBackRootfs => give_back(place),
            Self::ChownUpper => shift_owners(&place.upper(), place.ids().first()),
            Self::Write(nth) => write(place, mgr, nth),
        }
        Ok(())
    }
}

/// Gives the rootfs back, if it is shifted, as a runtime does that does not know how far another one has come.
pub(super) fn give_back(place: &Place) {
    let done = chown::revert_tree(&abs(&place.rootfs()), &|_| ());
    done.map(drop).unwrap_or_else(|error| panic!("{error}"));
}

/// Gives the upper layer back if a runtime has chowned it and nobody has told the manager.
pub(super) fn give_back_upper(place: &Place) {
    let upper = place.upper();
    if !fs::symlink_metadata(&upper).is_ok_and(|upper| upper.uid() == place.ids().first()) {
        return;
    }
    let ids = TreeIds { uids: place.ids(), gids: place.ids() };
    let adopted = chown::adopt(&abs(&upper), &place.id(), ids);
    let done = adopted.and_then(|()| chown::revert_tree(&abs(&upper), &|_| ()));
    done.map(drop).unwrap_or_else(|error| panic!("{error}"));
    sysbox::linux::overlay::refresh(&abs(&place.rootfs())).unwrap_or_else(|error| panic!("{error}"));
}

fn write(place: &Place, mgr: &EmbeddedMgr, nth: u32) {
    let record = mgr.status(&place.id()).expect("readable").expect("it is on record");
    assert_eq!(record.state, ContainerState::Running, "only what runs writes");
    for volume in &record.volumes {
        let path = volume.path.as_path();
        let root = fs::metadata(path).expect("a volume is there").uid();
        write_below(path, root, nth);
    }
    if View::of(place, mgr).is_clone_shifted {
        for dir in place.containers() {
            let rootfs = dir.join("clone/rootfs");
            file(&rootfs.join(format!("through-the-clone-{nth}")), nth, place.ids().first(), 0o644);
            let _ = fs::remove_file(rootfs.join("etc/removed"));
        }
    }
}

fn write_below(dir: &Path, root: u32, nth: u32) {
    file(&dir.join(format!("written-{nth}")), nth, root, 0o640);
    file(&dir.join(format!("of-a-user-{nth}")), nth, root + 1000, 0o4755);
    fs::create_dir_all(dir.join(format!("dir-{nth}"))).expect("made");
    lchown(dir.join(format!("dir-{nth}")), Some(root), Some(root)).expect("root may");
    file(&dir.join(format!("dir-{nth}/deep")), nth, root, 0o600);
    // What came from the rootfs: one is changed with neither its size nor its time telling it, one is removed.
    if dir.join("changed").exists() {
        let owner = fs::metadata(dir.join("changed")).expect("there").uid();
        file(&dir.join("changed"), nth, owner, 0o644);
    }
    let _ = fs::remove_file(dir.join("removed"));
}

/// A file whose content tells when it was written, with a time of modification that never does.
pub(super) fn file(path: &Path, nth: u32, owner: u32, mode: u32) {
    fs::write(path, format!("content {nth:4}\n").repeat(64)).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    lchown(path, Some(owner), Some(owner)).expect("root may");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("root may");
    set_time(path);
}

/// Sets the time of modification of a path to what it is for all in a scene.
pub(super) fn set_time(path: &Path) {
    let time = Timespec { tv_sec: BEFORE, tv_nsec: 123_456_789 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap_or_else(|e| panic!("{path:?}: {e}"));
}

/// Fails unless what a container has written by then is in its rootfs, as its own ids.
pub(super) fn assert_written(rootfs: &Path, nth: u32) {
    let docker = rootfs.join("var/lib/docker");
    let content = format!("content {nth:4}\n").repeat(64);
    for (name, owner) in [("written", 0), ("of-a-user", 1000)] {
        let path = docker.join(format!("{name}-{nth}"));
        let metadata = fs::metadata(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        assert_eq!((metadata.uid(), metadata.gid()), (owner, owner), "{path:?}");
        assert_eq!(fs::read_to_string(&path).expect("readable"), content, "{path:?}");
    }
    assert!(fs::read_to_string(docker.join("changed")).expect("there") >= content, "a change is lost");
    assert!(!docker.join("removed").exists(), "a removal is lost");
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(call) => call.fmt(f),
            other => write!(f, "{other:?}"),
        }
    }
}
