//! A rootfs that is out of reach, or another one under the same id: volumes are never lost by that, nor copied over what is not
//! theirs.

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};

use super::*;

/// A disk that is mounted at two places, so that it stays when it is not at the second one, where a rootfs is on it.
fn disk(place: &Place) -> (AbsPath, AbsPath) {
    let (kept, at) = (place.dir("disk"), place.dir("mnt"));
    mount("tmpfs", kept.as_path(), "tmpfs", MountFlags::empty(), None).expect("tmpfs");
    place.dir("disk/rootfs/var/lib/docker");
    mount_bind(kept.as_path(), at.as_path()).expect("a bind mount");
    (kept, at)
}

#[test]
fn a_rootfs_whose_disk_is_not_mounted_is_not_gone_and_gets_its_volume_before_that_is_removed() {
    let place = Place::new();
    let (kept, at) = disk(&place);
    let rootfs = abs(at.as_path().join("rootfs"));
    let mgr = place.open(Host::real());
    start(&mgr, "c", &rootfs);
    let volume = docker(&mgr, ShiftType::IdMappedMount);
    write(&volume, "made", "inside");
    unmount(at.as_path(), UnmountFlags::empty()).expect("mounted");
    stop(&mgr, "c");
    assert!(mgr.gc().expect("usable").containers.is_empty(), "it is only out of reach");
    let error = block_on(mgr.remove(&id("c"))).expect_err("nobody else has what was made");
    assert_eq!(error.kind, ErrorKind::FailedPrecondition);
    assert!(error.to_string().contains("mount that"), "{error}");
    assert_eq!(read(&volume, "made"), "inside");
    mount_bind(kept.as_path(), at.as_path()).expect("a bind mount");
    remove(&mgr, "c");
    assert_eq!(read(&rootfs, "var/lib/docker/made"), "inside");
    assert!(place.leftovers().is_empty());
}

#[test]
fn nothing_is_copied_under_the_mount_point_of_a_rootfs_that_is_not_mounted() {
    let place = Place::new();
    let (kept, rootfs) = disk(&place);
    place.dir("disk/var/lib/docker");
    let mgr = place.open(Host::real());
    start(&mgr, "c", &rootfs);
    write(&docker(&mgr, ShiftType::IdMappedMount), "made", "inside");
    unmount(rootfs.as_path(), UnmountFlags::empty()).expect("mounted");
    stop(&mgr, "c");
    assert_eq!(fs::read_dir(&rootfs).expect("there").count(), 0);
    mount_bind(kept.as_path(), rootfs.as_path()).expect("a bind mount");
    remove(&mgr, "c");
    assert_eq!(read(&rootfs, "var/lib/docker/made"), "inside");
}

#[test]
fn a_volume_is_not_given_for_another_rootfs() {
    let place = Place::new();
    let first = rootfs(&place);
    let other = place.dir("other");
    place.dir("other/var/lib/docker");
    write(&other, "var/lib/docker/own", "own");
    let mgr = place.open(Host::real());
    start(&mgr, "c", &first);
    docker(&mgr, ShiftType::IdMappedMount);
    stop(&mgr, "c");
    start(&mgr, "c", &other);
    let error =
        ask(&mgr, ShiftType::IdMappedMount, &[(MountKind::VarLibDocker, DOCKER)]).expect_err("not its own");
    assert_eq!(error.kind, ErrorKind::FailedPrecondition);
    stop(&mgr, "c");
    assert_eq!(read(&other, "var/lib/docker/own"), "own");
    assert!(!other.as_path().join("var/lib/docker/one").exists());
}

/// A container that has written to its volume when its rootfs is moved away, and another one comes to the path. Gives its volume,
/// its rootfs and the other one.
fn exchange(place: &Place, mgr: &EmbeddedMgr) -> [AbsPath; 3] {
    let (other, away) = (rootfs(place), place.at("away"));
    start(mgr, "c", &other);
    let volume = docker(mgr, ShiftType::IdMappedMount);
    write(&volume, "made", "inside");
    fs::rename(&other, &away).expect("there");
    place.dir("rootfs/var/lib/docker");
    write(&other, "var/lib/docker/new", "new");
    [volume, away, other]
}

#[test]
fn a_volume_is_not_copied_into_another_rootfs_at_the_path_of_its_own() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    let [volume, own, other] = exchange(&place, &mgr);
    stop(&mgr, "c");
    let error = block_on(mgr.remove(&id("c"))).expect_err("nobody else has what was made");
    assert_eq!(error.kind, ErrorKind::FailedPrecondition);
    assert!(error.to_string().contains("another one by now; put its own back"), "{error}");
    assert_eq!(read(&volume, "made"), "inside");
    let inside = other.as_path().join("var/lib/docker");
    assert_eq!(fs::read_dir(&inside).expect("there").count(), 1, "nothing is copied");
    assert_eq!(read(&other, "var/lib/docker/new"), "new");
    fs::remove_dir_all(&other).expect("there");
    fs::rename(&own, &other).expect("there");
    remove(&mgr, "c");
    assert_eq!(read(&other, "var/lib/docker/made"), "inside");
    assert!(place.leftovers().is_empty());
}

#[test]
fn a_container_whose_rootfs_is_another_one_is_not_given_its_volume_and_can_be_removed_without_it() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    let [volume, _, other] = exchange(&place, &mgr);
    stop(&mgr, "c");
    start(&mgr, "c", &other);
    let error =
        ask(&mgr, ShiftType::IdMappedMount, &[(MountKind::VarLibDocker, DOCKER)]).expect_err("not its own");
    assert_eq!(error.kind, ErrorKind::FailedPrecondition);
    assert!(error.to_string().contains("another rootfs"), "{error}");
    stop(&mgr, "c");
    fs::remove_dir_all(&volume).expect("there");
    remove(&mgr, "c");
    assert_eq!(read(&other, "var/lib/docker/new"), "new");
    assert!(place.leftovers().is_empty());
}

#[test]
fn a_volume_of_a_database_that_does_not_say_which_rootfs_it_was_is_copied_back_as_before() {
    let place = Place::new();
    let rootfs = rootfs(&place);
    let mgr = place.open(Host::real());
    start(&mgr, "c", &rootfs);
    write(&docker(&mgr, ShiftType::IdMappedMount), "made", "inside");
    drop(mgr);
    let earlier = "ALTER TABLE volume DROP COLUMN rootfs_inode; ALTER TABLE volume DROP COLUMN rootfs_born; \
        PRAGMA user_version = 2";
    rusqlite::Connection::open(place.at("data/state.db"))
        .and_then(|db| db.execute_batch(earlier))
        .expect("a database of version 2");
    let mgr = place.open(Host::real());
    stop(&mgr, "c");
    assert_eq!(read(&rootfs, "var/lib/docker/made"), "inside");
    remove(&mgr, "c");
}

#[test]
fn a_rootfs_that_was_moved_and_an_overlay_that_was_mounted_anew_are_the_same_as_before() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    place.dir("rootfs.lower/var/lib/docker");
    let (overlay, plain) = (place.overlay("rootfs"), place.dir("plain"));
    for (rootfs, aside) in [(&overlay, None), (&plain, Some(place.at("aside")))] {
        start(&mgr, "c", rootfs);
        write(&docker(&mgr, ShiftType::IdMappedMount), "made", "inside");
        match aside {
            None => {
                unmount(rootfs.as_path(), UnmountFlags::empty()).expect("mounted");
                place.mount_again("rootfs");
            }
            Some(aside) => {
                fs::rename(rootfs, &aside).expect("there");
                fs::rename(&aside, rootfs).expect("there");
            }
        }
        stop(&mgr, "c");
        assert_eq!(read(rootfs, "var/lib/docker/made"), "inside");
        start(&mgr, "c", rootfs);
        docker(&mgr, ShiftType::IdMappedMount);
        stop(&mgr, "c");
        remove(&mgr, "c");
    }
}

#[test]
fn what_cannot_be_removed_from_the_trash_keeps_no_container_from_being_removed() {
    let place = Place::new();
    let rootfs = rootfs(&place);
    let mgr = place.open(Host::real());
    start(&mgr, "c", &rootfs);
    docker(&mgr, ShiftType::IdMappedMount);
    stop(&mgr, "c");
    // Something is mounted there, which a removal does not enter.
    let stuck = place.dir("data/trash/stuck/mounted");
    mount("tmpfs", stuck.as_path(), "tmpfs", MountFlags::empty(), None).expect("tmpfs");
    remove(&mgr, "c");
    assert!(mgr.status(&id("c")).expect("readable").is_none());
    unmount(stuck.as_path(), UnmountFlags::empty()).expect("mounted");
    mgr.repair().expect("usable");
    assert!(place.leftovers().is_empty());
}

#[test]
fn a_volume_whose_rootfs_cannot_be_written_to_is_not_removed_before_it_was_copied_back() {
    let place = Place::new();
    let (_, at) = disk(&place);
    let rootfs = abs(at.as_path().join("rootfs"));
    let mgr = place.open(Host::real());
    start(&mgr, "c", &rootfs);
    write(&docker(&mgr, ShiftType::IdMappedMount), "made", "inside");
    mount_remount(at.as_path(), MountFlags::BIND | MountFlags::RDONLY, "").expect("mounted");
    stop(&mgr, "c");
    let error = block_on(mgr.remove(&id("c"))).expect_err("nobody else has what was made");
    assert!(error.to_string().contains("the volume is kept"), "{error}");
    mount_remount(at.as_path(), MountFlags::BIND, "").expect("mounted");
    remove(&mgr, "c");
    assert_eq!(read(&rootfs, "var/lib/docker/made"), "inside");
    assert!(place.leftovers().is_empty());
}

#[test]
fn two_containers_on_one_rootfs_do_not_both_get_a_volume_for_a_place_of_it() {
    let place = Place::new();
    let rootfs = rootfs(&place);
    let mgr = place.open(Host::real());
    start(&mgr, "other", &rootfs);
    let wish = MountRequest { kind: MountKind::VarLibDocker, destination: abs(DOCKER) };
    let wishes = |name| MountRequests {
        id: id(name),
        rootfs_shift: ShiftType::IdMappedMount,
        mounts: vec![wish.clone()],
    };
    block_on(mgr.req_mounts(&wishes("other"))).expect("the first");
    start(&mgr, "c", &rootfs);
    let error = block_on(mgr.req_mounts(&wishes("c"))).expect_err("the second");
    assert_eq!(error.kind, ErrorKind::FailedPrecondition);
    assert!(error.to_string().contains("container other"), "{error}");
    stop(&mgr, "other");
    block_on(mgr.req_mounts(&wishes("c"))).expect("alone by now");
}

#[test]
fn of_two_containers_that_ask_at_the_same_time_one_gets_the_volume() {
    let place = Place::new();
    let rootfs = rootfs(&place);
    for nth in 0..2000 {
        fs::write(rootfs.as_path().join(format!("var/lib/docker/{nth}")), "").expect("writable");
    }
    let ask = |name: &'static str| {
        let mgr = place.open(Host::real());
        start(&mgr, name, &rootfs);
        move || {
            let mounts = vec![MountRequest { kind: MountKind::VarLibDocker, destination: abs(DOCKER) }];
            let request = MountRequests { id: id(name), rootfs_shift: ShiftType::IdMappedMount, mounts };
            block_on(mgr.req_mounts(&request)).map(drop).map_err(|error| error.kind)
        }
    };
    let (first, second) = (ask("c"), ask("other"));
    let outcomes = std::thread::scope(|scope| {
        [scope.spawn(first), scope.spawn(second)].map(|thread| thread.join().expect("it does not panic"))
    });
    let refused = outcomes.iter().filter(|outcome| **outcome == Err(ErrorKind::FailedPrecondition)).count();
    assert_eq!((refused, outcomes.iter().flatten().count()), (1, 1), "{outcomes:?}");
}
