//! What is shown where, over detaching, other mount namespaces and reboots.

use std::{fs, path::Path, thread};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};
use sysbox_host::{
    mount_namespace::{detach_below, enter_private},
    overlay::{self, clone::CloneError},
};

use crate::{
    place::{GID, Place, UID, as_container_root, owner},
    rootfs::{Rootfs, ids, shifted_by},
    support::assert_same,
};

fn mounts_below(path: &Path) -> usize {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").expect("read");
    let path = path.to_str().expect("text");
    table.lines().filter(|line| line.split(' ').nth(4).is_some_and(|point| point.starts_with(path))).count()
}

#[test]
fn unshifted_it_is_the_rootfs_itself_and_both_can_be_written() {
    let place = Place::new();
    let rootfs = Rootfs::new(&place, "rootfs", &[]);
    for round in ["first", "second"] {
        rootfs.attach();
        fs::write(rootfs.shown(round), round).expect("written");
        assert!(rootfs.path.as_path().join(round).exists());
        // Copying up and removing need the work directory of the rootfs to be its own still.
        fs::write(rootfs.path.as_path().join("usr/deep/plain"), round).expect("copied up");
        fs::remove_file(rootfs.path.as_path().join(round)).expect("removed");
        rootfs.shift();
        rootfs.revert();
    }
    fs::remove_file(rootfs.path.as_path().join("usr/removed")).expect("removed");
    assert!(!rootfs.shown("usr/removed").exists());
}

#[test]
fn attaching_again_changes_nothing_and_detaching_leaves_nothing() {
    let place = Place::new();
    let rootfs = Rootfs::new(&place, "rootfs", &[]);
    let dir = place.at("rootfs-clone");
    for shifted in [false, true] {
        for _ in 0..3 {
            rootfs.attach();
        }
        if shifted {
            rootfs.shift();
        }
        let mounts = mounts_below(dir.as_path());
        rootfs.attach();
        assert_eq!(mounts_below(dir.as_path()), mounts);
        for _ in 0..2 {
            rootfs.clone.detach().expect("detached");
            assert_eq!(mounts_below(dir.as_path()), 0);
        }
        rootfs.attach();
        assert_eq!(owner(rootfs.shown("usr/sudo")).0, if shifted { UID } else { 0 });
    }
}

#[test]
fn another_mount_namespace_can_attach_it_while_a_container_goes_on() {
    let place = Place::new();
    let rootfs = Rootfs::new(&place, "rootfs", &[]);
    rootfs.attach();
    rootfs.shift();
    thread::scope(|scope| {
        scope.spawn(|| {
            enter_private().expect("root may");
            detach_below(&place.at("rootfs-clone")).expect("detached");
            rootfs.attach();
            assert_eq!(owner(rootfs.shown("usr/sudo")), (UID, GID));
        });
    });
    as_container_root(rootfs.clone.path(), "echo more >> usr/deep/plain; rm usr/removed; echo new > made");
    assert_eq!(owner(rootfs.upper().join("usr/deep/plain")), (UID, GID));
    rootfs.revert();
    assert_eq!(owner(rootfs.shown("made")), (0, 0));
}

#[test]
fn after_a_reboot_it_is_reverted_without_a_mount_or_attached_as_it_was() {
    for attach_first in [false, true] {
        let place = Place::new();
        let rootfs = Rootfs::new(&place, "rootfs", &[]);
        let before = rootfs.on_disk();
        rootfs.attach();
        rootfs.shift();
        rootfs.clone.detach().expect("detached");
        unmount(rootfs.path.as_path(), UnmountFlags::empty()).expect("not in use");
        if attach_first {
            assert!(matches!(rootfs.clone.attach(&rootfs.path), Err(CloneError::NotAnOverlay { .. })));
            overlay::mount(&rootfs.layers, &rootfs.path).expect("mounted");
            rootfs.attach();
            assert_eq!(owner(rootfs.shown("usr/sudo")), (UID, GID));
        }
        rootfs.revert();
        rootfs.revert();
        assert_same(&rootfs.on_disk(), &before);
        rootfs.clone.discard().expect("discarded");
    }
}

#[test]
fn a_rootfs_that_is_gone_leaves_nothing_to_revert() {
    let place = Place::new();
    let rootfs = Rootfs::new(&place, "rootfs", &[]);
    rootfs.attach();
    rootfs.shift();
    rootfs.clone.detach().expect("detached");
    unmount(rootfs.path.as_path(), UnmountFlags::empty()).expect("not in use");
    fs::remove_dir_all(place.at("rootfs")).expect("removed");
    rootfs.revert();
    rootfs.clone.discard().expect("discarded");
    assert!(!place.at("rootfs-clone").as_path().exists());
}

#[test]
fn an_upper_layer_that_is_away_is_reverted_when_it_is_back() {
    let place = Place::new();
    let rootfs = Rootfs::new(&place, "rootfs", &[]);
    let before = rootfs.on_disk();
    rootfs.attach();
    rootfs.shift();
    rootfs.clone.detach().expect("detached");
    unmount(rootfs.path.as_path(), UnmountFlags::empty()).expect("not in use");
    let away = place.at("away");
    fs::rename(rootfs.upper(), away.as_path()).expect("same file system");
    rootfs.revert();
    fs::rename(away.as_path(), rootfs.upper()).expect("same file system");
    assert_eq!(owner(rootfs.upper().join("own")), (UID + 3, GID + 4), "still shifted");
    assert!(matches!(rootfs.clone.discard(), Err(CloneError::Shifted { .. })));
    rootfs.revert();
    assert_same(&rootfs.on_disk(), &before);
    rootfs.clone.discard().expect("discarded");
}

#[test]
fn a_rootfs_that_was_mounted_anew_is_shown_instead_of_the_old_one() {
    let place = Place::new();
    let rootfs = Rootfs::new(&place, "rootfs", &[]);
    rootfs.attach();
    unmount(rootfs.path.as_path(), UnmountFlags::DETACH).expect("mounted");
    overlay::mount(&rootfs.layers, &rootfs.path).expect("mounted");
    rootfs.attach();
    fs::write(rootfs.path.as_path().join("new"), "new").expect("written");
    assert!(rootfs.shown("new").exists());
}

#[test]
fn what_is_mounted_in_the_rootfs_later_does_not_go_away_with_the_clone() {
    let place = Place::on_tmpfs();
    mount_change(place.at(".").as_path(), MountPropagationFlags::SHARED).expect("a mount point");
    let rootfs = Rootfs::new(&place, "rootfs", &[]);
    rootfs.attach();
    let inner = rootfs.path.as_path().join("home");
    mount("tmpfs", &inner, "tmpfs", MountFlags::empty(), None).expect("mounted");
    assert!(rootfs.shown("home/mine").exists());
    rootfs.clone.detach().expect("detached");
    assert_eq!(mounts_below(&inner), 1);
}

#[test]
fn other_ids_make_the_lower_layers_anew() {
    let place = Place::new();
    let rootfs = Rootfs::new(&place, "rootfs", &[]);
    let before = rootfs.on_disk();
    rootfs.attach();
    let first = rootfs.shift();
    assert!(matches!(rootfs.shift_to(shifted_by(5_000_000, 6_000_000)), Err(CloneError::Chown(_))));
    assert_eq!(owner(rootfs.shown("usr/sudo")), (UID, GID), "still shifted");
    rootfs.revert();
    let second = rootfs.shift_to(shifted_by(5_000_000, 6_000_000)).expect("shifted");
    assert_eq!(second.changed, first.changed);
    assert_eq!(owner(rootfs.shown("usr/sudo")), (5_000_000, 6_000_000));
    assert_eq!(owner(rootfs.shown("own")), (5_000_003, 6_000_004));
    rootfs.revert();
    assert_same(&rootfs.on_disk(), &before);
    let third = rootfs.shift_to(ids()).expect("shifted");
    assert_eq!(third.changed, first.changed);
}

#[test]
fn other_layers_make_the_clone_anew_unless_it_is_shifted() {
    let place = Place::new();
    let mut rootfs = Rootfs::new(&place, "rootfs", &[]);
    rootfs.attach();
    rootfs.shift();
    let remount = |rootfs: &Rootfs| {
        unmount(rootfs.path.as_path(), UnmountFlags::DETACH).expect("mounted");
        overlay::mount(&rootfs.layers, &rootfs.path).expect("mounted");
    };
    place.file("third/from-third");
    rootfs.layers.lower.insert(0, place.at("third").into());
    remount(&rootfs);
    assert!(matches!(rootfs.clone.attach(&rootfs.path), Err(CloneError::LayersChanged { .. })));
    rootfs.revert();
    rootfs.attach();
    rootfs.shift();
    assert_eq!(owner(rootfs.shown("from-third")), (UID, GID));
    assert_eq!(owner(rootfs.shown("usr/sudo")), (UID, GID));
    rootfs.revert();
}

#[test]
fn a_bind_mount_of_the_rootfs_elsewhere_is_cloned_as_well() {
    let place = Place::new();
    let rootfs = Rootfs::new(&place, "rootfs", &[]);
    let elsewhere = place.dir("elsewhere");
    mount_bind(rootfs.path.as_path(), elsewhere.as_path()).expect("mounted");
    rootfs.clone.attach(&elsewhere).expect("attached");
    rootfs.shift();
    assert_eq!(owner(rootfs.shown("usr/sudo")), (UID, GID));
}
