//! What cannot be done: it is said, and nothing is lost.

use std::{
    fs::{self, File},
    process::Command,
};

use pollster::block_on;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use sysbox_core::{ErrorKind, MgrPort, MountKind, ShiftType};
use sysbox_embedded::{Config, EmbeddedMgr, Intent};

use super::{DOCKER, KUBELET, ask, docker, read, rootfs, write};
use crate::support::{Host, Place, id, kind, record, remove, start, stop};

/// Mounts a small ext4 in a place, where it goes with that.
fn mount_ext4(place: &Place, at: &str, megabytes: u64) {
    let image = place.at(&format!("{at}.img"));
    File::create(&image).and_then(|file| file.set_len(megabytes << 20)).expect("room");
    let done = |command: &mut Command| assert!(command.status().expect("installed").success(), "{command:?}");
    done(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(image.as_path()));
    done(Command::new("mount").args(["-o", "loop"]).arg(image.as_path()).arg(place.dir(at).as_path()));
}

#[test]
fn a_rootfs_without_room_keeps_the_volume_and_a_repair_finishes_the_stop() {
    let place = Place::new();
    mount_ext4(&place, "rootfs", 24);
    let rootfs = rootfs(&place);
    let filler = place.at("rootfs/filler");
    fs::write(&filler, vec![1; 14 << 20]).expect("room");
    let mgr = place.open(Host::real());
    start(&mgr, "c", &rootfs);
    let volume = docker(&mgr, ShiftType::Chown);
    let big = vec![2; 10 << 20];
    fs::write(volume.as_path().join("big"), &big).expect("room");
    let error = block_on(mgr.unregister(&id("c"))).expect_err("no room");
    assert_eq!(error.kind, ErrorKind::ResourceExhausted, "{error}");
    for part in [volume.to_string(), rootfs.to_string()] {
        assert!(error.to_string().contains(&part), "{error}");
    }
    assert_eq!(record(&mgr, "c").unfinished, Some(Intent::Stop));
    assert_eq!(
        kind(block_on(mgr.remove(&id("c")))),
        ErrorKind::ResourceExhausted,
        "the volume is all there is of it"
    );
    assert_eq!(fs::read(volume.as_path().join("big")).expect("kept"), big);
    fs::remove_file(&filler).expect("there");
    let repairs = mgr.repair().expect("readable");
    assert!(repairs.mended.iter().all(|mended| mended.failure.is_none()), "{repairs:?}");
    assert_eq!(record(&mgr, "c").unfinished, None);
    assert_eq!(fs::read(place.at("rootfs/var/lib/docker/big")).expect("copied"), big);
    remove(&mgr, "c");
}

#[test]
fn a_data_root_without_room_makes_no_volume_and_the_next_call_does() {
    let place = Place::new();
    mount_ext4(&place, "data", 24);
    let rootfs = rootfs(&place);
    fs::write(place.at("rootfs/var/lib/docker/big"), vec![1; 14 << 20]).expect("room");
    fs::set_permissions(place.at("data"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("ours");
    fs::write(place.at("data/filler"), vec![1; 10 << 20]).expect("room");
    let mgr = place.open(Host::real());
    start(&mgr, "c", &rootfs);
    let wishes = [(MountKind::VarLibKubelet, KUBELET), (MountKind::VarLibDocker, DOCKER)];
    assert_eq!(kind(ask(&mgr, ShiftType::IdMappedMount, &wishes)), ErrorKind::ResourceExhausted);
    assert_eq!((record(&mgr, "c").volumes, record(&mgr, "c").unfinished), (vec![], None));
    fs::remove_file(place.at("data/filler")).expect("there");
    assert_eq!(ask(&mgr, ShiftType::IdMappedMount, &wishes).expect("room").len(), 2);
    stop(&mgr, "c");
}

#[test]
fn a_read_only_rootfs_keeps_what_it_has_and_the_volume_is_kept() {
    let place = Place::new();
    mount_ext4(&place, "rootfs", 16);
    let rootfs = rootfs(&place);
    let mgr = place.open(Host::real());
    start(&mgr, "c", &rootfs);
    let wishes = [(MountKind::VarLibDocker, DOCKER), (MountKind::VarLibKubelet, KUBELET)];
    let given = ask(&mgr, ShiftType::IdMappedMount, &wishes).expect("volumes");
    for mount in &given {
        fs::write(format!("{}/new", mount.source), "new").expect("writable");
    }
    mount_remount(rootfs.as_path(), MountFlags::RDONLY, "").expect("ext4");
    stop(&mgr, "c");
    assert!(!place.at("rootfs/var/lib/docker/new").as_path().exists());
    assert!(record(&mgr, "c").volumes.iter().all(|volume| read(&volume.path, "new") == "new"));
}

#[test]
fn a_rootfs_that_is_gone_is_no_reason_not_to_stop() {
    let place = Place::new();
    let rootfs = rootfs(&place);
    let mgr = place.open(Host::real());
    start(&mgr, "c", &rootfs);
    let volume = docker(&mgr, ShiftType::Chown);
    fs::rename(&rootfs, place.at("elsewhere")).expect("ours");
    stop(&mgr, "c");
    assert!(!rootfs.as_path().exists(), "nothing is made in its place");
    assert_eq!(read(&volume, "one"), "one");
    remove(&mgr, "c");
}

#[test]
fn a_rootfs_that_is_not_mounted_gives_no_volume_and_takes_none() {
    let place = Place::new();
    place.dir("merged.lower/var/lib/docker");
    fs::write(place.at("merged.lower/var/lib/docker/one"), "one").expect("writable");
    let mgr = place.open(Host::real());
    let rootfs = place.dir("merged");
    start(&mgr, "c", &rootfs);
    let wish = [(MountKind::VarLibDocker, DOCKER)];
    assert_eq!(kind(ask(&mgr, ShiftType::Chown, &wish)), ErrorKind::FailedPrecondition);
    place.overlay("merged");
    let volume = docker(&mgr, ShiftType::Chown);
    assert_eq!(read(&volume, "one"), "one");
    unmount(rootfs.as_path(), UnmountFlags::empty()).expect("mounted");
    stop(&mgr, "c");
    assert_eq!(fs::read_dir(&rootfs).expect("there").count(), 0, "nothing is hidden by the next mount");
}

#[test]
fn volumes_for_container_engines_are_refused_where_they_cannot_work() {
    let place = Place::new();
    let rootfs = rootfs(&place);
    let tmpfs = place.dir("tmpfs");
    mount("tmpfs", tmpfs.as_path(), "tmpfs", MountFlags::empty(), Some(c"mode=700")).expect("tmpfs");
    let overlay = place.overlay("overlay");
    fs::set_permissions(&overlay, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("ours");
    for data_root in [tmpfs, overlay] {
        let mgr = EmbeddedMgr::open(Config::new(data_root.clone()), std::sync::Arc::new(Host::real()));
        let mgr = mgr.expect("a usable data root");
        start(&mgr, "c", &rootfs);
        let error =
            ask(&mgr, ShiftType::IdMappedMount, &[(MountKind::VarLibDocker, DOCKER)]).expect_err("refused");
        assert_eq!(error.kind, ErrorKind::FailedPrecondition);
        assert!(error.to_string().contains("--data-root"), "{error}");
        ask(&mgr, ShiftType::IdMappedMount, &[(MountKind::VarLibKubelet, KUBELET)]).expect("no engine's");
        stop(&mgr, "c");
    }
}

#[test]
fn a_volume_that_was_lost_is_made_anew() {
    let place = Place::new();
    let rootfs = rootfs(&place);
    let mgr = place.open(Host::real());
    start(&mgr, "c", &rootfs);
    let volume = docker(&mgr, ShiftType::IdMappedMount);
    fs::remove_dir_all(&volume).expect("there");
    stop(&mgr, "c");
    assert_eq!(read(&rootfs, "var/lib/docker/one"), "one", "nothing is not mirrored");
    start(&mgr, "c", &rootfs);
    assert_eq!(docker(&mgr, ShiftType::IdMappedMount), volume);
    assert_eq!(read(&volume, "one"), "one");
}

#[test]
fn what_a_call_has_left_is_removed_and_volumes_on_record_stay() {
    let place = Place::new();
    let rootfs = rootfs(&place);
    let mgr = place.open(Host::real());
    start(&mgr, "c", &rootfs);
    let volume = docker(&mgr, ShiftType::IdMappedMount);
    write(&volume, "two", "two");
    let all = volume.as_path().parent().expect("in a directory").to_owned();
    for left in ["new-var-lib-kubelet-1", "var-lib-kubelet-1"] {
        fs::create_dir_all(all.join(left).join("sub")).expect("writable");
    }
    let given =
        ask(&mgr, ShiftType::IdMappedMount, &[(MountKind::VarLibKubelet, KUBELET)]).expect("a volume");
    assert_eq!(fs::read_dir(&given[0].source).expect("there").count(), 0);
    assert_eq!(fs::read_dir(&all).expect("there").count(), 2);
    assert_eq!(read(&volume, "two"), "two");
    stop(&mgr, "c");
}
