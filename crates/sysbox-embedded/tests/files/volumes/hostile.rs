//! A rootfs that would lead elsewhere: nothing outside of it is read or changed.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::PathBuf};

use rustix::fs::{CWD, Mode, mkfifoat};
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
fn a_loop_and_what_is_no_directory_begin_empty_and_stay_as_they_are() {
    let in_place: [fn(PathBuf); 3] = [
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
