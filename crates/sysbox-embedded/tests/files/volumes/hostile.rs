//! A rootfs that would lead elsewhere: nothing outside of it is read or changed.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::PathBuf};

use rustix::{
    fs::{CWD, Mode, mkfifoat},
    mount::{UnmountFlags, mount_bind, unmount},
};
use sysbox_core::{AbsPath, MountKind, ShiftType};

use super::{DOCKER, ask, read, write};
use crate::support::{Host, Place, abs, record, remove, snapshot, start, stop};

/// A tree beside the rootfs in which nothing may change.
fn sentinel(place: &Place) -> (AbsPath, BTreeMap<PathBuf, String>) {
    let outside = place.tree("outside", 1000);
    let before = snapshot(&outside);
    (outside, before)
}

/// A container whose Docker data root is made by `make`: it starts, writes into its volume, and stops. Gives the rootfs, and
/// the volume as it was filled.
fn run(make: impl FnOnce(&AbsPath, &AbsPath)) -> (Place, AbsPath, BTreeMap<PathBuf, String>) {
    let place = Place::new();
    let (outside, before) = sentinel(&place);
    let mgr = place.open(Host::real());
    let rootfs = place.tree("rootfs", 0);
    place.dir("rootfs/var/lib");
    make(&rootfs, &outside);
    start(&mgr, "c", &rootfs);
    let given = ask(&mgr, ShiftType::Chown, &[(MountKind::VarLibDocker, DOCKER)]).expect("a volume");
    let volume = abs(&given[0].source);
    let filled = snapshot(&volume);
    write(&volume, "new", "new");
    stop(&mgr, "c");
    assert_eq!(snapshot(&outside), before, "what is outside of the rootfs is as it was");
    assert_eq!(read(&record(&mgr, "c").volumes[0].path, "new"), "new", "the volume is kept");
    remove(&mgr, "c");
    assert_eq!(snapshot(&outside), before);
    (place, rootfs, filled)
}

fn names(filled: &BTreeMap<PathBuf, String>) -> Vec<&str> {
    filled.keys().filter_map(|path| path.to_str()).filter(|name| !name.is_empty()).collect()
}

#[test]
fn a_link_to_a_path_of_the_host_leads_to_that_path_in_the_rootfs() {
    let (_place, rootfs, filled) = run(|rootfs, _| {
        fs::create_dir(rootfs.as_path().join("etc")).expect("writable");
        write(rootfs, "etc/inside", "inside");
        symlink("/etc", rootfs.as_path().join("var/lib/docker")).expect("writable");
    });
    assert_eq!(names(&filled), ["inside"]);
    assert_eq!((read(&rootfs, "etc/inside"), read(&rootfs, "etc/new")), ("inside".into(), "new".into()));
}

#[test]
fn a_link_out_of_the_rootfs_leads_nowhere() {
    let (_place, rootfs, filled) = run(|rootfs, outside| {
        symlink(outside, rootfs.as_path().join("var/lib/docker")).expect("writable");
    });
    assert!(filled.len() == 1, "nothing of it is copied: {filled:?}");
    assert!(rootfs.as_path().join("var/lib/docker").is_symlink());
}

#[test]
fn a_link_above_the_root_leads_to_the_root() {
    let (_place, rootfs, filled) = run(|rootfs, _| {
        fs::create_dir(rootfs.as_path().join("outside")).expect("writable");
        write(rootfs, "outside/inside", "inside");
        symlink("../../../../../outside", rootfs.as_path().join("var/lib/docker")).expect("writable");
    });
    assert_eq!(names(&filled), ["inside"]);
    assert_eq!(read(&rootfs, "outside/new"), "new");
}

#[test]
fn a_loop_a_name_too_long_and_what_is_no_directory_begin_empty_and_stay_as_they_are() {
    let in_place: [fn(PathBuf); 4] = [
        |path| symlink("a".repeat(300), path).expect("writable"),
        |path| symlink("docker", path).expect("writable"),
        |path| mkfifoat(CWD, path, Mode::RUSR).expect("writable"),
        |path| fs::write(path, "a file").expect("writable"),
    ];
    for make in in_place {
        let (place, rootfs, filled) = run(|rootfs, _| make(rootfs.as_path().join("var/lib/docker")));
        assert_eq!(filled.len(), 1, "it begins empty: {filled:?}");
        let path = rootfs.as_path().join("var/lib/docker");
        assert!(!fs::symlink_metadata(path).expect("there").is_dir(), "it is as it was");
        drop(place);
    }
}

#[test]
fn what_a_container_puts_in_the_place_of_its_directory_is_not_followed_out_either() {
    let place = Place::new();
    let (outside, before) = sentinel(&place);
    let mgr = place.open(Host::real());
    let rootfs = place.tree("rootfs", 0);
    place.dir("rootfs/var/lib/docker");
    start(&mgr, "c", &rootfs);
    let given = ask(&mgr, ShiftType::IdMappedMount, &[(MountKind::VarLibDocker, DOCKER)]).expect("a volume");
    let volume = abs(&given[0].source);
    write(&volume, "new", "new");
    symlink(&outside, volume.as_path().join("link")).expect("writable");
    let inside = rootfs.as_path().join("var/lib/docker");
    fs::remove_dir(&inside).expect("empty");
    symlink(&outside, &inside).expect("writable");
    stop(&mgr, "c");
    assert_eq!(snapshot(&outside), before);
}

/// Puts a link in the place of the directory of Docker's data root, as `mv /var/lib /var/old` and what follows does.
fn lead_away(rootfs: &AbsPath, target: &str) {
    let inside = |path: &str| rootfs.as_path().join(path);
    fs::rename(inside("var/lib"), inside("var/old")).expect("there");
    fs::create_dir(inside("var/lib")).expect("writable");
    symlink(target, inside("var/lib/docker")).expect("writable");
}

#[test]
fn a_rootfs_whose_links_lead_nowhere_keeps_no_container_from_being_removed() {
    for target in ["a".repeat(300), "docker".to_owned(), "../old/file/x".to_owned(), "/a".repeat(2000)] {
        let place = Place::new();
        let mgr = place.open(Host::real());
        let rootfs = super::rootfs(&place);
        write(&rootfs, "var/lib/file", "a file");
        start(&mgr, "c", &rootfs);
        write(&super::docker(&mgr, ShiftType::IdMappedMount), "new", "new");
        lead_away(&rootfs, &target);
        stop(&mgr, "c");
        start(&mgr, "c", &rootfs);
        super::docker(&mgr, ShiftType::IdMappedMount);
        stop(&mgr, "c");
        remove(&mgr, "c");
        assert!(place.leftovers().is_empty());
    }
}

#[test]
fn what_the_host_has_mounted_below_a_rootfs_is_not_changed_by_what_the_container_does() {
    let rootfs_of: [fn(&Place) -> AbsPath; 2] = [super::rootfs, |place| {
        place.dir("rootfs.upper/var/lib/docker");
        place.overlay("rootfs")
    }];
    for make in rootfs_of {
        let place = Place::new();
        let (outside, before) = sentinel(&place);
        let mgr = place.open(Host::real());
        let rootfs = make(&place);
        let at = place.dir("rootfs/mnt");
        mount_bind(outside.as_path(), at.as_path()).expect("a bind mount");
        for target in ["/mnt", "../../mnt/dir", "/mnt/new"] {
            start(&mgr, "c", &rootfs);
            write(&super::docker(&mgr, ShiftType::IdMappedMount), "new", "new");
            lead_away(&rootfs, target);
            stop(&mgr, "c");
            remove(&mgr, "c");
            assert_eq!(snapshot(&outside), before, "{target}");
            fs::remove_dir_all(rootfs.as_path().join("var/lib")).expect("writable");
            fs::rename(rootfs.as_path().join("var/old"), rootfs.as_path().join("var/lib")).expect("there");
        }
        unmount(at.as_path(), UnmountFlags::empty()).expect("mounted");
        assert_eq!(read(&at, "new"), "new", "it is where the container finds it");
    }
}

#[test]
fn what_the_host_has_mounted_below_a_rootfs_is_in_no_volume() {
    let place = Place::new();
    let (outside, before) = sentinel(&place);
    let mgr = place.open(Host::real());
    let rootfs = super::rootfs(&place);
    mount_bind(outside.as_path(), place.dir("rootfs/mnt").as_path()).expect("a bind mount");
    lead_away(&rootfs, "/mnt");
    start(&mgr, "c", &rootfs);
    let volume = super::docker(&mgr, ShiftType::IdMappedMount);
    assert_eq!(fs::read_dir(&volume).expect("there").count(), 0);
    stop(&mgr, "c");
    assert_eq!(snapshot(&outside), before);
}
