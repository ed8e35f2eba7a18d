//! What cannot be cloned or discarded is refused, and left as it is.

use std::error::Error;

use rustix::mount::{MountFlags, mount, mount_remount};
use sysbox_core::host::OverlayLayers;
use sysbox_host::{
    chown::shift_tree,
    overlay::{
        self,
        clone::{CloneError, OverlayClone},
    },
};

use crate::{
    place::Place,
    rootfs::{Rootfs, ids},
    support::{abs, assert_same, container, file},
};

/// What attaching the clone is refused with, and the rootfs is as before.
fn refusal(rootfs: &Rootfs) -> CloneError {
    let before = rootfs.on_disk();
    let error = rootfs.clone.attach(&rootfs.path).expect_err("refused");
    assert_same(&rootfs.on_disk(), &before);
    rootfs.revert();
    rootfs.clone.discard().expect("discarded");
    assert_same(&rootfs.on_disk(), &before);
    error
}

#[test]
fn a_directory_that_is_no_mount_point_of_an_overlay() {
    let place = Place::new();
    let mut rootfs = Rootfs::new(&place, "rootfs", &[]);
    for path in [place.dir("plain"), place.at("rootfs/merged/usr")] {
        rootfs.path = path;
        let error = refusal(&rootfs);
        assert!(matches!(error, CloneError::NotAnOverlay { .. }), "{error:?}");
    }
}

#[test]
fn an_overlay_that_cannot_be_written() {
    let place = Place::new();
    let mut rootfs = Rootfs::new(&place, "rootfs", &[]);
    mount_remount(rootfs.path.as_path(), MountFlags::RDONLY | MountFlags::BIND, "").expect("root may");
    let error = refusal(&rootfs);
    assert!(matches!(error, CloneError::NotWritable { .. }), "{error:?}");
    rootfs.path = place.dir("lower-only");
    let layers = OverlayLayers { upper: None, work: None, ..rootfs.layers.clone() };
    overlay::mount(&layers, &rootfs.path).expect("mounted");
    let error = refusal(&rootfs);
    assert!(matches!(error, CloneError::NotWritable { .. }), "{error:?}");
}

#[test]
fn an_overlay_with_an_index() {
    let place = Place::new();
    let error = refusal(&Rootfs::new(&place, "rootfs", &["index=on"]));
    assert!(matches!(error, CloneError::Indexed { .. }), "{error:?}");
}

#[test]
fn a_directory_whose_file_system_has_no_attributes() {
    let place = Place::new();
    let mut rootfs = Rootfs::new(&place, "rootfs", &[]);
    let ramfs = place.dir("ramfs");
    mount("none", ramfs.as_path(), "ramfs", MountFlags::empty(), None).expect("mounted");
    rootfs.clone = OverlayClone::new(place.at("ramfs/clone")).expect("short enough");
    let error = refusal(&rootfs);
    assert!(matches!(error, CloneError::NoMetacopy { .. }), "{error:?}");
}

#[test]
fn an_overlay_with_attributes_of_users() {
    let place = Place::new();
    let error = refusal(&Rootfs::new(&place, "rootfs", &["userxattr"]));
    assert!(matches!(error, CloneError::UserAttributes { .. }), "{error:?}");
}

#[test]
fn an_overlay_on_an_overlay() {
    let place = Place::new();
    let below = Rootfs::new(&place, "below", &[]);
    let mut layers = place.layers(&["lower"], "upper", "work");
    layers.lower.push(below.path.into());
    let path = place.dir("merged");
    overlay::mount(&layers, &path).expect("two are allowed");
    let error = refusal(&Rootfs::at(layers, path, place.at("clone")));
    assert!(matches!(error, CloneError::TooDeep { .. }), "{error:?}");
}

#[test]
fn layers_that_the_kernel_does_not_take_are_told_in_its_words() {
    let place = Place::new();
    let mut rootfs = Rootfs::new(&place, "rootfs", &[]);
    // An overlay is mounted of it all the same.
    std::fs::remove_dir_all(&rootfs.layers.lower[0]).expect("removed");
    rootfs.layers.lower.remove(0);
    let error = refusal(&rootfs);
    let CloneError::Host(error) = error else { panic!("{error:?}") };
    let cause = error.source().expect("kept").to_string();
    assert!(cause.contains("does not exist"), "{cause}");
}

#[test]
fn a_rootfs_that_is_shifted_by_others() {
    let place = Place::new();
    let rootfs = Rootfs::new(&place, "rootfs", &[]);
    rootfs.attach();
    let other = OverlayClone::new(place.at("other")).expect("short enough");
    other.attach(&rootfs.path).expect("nobody has shifted it yet");
    rootfs.shift();
    let before = rootfs.on_disk();
    let shift = |name: &str| other.shift(&name.parse().expect("valid"), ids(), &|_| ());
    for error in [other.attach(&rootfs.path), shift("c2").map(drop), shift("c1").map(drop)] {
        let error = error.expect_err("in use");
        assert!(matches!(error, CloneError::InUse { .. }), "{error:?}");
    }
    let error = rootfs.clone.shift(&"c2".parse().expect("valid"), ids(), &|_| ()).expect_err("in use");
    assert!(matches!(error, CloneError::InUse { .. }), "{error:?}");
    other.revert(&|_| ()).expect("it has nothing to revert");
    other.discard().expect("it was not shifted");
    assert_same(&rootfs.on_disk(), &before);
}

#[test]
fn a_rootfs_whose_owners_were_shifted_where_they_are() {
    let place = Place::new();
    let rootfs = Rootfs::new(&place, "rootfs", &[]);
    shift_tree(&abs(rootfs.upper()), &container(), ids(), &|_| ()).expect("shifted");
    let error = refusal(&rootfs);
    assert!(matches!(error, CloneError::InUse { .. }), "{error:?}");
}

#[test]
fn an_owner_in_the_range_of_the_container() {
    let place = Place::new();
    let rootfs = Rootfs::new(&place, "rootfs", &[]);
    file(&rootfs.upper().join("inside"), 0o644, (ids().uids.first() + 1, 0));
    let before = rootfs.on_disk();
    rootfs.attach();
    assert!(matches!(rootfs.shift_to(ids()), Err(CloneError::Chown(_))));
    assert_same(&rootfs.on_disk(), &before);
    rootfs.clone.discard().expect("nothing of the rootfs is shifted");
    assert_same(&rootfs.on_disk(), &before);
}

#[test]
fn discarding_while_it_is_shifted_and_shifting_what_was_never_attached() {
    let place = Place::new();
    let rootfs = Rootfs::new(&place, "rootfs", &[]);
    assert!(matches!(rootfs.shift_to(ids()), Err(CloneError::NotAttached { .. })));
    rootfs.attach();
    rootfs.shift();
    assert!(matches!(rootfs.clone.discard(), Err(CloneError::Shifted { .. })));
    assert!(rootfs.shown("usr/sudo").exists(), "it is still attached");
}
