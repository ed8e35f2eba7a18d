//! Volumes: filled from the rootfs, kept, and copied back.

mod away;
mod hostile;
mod owners;
mod trouble;

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::SystemTime,
};

use pollster::block_on;
use sysbox_core::{
    AbsPath, ErrorKind, MgrPort, Mount, MountKind, MountRequest, MountRequests, PortError, ShiftType,
};
use sysbox_embedded::{EmbeddedMgr, Work, WorkProgress};

use crate::support::{Host, Place, abs, id, kind, record, remove, start, stop};

const DOCKER: &str = "/var/lib/docker";
const KUBELET: &str = "/var/lib/kubelet";

/// Asks for mounts behind these places, and gives those of volumes.
fn ask(mgr: &EmbeddedMgr, shift: ShiftType, wishes: &[(MountKind, &str)]) -> Result<Vec<Mount>, PortError> {
    let wish = |(kind, destination): &(MountKind, &str)| MountRequest {
        kind: *kind,
        destination: abs(*destination),
    };
    let mounts = wishes.iter().map(wish).collect();
    let given = block_on(mgr.req_mounts(&MountRequests { id: id("c"), rootfs_shift: shift, mounts }))?;
    Ok(given.into_iter().filter(|mount| mount.source.contains("/volumes/")).collect())
}

/// The volume behind Docker's data root.
fn docker(mgr: &EmbeddedMgr, shift: ShiftType) -> AbsPath {
    let given = ask(mgr, shift, &[(MountKind::VarLibDocker, DOCKER)]).expect("a volume");
    abs(&given[0].source)
}

/// A rootfs, all of the host's root, with something in Docker's data root.
fn rootfs(place: &Place) -> AbsPath {
    let rootfs = place.tree("rootfs", 0);
    place.dir("rootfs/var/lib/docker/sub");
    fs::write(rootfs.as_path().join("var/lib/docker/one"), "one").expect("writable");
    fs::write(rootfs.as_path().join("var/lib/docker/sub/two"), "two").expect("writable");
    rootfs
}

fn read(path: &AbsPath, below: &str) -> String {
    fs::read_to_string(path.as_path().join(below)).expect("there")
}

fn write(path: &AbsPath, below: &str, text: &str) {
    fs::write(path.as_path().join(below), text).expect("writable");
}

fn mode(path: &AbsPath) -> u32 {
    fs::metadata(path).expect("there").mode() & 0o7777
}

#[test]
fn volumes_are_given_in_the_order_of_the_wishes_each_once_and_filled() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    start(&mgr, "c", rootfs(&place));
    let wishes = [
        (MountKind::VarLibKubelet, KUBELET),
        (MountKind::VarLibDocker, DOCKER),
        (MountKind::VarLibDocker, "/var/lib//docker/"),
        (MountKind::VarLibContainerdOvfs, "/var/lib/ovfs"),
        (MountKind::VarLibDocker, "/srv/docker"),
    ];
    let given = ask(&mgr, ShiftType::IdMappedMount, &wishes).expect("volumes");
    let destinations: Vec<_> = given.iter().map(|mount| mount.destination.to_string()).collect();
    assert_eq!(destinations, [KUBELET, DOCKER, "/var/lib/ovfs", "/srv/docker"]);
    assert!(given.iter().all(|mount| mount.kind == "bind" && mount.options == ["rbind", "rprivate"]));
    let sources: Vec<_> = given.iter().map(|mount| abs(&mount.source)).collect();
    assert_eq!(sources.iter().map(mode).collect::<Vec<_>>(), [0o755, 0o700, 0o700, 0o700]);
    assert_eq!((read(&sources[1], "one"), read(&sources[1], "sub/two")), ("one".into(), "two".into()));
    let mut listed: Vec<_> = record(&mgr, "c").volumes.into_iter().map(|volume| volume.path).collect();
    let mut sources = sources;
    sources.sort();
    listed.sort();
    assert_eq!(listed, sources);
}

#[test]
fn what_was_changed_added_and_removed_in_a_volume_is_in_the_rootfs_after_a_pause_and_a_stop() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    let rootfs = rootfs(&place);
    start(&mgr, "c", &rootfs);
    let (volume, inside) = (docker(&mgr, ShiftType::IdMappedMount), place.at("rootfs/var/lib/docker"));
    write(&volume, "one", "changed");
    write(&volume, "three", "added");
    block_on(mgr.pause(&id("c"))).expect("running");
    assert_eq!((read(&inside, "one"), read(&inside, "three")), ("changed".into(), "added".into()));
    assert_eq!(read(&rootfs, "roots"), "roots", "nothing else is touched");
    block_on(mgr.resume(&id("c"))).expect("paused");
    fs::remove_dir_all(volume.as_path().join("sub")).expect("there");
    write(&volume, "three", "again");
    stop(&mgr, "c");
    assert!(!inside.as_path().join("sub").exists());
    assert_eq!(read(&inside, "three"), "again");
    remove(&mgr, "c");
    assert!(!volume.as_path().exists());
    assert_eq!(place.leftovers(), Vec::<PathBuf>::new());
    assert_eq!(read(&inside, "three"), "again");
}

#[test]
fn a_change_that_keeps_size_and_time_is_copied_back() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    start(&mgr, "c", rootfs(&place));
    let (volume, inside) = (docker(&mgr, ShiftType::IdMappedMount), place.at("rootfs/var/lib/docker"));
    for text in ["eno", "neo"] {
        let file = volume.as_path().join("one");
        let before = fs::metadata(&file).expect("there").modified().expect("known");
        fs::write(&file, text).expect("writable");
        set_modified(&file, before);
        block_on(mgr.pause(&id("c"))).expect("running");
        assert_eq!(read(&inside, "one"), text);
        block_on(mgr.resume(&id("c"))).expect("paused");
    }
}

fn set_modified(file: &Path, time: SystemTime) {
    let file = fs::File::options().write(true).open(file).expect("writable");
    file.set_modified(time).expect("ours");
}

#[test]
fn a_restarted_container_gets_its_volumes_as_they_were() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    let rootfs = rootfs(&place);
    start(&mgr, "c", &rootfs);
    let wishes = [(MountKind::VarLibDocker, DOCKER), (MountKind::VarLibKubelet, KUBELET)];
    let first = ask(&mgr, ShiftType::Chown, &wishes).expect("volumes");
    write(&abs(&first[0].source), "three", "kept");
    stop(&mgr, "c");
    write(&place.at("rootfs/var/lib/docker"), "one", "in the rootfs alone");
    start(&mgr, "c", &rootfs);
    assert_eq!(ask(&mgr, ShiftType::Chown, &wishes).expect("the same"), first);
    let volume = abs(&first[0].source);
    assert_eq!((read(&volume, "three"), read(&volume, "one")), ("kept".into(), "one".into()));
}

#[test]
fn a_volume_that_a_restart_did_not_ask_for_is_not_copied_over_what_was_written_in_its_place() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    let rootfs = rootfs(&place);
    start(&mgr, "c", &rootfs);
    let volume = docker(&mgr, ShiftType::IdMappedMount);
    stop(&mgr, "c");
    start(&mgr, "c", &rootfs);
    let inside = place.at("rootfs/var/lib/docker");
    write(&inside, "one", "by the second run");
    stop(&mgr, "c");
    assert_eq!(read(&inside, "one"), "by the second run");
    assert_eq!(read(&volume, "one"), "one", "it is kept");
}

#[test]
fn an_empty_volume_makes_nothing_in_the_rootfs_and_a_filled_one_makes_its_place() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    start(&mgr, "c", place.tree("rootfs", 0));
    let wishes = [(MountKind::VarLibDocker, DOCKER), (MountKind::VarLibKubelet, KUBELET)];
    let given = ask(&mgr, ShiftType::IdMappedMount, &wishes).expect("volumes");
    write(&abs(&given[1].source), "made", "inside");
    stop(&mgr, "c");
    assert!(!place.at("rootfs/var/lib/docker").as_path().exists());
    assert_eq!(read(&place.at("rootfs/var/lib/kubelet"), "made"), "inside");
    assert_eq!(mode(&place.at("rootfs/var/lib")), 0o755);
}

#[test]
fn the_volumes_of_an_overlay_are_copied_into_it() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    place.dir("rootfs.lower/var/lib/docker");
    fs::write(place.at("rootfs.lower/var/lib/docker/one"), "one").expect("writable");
    let rootfs = place.overlay("rootfs");
    start(&mgr, "c", &rootfs);
    let volume = docker(&mgr, ShiftType::Chown);
    assert_eq!(read(&volume, "one"), "one");
    fs::remove_file(volume.as_path().join("one")).expect("there");
    write(&volume, "two", "two");
    // Whoever writes to the upper layer past the overlay is seen too.
    fs::create_dir_all(place.at("rootfs.upper/var/lib")).expect("writable");
    stop(&mgr, "c");
    let inside = place.at("rootfs/var/lib/docker");
    assert_eq!(read(&inside, "two"), "two");
    assert!(!inside.as_path().join("one").exists());
    assert!(place.at("rootfs.upper/var/lib/docker/two").as_path().exists());
}

#[test]
fn a_stopped_container_and_one_without_the_ids_it_needs_are_refused() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    let rootfs = rootfs(&place);
    let registration = sysbox_core::Registration {
        id: id("c"),
        rootfs: rootfs.clone(),
        userns: None,
        netns: None,
        uid_mappings: sysbox_core::IdMappings::default(),
        gid_mappings: sysbox_core::IdMappings::default(),
    };
    block_on(mgr.register(&registration)).expect("new");
    let wish = [(MountKind::VarLibDocker, DOCKER)];
    for shift in [ShiftType::Chown, ShiftType::Shiftfs] {
        assert_eq!(kind(ask(&mgr, shift, &wish)), ErrorKind::FailedPrecondition);
    }
    ask(&mgr, ShiftType::IdMappedMount, &wish).expect("it needs none");
    stop(&mgr, "c");
    assert_eq!(kind(ask(&mgr, ShiftType::IdMappedMount, &wish)), ErrorKind::FailedPrecondition);
    assert_eq!(kind(ask(&mgr, ShiftType::IdMappedMount, &[])), ErrorKind::FailedPrecondition);
}

#[test]
fn a_volume_within_another_is_copied_back_over_what_that_has_of_it() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    start(&mgr, "c", rootfs(&place));
    let wishes = [(MountKind::VarLibKubelet, "/var/lib/docker/sub"), (MountKind::VarLibDocker, DOCKER)];
    let given = ask(&mgr, ShiftType::Chown, &wishes).expect("volumes");
    write(&abs(&given[0].source), "two", "inner");
    stop(&mgr, "c");
    assert_eq!(read(&place.at("rootfs/var/lib/docker"), "sub/two"), "inner");
}

#[test]
fn it_is_told_how_far_the_copies_have_come_and_when_they_were_made() {
    let place = Place::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let tell = move |now: &WorkProgress| listener.lock().expect("whole").push(now.clone());
    let mgr = place.open(Host::real()).with_progress(Arc::new(tell));
    start(&mgr, "c", rootfs(&place));
    let volume = docker(&mgr, ShiftType::IdMappedMount);
    let filled = record(&mgr, "c").volumes[0].synced.expect("it was filled");
    write(&volume, "three", "added");
    stop(&mgr, "c");
    assert!(record(&mgr, "c").volumes[0].synced.expect("it was copied back") > filled);
    let told = told.lock().expect("whole");
    for (work, entries) in [(Work::SyncIn, 3), (Work::SyncOut, 4)] {
        let last = told.iter().rfind(|now| now.work == work).expect("told");
        assert_eq!((&last.path, last.done, last.total), (&volume, entries, entries), "{work:?}");
    }
}
