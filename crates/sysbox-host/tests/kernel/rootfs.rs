//! A rootfs given ID-mapped: a plain tree, and an overlay by its layers.

use std::{fs, path::Path};

use rustix::{
    fs::{StatVfsMountFlags, getxattr, statvfs},
    mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount},
};
use sysbox_core::{
    AbsPath, HostPort,
    host::{Feature, OverlayLayers, Support},
};
use sysbox_host::{
    LinuxHost,
    overlay::{self, Again},
    rootfs,
};

use crate::place::{GID, Place, UID, as_container_root, gids, owner, uids};

/// Gives the rootfs at `rootfs` ID-mapped at a new directory, which the host must have promised.
fn attach(place: &Place, rootfs: &AbsPath) -> AbsPath {
    let promise = LinuxHost::new().probe(&Feature::IdMappedRootfs(rootfs.clone())).expect("asked");
    assert_eq!(promise, Support::Yes);
    let target = place.dir("target");
    rootfs::attach_idmapped(rootfs, &target, &place.dir("scratch"), &uids(), &gids()).expect("attached");
    target
}

/// An overlay with these options at a new directory.
fn overlay(place: &Place, options: &[&str]) -> (OverlayLayers, AbsPath) {
    let mut layers = place.layers(&["up:per,most", r"mid\dle", "low est"], "diff,1", r"wo\rk");
    layers.options = options.iter().map(|&option| option.to_owned()).collect();
    let merged = place.dir("merged");
    overlay::mount(&layers, &merged).expect("mounted");
    (layers, merged)
}

/// What a container does to its rootfs, and who owns it on disk then.
fn roots_writes_are_roots_on_disk(target: &AbsPath, upper: &Path) {
    as_container_root(
        target,
        "for n in 0 1 2; do test $(stat -c %u:%g from-$n) = 0:0; done
         echo new > made; mkdir -p dir/deep; echo more >> from-0; chown 7:8 from-1; rm from-2; mv made dir/deep/",
    );
    for (file, ids) in [("dir/deep/made", (0, 0)), ("from-0", (0, 0)), ("from-1", (7, 8)), ("from-2", (0, 0))]
    {
        assert_eq!(owner(upper.join(file)), ids, "{file}");
    }
    assert_eq!(owner(target.as_path().join("from-1")), (UID + 7, GID + 8));
    assert!(!target.as_path().join("from-2").exists());
}

#[test]
fn a_plain_tree_is_attached_mapped() {
    let place = Place::new();
    place.file("rootfs/etc/passwd");
    let target = attach(&place, &place.at("rootfs"));
    assert_eq!(owner(target.as_path().join("etc/passwd")), (UID, GID));
}

#[test]
fn an_overlay_is_attached_with_every_layer_mapped_and_nothing_is_chowned() {
    let place = Place::new();
    let (layers, merged) = overlay(&place, &[]);
    let target = attach(&place, &merged);
    roots_writes_are_roots_on_disk(&target, &layers.upper.expect("given"));
    for (nth, lower) in layers.lower.iter().enumerate() {
        assert_eq!(owner(lower.join(format!("from-{nth}"))), (0, 0));
    }
}

#[test]
fn an_overlay_on_tmpfs_is_attached_over_itself() {
    let place = Place::on_tmpfs();
    let (layers, merged) = overlay(&place, &[]);
    let scratch = place.dir("scratch");
    rootfs::attach_idmapped(&merged, &merged, &scratch, &uids(), &gids()).expect("attached");
    roots_writes_are_roots_on_disk(&merged, &layers.upper.expect("given"));
}

#[test]
fn the_hosts_own_root_can_be_a_lower_layer() {
    let place = Place::on_tmpfs();
    let layers = OverlayLayers { lower: vec!["/".into()], ..place.layers(&[], "upper", "work") };
    let merged = place.dir("merged");
    overlay::mount(&layers, &merged).expect("mounted");
    let target = attach(&place, &merged);
    assert_eq!(owner(target.as_path().join("etc")), (UID, GID));
    as_container_root(&target, "echo made > etc/made-in-a-container");
    assert_eq!(owner(layers.upper.expect("given").join("etc/made-in-a-container")), (0, 0));
    assert!(!Path::new("/etc/made-in-a-container").exists());
}

#[test]
fn layers_may_lie_on_different_file_systems() {
    let place = Place::new();
    mount("tmpfs", place.dir("elsewhere").as_path(), "tmpfs", MountFlags::empty(), None).expect("mounted");
    let layers = place.layers(&["here", "elsewhere/below", "last"], "upper", "work");
    let merged = place.dir("merged");
    overlay::mount(&layers, &merged).expect("mounted");
    let target = attach(&place, &merged);
    roots_writes_are_roots_on_disk(&target, &layers.upper.expect("given"));
}

#[test]
fn options_of_the_overlay_and_of_its_mount_are_kept() {
    let place = Place::new();
    let (layers, merged) = overlay(&place, &["metacopy=on", "redirect_dir=on", "xino=on", "volatile"]);
    mount_remount(merged.as_path(), MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV, "")
        .expect("remounted");
    let target = attach(&place, &merged);
    let flags = statvfs(target.as_path()).expect("asked").f_flag;
    assert!(flags.contains(StatVfsMountFlags::NOSUID | StatVfsMountFlags::NODEV));
    let shown = |path: &AbsPath| {
        let table = fs::read_to_string("/proc/thread-self/mountinfo").expect("read");
        let line = table.lines().find(|line| line.contains(&format!(" {path} "))).expect("mounted");
        let options = line.rsplit(' ').next().expect("the last field").split(',');
        let is_path = |option: &&str| {
            option.contains("dir+=") || option.contains("upperdir") || option.contains("workdir")
        };
        options.filter(|option| !is_path(option)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(shown(&target), shown(&merged));
    as_container_root(&target, "chown 3:4 from-0");
    let copy = layers.upper.expect("given").join("from-0");
    getxattr(&copy, "trusted.overlay.metacopy", &mut [0u8; 64][..]).expect("the data is not copied");
}

#[test]
fn an_overlay_without_an_upper_layer_stays_read_only() {
    let place = Place::new();
    let layers = OverlayLayers { upper: None, work: None, ..place.layers(&["a", "b"], "unused", "unused") };
    let merged = place.dir("merged");
    overlay::mount(&layers, &merged).expect("mounted");
    let target = attach(&place, &merged);
    assert_eq!(owner(target.as_path().join("from-1")), (UID, GID));
    assert!(statvfs(target.as_path()).expect("asked").f_flag.contains(StatVfsMountFlags::RDONLY));
    rootfs::tidy_idmapped(&merged).expect("there is nothing to see or to remove");
}

#[test]
fn an_overlay_with_an_index_is_refused_by_the_probe_and_by_the_kernel() {
    let place = Place::new();
    let (_, merged) = overlay(&place, &["index=on"]);
    let answer = LinuxHost::new().probe(&Feature::IdMappedRootfs(merged.clone())).expect("asked");
    assert!(matches!(answer, Support::No { cure: Some(_), .. }), "{answer:?}");
    let (target, scratch) = (place.dir("target"), place.dir("scratch"));
    rootfs::attach_idmapped(&merged, &target, &scratch, &uids(), &gids()).expect_err("in use");
    assert_eq!(owner(&target), (0, 0), "nothing is attached");
}

#[test]
fn a_directory_within_an_overlay_cannot_be_mapped_and_the_probe_says_why() {
    let place = Place::new();
    let (_, merged) = overlay(&place, &[]);
    let below = place.dir("merged/below");
    let host = LinuxHost::new();
    for feature in [Feature::IdMappedRootfs(below.clone()), Feature::IdMappedMount(merged)] {
        let Support::No { reason, .. } = host.probe(&feature).expect("asked") else { panic!("{feature}") };
        assert!(reason.contains("overlay"), "{reason}");
    }
    rootfs::attach_idmapped(&below, &place.dir("target"), &place.dir("scratch"), &uids(), &gids())
        .expect_err("overlay");
}

#[test]
fn the_overlay_can_be_written_to_when_the_mapped_one_is_gone_and_nothing_is_left_of_that() {
    let place = Place::new();
    let (layers, merged) = overlay(&place, &[]);
    let target = attach(&place, &merged);
    as_container_root(&target, "echo by-the-container > from-0");
    unmount(target.as_path(), UnmountFlags::empty()).expect("mounted");
    rootfs::tidy_idmapped(&merged).expect("tidied");
    assert_eq!(fs::read(merged.as_path().join("from-0")).expect("there"), b"by-the-container\n");
    // Both need the work directory: a copy up, and a whiteout.
    fs::write(merged.as_path().join("from-1"), "by the host").expect("copied up");
    fs::remove_file(merged.as_path().join("from-2")).expect("removed");
    let work = layers.work.expect("given");
    let names = fs::read_dir(&work).expect("there").map(|entry| entry.expect("read").file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["work"]);
}

#[test]
fn an_overlay_whose_work_directory_another_one_has_taken_is_written_to_by_opening_it_again() {
    let place = Place::new();
    let (layers, merged) = overlay(&place, &[]);
    let runtimes = place.dir("runtimes");
    overlay::mount(&layers, &runtimes).expect("mounted");
    unmount(runtimes.as_path(), UnmountFlags::empty()).expect("mounted");
    fs::write(merged.as_path().join("from-0"), "new").expect_err("its work directory is gone");
    let again = Again::open(&merged).expect("opened").expect("an overlay");
    fs::write(again.path().as_path().join("from-0"), "new").expect("copied up");
    drop(again);
    assert_eq!(fs::read(merged.as_path().join("from-0")).expect("there"), b"new");
    assert!(Again::open(&place.dir("no-overlay")).expect("asked").is_none());
}
