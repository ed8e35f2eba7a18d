//! Inodes whose room for attributes a container has filled with its own, so that none can be added.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{XattrFlags, lremovexattr, lsetxattr};
use sysbox_core::tree::TreePhase;
use sysbox_host::chown::ChownError;

use super::support::*;

const NAMES: std::ops::Range<usize> = 0..1000;

/// Gives an inode attributes until there is no room for one more, nor for a longer one.
fn fill(path: &Path) {
    let set = |name: usize, len: usize| {
        lsetxattr(path, format!("user.{name}"), &vec![b'x'; len], XattrFlags::empty()).is_ok()
    };
    let mut lens: Vec<usize> = Vec::new();
    for len in [4000, 1000, 200, 40, 0] {
        while set(lens.len(), len) {
            lens.push(len);
        }
    }
    let grow = |(name, len): (usize, &mut usize)| {
        let grown = set(name, *len + 4);
        *len += if grown { 4 } else { 0 };
        grown
    };
    while lens.iter_mut().enumerate().map(grow).filter(|grown| *grown).count() > 0 {}
    assert!(lens.len() < NAMES.len(), "{} attributes on {path:?}", lens.len());
}

/// Takes away what [`fill`] has given.
fn clear(path: &Path) {
    for name in NAMES {
        let _ = lremovexattr(path, format!("user.{name}"));
    }
}

/// A file of which all is at stake, and one with set-id bits alone.
fn make(root: &Path) -> [PathBuf; 2] {
    let all = file(&root.join("all"), 0o6755, (5, 6));
    set_attribute(&all, ACCESS_ACL, &acl(&[7], &[8]));
    set_attribute(&all, CAPABILITY, &capability(0));
    [all, file(&root.join("set-id"), 0o4755, (1, 2))]
}

fn is_out_of_room(error: &ChownError, wanted: &Path) -> bool {
    matches!(error, ChownError::System { path, source, .. }
        if path == wanted && source.kind() == io::ErrorKind::StorageFull)
}

/// A tmpfs for so few inodes that their room for attributes is soon filled.
fn small_tmpfs() -> Place {
    Place::mounted("tmpfs", &["-t", "tmpfs", "-o", "nr_inodes=24", "none"])
}

#[test]
fn whatever_attributes_a_container_has_added_the_tree_is_reverted() {
    require_root();
    for place in [Place::ext4(), small_tmpfs()] {
        let root = place.root();
        let files = make(&root);
        let made = snapshot(&root);
        shift(&root).expect("it can be shifted");
        let crowded = [&root, &files[0], &files[1]];
        crowded.into_iter().for_each(|path| fill(path));
        revert(&root).expect("it can be reverted");
        crowded.into_iter().for_each(|path| clear(path));
        assert_same(&snapshot(&root), &made);
    }
}

#[test]
fn a_set_id_file_without_room_for_a_mark_keeps_its_mode() {
    require_root();
    let place = Place::ext4();
    let root = place.root();
    let path = file(&root.join("set-id"), 0o6755, (1, 2));
    fill(&path);
    let made = snapshot(&root);
    shift(&root).expect("it can be shifted");
    assert_eq!((owner(&path), mode(&path)), ((UIDS + 1, GIDS + 2), 0o6755));
    revert(&root).expect("it can be reverted");
    assert_same(&snapshot(&root), &made);
}

#[test]
fn a_capability_without_room_to_grow_is_refused_before_it_is_dropped() {
    require_root();
    let place = Place::ext4();
    let root = place.root();
    let [path, _] = make(&root);
    fill(&path);
    let made = snapshot(&root);
    let error = shift(&root).expect_err("there is no room");
    assert!(is_out_of_room(&error, &path), "{error:?}");
    assert_eq!(attribute(&path, CAPABILITY), Some(capability(0)));
    assert_eq!(record(&root).expect("a record").phase, TreePhase::Shifting);
    revert(&root).expect("it can be undone");
    assert_same(&snapshot(&root), &made);
}

#[test]
fn a_capability_that_has_no_room_beside_its_mark_goes_back_by_that() {
    require_root();
    let place = Place::ext4();
    let root = place.root();
    let path = file(&root.join("file"), 0o755, (1, 2));
    set_attribute(&path, CAPABILITY, &capability(0));
    let made = snapshot(&root);
    // As much room as the mark takes, and none for a longer capability.
    let hexadecimal: String = capability(0).iter().map(|byte| format!("{byte:02x}")).collect();
    set_attribute(&path, MARK, format!("1 755 {hexadecimal}").as_bytes());
    fill(&path);
    lremovexattr(&path, MARK).expect("it is there");
    let error = shift(&root).expect_err("there is no room");
    assert!(is_out_of_room(&error, &path), "{error:?}");
    revert(&root).expect("it can be undone");
    clear(&path);
    assert_same(&snapshot(&root), &made);
}
