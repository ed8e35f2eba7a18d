//! Whom the files in a volume belong to, and whom in the rootfs afterwards.

use std::{fs, os::unix::fs::lchown};

use rustix::fs::{XattrFlags, lgetxattr, lsetxattr};
use sysbox_core::{
    AbsPath, IdRange, ShiftType,
    tree::{TreeIds, TreePhase},
};
use sysbox_host::chown;

use super::{docker, read, rootfs, write};
use crate::support::{Host, Place, SIZE, id, owner, remove, snapshot, start, stop};

const INSIDE: &str = "var/lib/docker";

/// The text of an access ACL in which a user is named (`linux/posix_acl_xattr.h`): with id 1005, and for the rest `rwxr-x---`.
fn acl(user: u32) -> Vec<u8> {
    let none = u32::MAX;
    let entries = [(1u16, 7u16, none), (2, 5, user), (4, 5, none), (0x10, 5, none), (0x20, 0, none)];
    let mut text = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        text.extend([tag.to_le_bytes(), permissions.to_le_bytes()].concat());
        text.extend(id.to_le_bytes());
    }
    text
}

fn acl_of(path: &AbsPath, below: &str) -> Vec<u8> {
    let mut text = [0; 256];
    let length =
        lgetxattr(path.as_path().join(below), c"system.posix_acl_access", &mut text[..]).expect("an ACL");
    text[..length].to_vec()
}

fn give(path: &AbsPath, below: &str, id: u32) {
    lchown(path.as_path().join(below), Some(id), Some(id)).expect("run as root");
}

/// A rootfs with files of several owners, of the container's ids.
fn owned(place: &Place) -> AbsPath {
    let rootfs = rootfs(place);
    own(place, &rootfs, 0);
    rootfs
}

/// Gives the files to several owners, all from this id on.
fn own(place: &Place, rootfs: &AbsPath, first: u32) {
    let docker = rootfs_docker(place);
    write(&docker, "users", "users");
    for (file, id) in [("", 0), ("one", 0), ("sub", 1000), ("sub/two", 0), ("users", 1005)] {
        give(&docker, file, first + id);
    }
    give(rootfs, "", first);
    let acl = acl(first + 1005);
    lsetxattr(docker.as_path().join("sub"), c"system.posix_acl_access", &acl, XattrFlags::empty())
        .expect("ext4");
}

/// Checks whom the files belong to, by the first id.
fn expect_owners(path: &AbsPath, first: u32) {
    for (file, id) in [("one", 0), ("sub", 1000), ("sub/two", 0), ("users", 1005)] {
        assert_eq!(owner(path, file), (first + id, first + id), "{file} in {path}");
    }
    assert_eq!(acl_of(path, "sub"), acl(first + 1005));
}

fn ids(first: u32) -> TreeIds {
    let range = IdRange::new(first, SIZE).expect("valid");
    TreeIds { uids: range, gids: range }
}

/// Writes a file in a volume as a user of the container does.
fn write_as(volume: &AbsPath, file: &str, id: u32) {
    write(volume, file, file);
    give(volume, file, id);
}

#[test]
fn id_mapped_volumes_have_the_containers_ids() {
    for shift in [ShiftType::IdMappedMount, ShiftType::IdMappedMountOrShiftfs] {
        let place = Place::new();
        let mgr = place.open(Host::real());
        let rootfs = owned(&place);
        start(&mgr, "c", &rootfs);
        let volume = docker(&mgr, shift);
        assert_eq!(owner(&volume, ""), (0, 0));
        expect_owners(&volume, 0);
        write_as(&volume, "new", 7);
        stop(&mgr, "c");
        expect_owners(&rootfs_docker(&place), 0);
        assert_eq!(owner(&rootfs, "var/lib/docker/new"), (7, 7));
    }
}

fn rootfs_docker(place: &Place) -> AbsPath {
    place.at("rootfs/var/lib/docker")
}

#[test]
fn volumes_of_a_shifted_rootfs_have_the_hosts_ids_and_the_rootfs_gets_the_containers() {
    for shift in [ShiftType::Shiftfs, ShiftType::Chown] {
        let place = Place::new();
        let mgr = place.open(Host::real());
        let rootfs = owned(&place);
        let first = start(&mgr, "c", &rootfs);
        let volume = docker(&mgr, shift);
        assert_eq!(owner(&volume, ""), (first, first));
        expect_owners(&volume, first);
        let record = chown::record(&volume).expect("readable").expect("on record");
        assert_eq!((record.ids, record.phase), (ids(first), TreePhase::Shifted));
        write_as(&volume, "new", first + 7);
        stop(&mgr, "c");
        expect_owners(&rootfs_docker(&place), 0);
        assert_eq!(owner(&rootfs, "var/lib/docker/new"), (7, 7));
    }
}

#[test]
fn volumes_of_a_rootfs_that_is_on_record_as_shifted_are_as_it_is() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    let rootfs = owned(&place);
    let before = snapshot(&rootfs);
    let first = start(&mgr, "c", &rootfs);
    chown::shift_tree(&rootfs, &id("c"), ids(first), &|_| {}).expect("ext4");
    let volume = docker(&mgr, ShiftType::Chown);
    expect_owners(&volume, first);
    write_as(&volume, "new", first + 7);
    fs::create_dir(volume.as_path().join("made")).expect("writable");
    stop(&mgr, "c");
    expect_owners(&rootfs_docker(&place), first);
    assert_eq!(owner(&rootfs, "var/lib/docker/new"), (first + 7, first + 7));
    chown::revert_tree(&rootfs, &|_| {}).expect("on record");
    for name in ["new", "made"] {
        let path = rootfs.as_path().join(INSIDE).join(name);
        if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) }.expect("there");
    }
    assert_eq!(snapshot(&rootfs), before);
}

#[test]
fn id_mapped_volumes_of_a_rootfs_on_record_as_shifted_have_the_containers_ids() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    let rootfs = owned(&place);
    let first = start(&mgr, "c", &rootfs);
    chown::shift_tree(&rootfs, &id("c"), ids(first), &|_| {}).expect("ext4");
    let volume = docker(&mgr, ShiftType::IdMappedMount);
    expect_owners(&volume, 0);
    write_as(&volume, "new", 7);
    stop(&mgr, "c");
    expect_owners(&rootfs_docker(&place), first);
    assert_eq!(owner(&rootfs, "var/lib/docker/new"), (first + 7, first + 7));
}

#[test]
fn volumes_of_a_rootfs_shifted_for_other_ids_have_their_own_and_it_gets_the_containers() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    let rootfs = owned(&place);
    let first = start(&mgr, "c", &rootfs);
    let other = first + 10 * SIZE;
    chown::shift_tree(&rootfs, &id("other"), ids(other), &|_| {}).expect("ext4");
    let volume = docker(&mgr, ShiftType::Chown);
    expect_owners(&volume, first);
    write_as(&volume, "new", first + 7);
    stop(&mgr, "c");
    chown::revert_tree(&rootfs, &|_| {}).expect("on record");
    expect_owners(&rootfs_docker(&place), 0);
    assert_eq!(owner(&rootfs, "var/lib/docker/new"), (7, 7));
}

#[test]
fn volumes_of_a_rootfs_with_the_hosts_ids_are_as_it_is() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    // Whoever made it has given it to the container's root.
    let rootfs = rootfs(&place);
    let first = start(&mgr, "c", &rootfs);
    own(&place, &rootfs, first);
    let volume = docker(&mgr, ShiftType::NoShift);
    assert_eq!(owner(&volume, ""), (first, first));
    expect_owners(&volume, first);
    assert_eq!(chown::record(&volume).expect("readable"), None);
    write_as(&volume, "new", first + 7);
    stop(&mgr, "c");
    expect_owners(&rootfs_docker(&place), first);
    assert_eq!(owner(&rootfs, "var/lib/docker/new"), (first + 7, first + 7));
}

#[test]
fn a_place_that_is_made_in_the_rootfs_belongs_to_the_containers_root_on_that_disk() {
    for (is_shifted, shift) in
        [(true, ShiftType::Chown), (false, ShiftType::Chown), (false, ShiftType::NoShift)]
    {
        let place = Place::new();
        let mgr = place.open(Host::real());
        let rootfs = place.tree("rootfs", 0);
        let first = start(&mgr, "c", &rootfs);
        if is_shifted {
            chown::shift_tree(&rootfs, &id("c"), ids(first), &|_| {}).expect("ext4");
        }
        if shift == ShiftType::NoShift {
            give(&rootfs, "", first);
        }
        write_as(&docker(&mgr, shift), "new", first);
        stop(&mgr, "c");
        let wanted = if is_shifted || shift == ShiftType::NoShift { first } else { 0 };
        for made in ["var", "var/lib", INSIDE, "var/lib/docker/new"] {
            assert_eq!(
                owner(&rootfs, made),
                (wanted, wanted),
                "{made} with {shift:?}, shifted: {is_shifted}"
            );
        }
    }
}

#[test]
fn a_restart_with_another_shift_brings_the_volume_in_line_and_loses_nothing() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    let rootfs = owned(&place);
    let shifts = [
        ShiftType::Chown,
        ShiftType::IdMappedMount,
        ShiftType::Shiftfs,
        ShiftType::NoShift,
        ShiftType::IdMappedMount,
        ShiftType::NoShift,
        ShiftType::Chown,
    ];
    for (run, shift) in (0u32..).zip(shifts) {
        let first = start(&mgr, "c", &rootfs);
        let volume = docker(&mgr, shift);
        let on_disk = if shift == ShiftType::IdMappedMount { 0 } else { first };
        expect_owners(&volume, on_disk);
        assert_eq!(owner(&volume, ""), (on_disk, on_disk), "{shift:?}");
        for earlier in 0..run {
            assert_eq!(owner(&volume, &format!("new{earlier}")), (on_disk + earlier, on_disk + earlier));
            assert_eq!(read(&volume, &format!("new{earlier}")), format!("new{earlier}"));
        }
        write_as(&volume, &format!("new{run}"), on_disk + run);
        stop(&mgr, "c");
        // A rootfs that is not shifted is one with the ids that the volume has.
        let in_rootfs = if shift == ShiftType::NoShift { first } else { 0 };
        expect_owners(&rootfs_docker(&place), in_rootfs);
    }
}

#[test]
fn a_volume_first_given_without_a_shift_can_be_shifted_later() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    let rootfs = rootfs(&place);
    let first = start(&mgr, "c", &rootfs);
    own(&place, &rootfs, first);
    let volume = docker(&mgr, ShiftType::NoShift);
    stop(&mgr, "c");
    start(&mgr, "c", &rootfs);
    assert_eq!(docker(&mgr, ShiftType::Chown), volume);
    expect_owners(&volume, first);
    stop(&mgr, "c");
    expect_owners(&rootfs_docker(&place), 0);
    start(&mgr, "c", &rootfs);
    docker(&mgr, ShiftType::IdMappedMount);
    expect_owners(&volume, 0);
}

#[test]
fn a_shift_that_was_broken_off_is_gone_on_with_by_the_next_run() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    let rootfs = owned(&place);
    let first = start(&mgr, "c", &rootfs);
    let volume = docker(&mgr, ShiftType::Chown);
    stop(&mgr, "c");
    // As a crash in the middle of the way back leaves it.
    let record = chown::record(&volume).expect("readable").expect("on record");
    let record = sysbox_core::tree::TreeRecord { phase: TreePhase::Reverting, ..record }.to_string();
    lsetxattr(volume.as_path(), c"trusted.sysbox.shift", record.as_bytes(), XattrFlags::empty())
        .expect("root may");
    give(&volume, "one", 0);
    start(&mgr, "c", &rootfs);
    docker(&mgr, ShiftType::Chown);
    expect_owners(&volume, first);
    stop(&mgr, "c");
    remove(&mgr, "c");
    expect_owners(&rootfs_docker(&place), 0);
}
