//! Sources of one container.

use std::{ffi::CStr, fs, os::unix::fs::lchown, process::Command, slice::from_ref};

use pollster::block_on;
use rustix::{
    fs::{XattrFlags, lgetxattr, lsetxattr},
    mount::{MountFlags, mount, mount_remount},
};
use sysbox_core::{ErrorKind, HostPort, MgrPort as _, host::Feature};
use sysbox_host::mount_namespace::detach_below;

use super::{assert_shifted, leave_shifted, prepare};
use crate::support::{Host, Place, id, kind, owner, record, remove, snapshot, start, stop};

const USER: u32 = 1000;

/// The attribute that has the record of a shift.
const RECORD: &CStr = c"trusted.sysbox.shift";

#[test]
fn a_source_that_takes_no_id_mapping_is_the_containers_roots_until_it_stops() {
    let place = Place::new();
    let source = place.overlay("source");
    for file in ["", "dir", "above"] {
        lchown(source.as_path().join(file), Some(USER), Some(USER)).expect("run as root");
    }
    lchown(source.as_path().join("dir/next"), Some(USER + 1), Some(USER + 1)).expect("run as root");
    assert!(!Host::real().probe(&Feature::IdMappedMount(source.clone())).expect("asked").is_yes());
    let before = snapshot(&source);
    let mgr = place.open(Host::real());
    for _ in 0..2 {
        let first = start(&mgr, "c", "/usr");
        prepare(&mgr, "c", first, &[&source]).expect("an overlay keeps trusted attributes");
        assert_shifted(&source, first);
        assert_eq!(record(&mgr, "c").prepared, from_ref(&source));
        stop(&mgr, "c");
        assert_eq!(snapshot(&source), before);
        assert_eq!(record(&mgr, "c").prepared, []);
    }
    remove(&mgr, "c");
    assert_eq!(place.leftovers(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn a_source_that_can_be_id_mapped_is_tracked_and_keeps_its_owners() {
    let place = Place::new();
    let (mgr, source) = (place.open(Host::real()), place.tree("source", USER));
    let before = snapshot(&source);
    let first = start(&mgr, "c", "/usr");
    prepare(&mgr, "c", first, &[&source, &source]).expect("nothing to do");
    assert_eq!(snapshot(&source), before);
    assert_eq!(record(&mgr, "c").prepared, from_ref(&source), "once");
    stop(&mgr, "c");
    assert_eq!(record(&mgr, "c").prepared, []);
}

#[test]
fn a_source_is_found_by_any_path_and_prepared_once() {
    let place = Place::new();
    let (mgr, source) = (place.open(Host::without_id_mapping()), place.tree("source", USER));
    let (bound, linked) = (place.dir("bound"), place.at("linked"));
    let before = snapshot(&source);
    std::os::unix::fs::symlink(&source, &linked).expect("writable");
    let bind = Command::new("mount").arg("--bind").args([source.as_path(), bound.as_path()]).status();
    assert!(bind.expect("mount of util-linux").success());
    let first = start(&mgr, "c", "/usr");
    prepare(&mgr, "c", first, &[&linked, &bound, &source]).expect("prepared");
    assert_shifted(&source, first);
    assert_eq!(record(&mgr, "c").prepared, from_ref(&source));
    prepare(&mgr, "c", first, &[&bound]).expect("prepared already");
    assert_eq!(kind(prepare(&mgr, "c", first, &[&bound, &place.at("missing")])), ErrorKind::InvalidArgument);
    assert_shifted(&source, first);
    stop(&mgr, "c");
    assert_eq!(snapshot(&source), before);
}

#[test]
fn a_missing_source_is_named_and_nothing_is_changed() {
    let place = Place::new();
    let (mgr, source) = (place.open(Host::without_id_mapping()), place.tree("source", USER));
    let before = snapshot(&source);
    let first = start(&mgr, "c", "/usr");
    let refused = prepare(&mgr, "c", first, &[&source, &place.at("missing")]).expect_err("missing");
    assert_eq!(refused.kind, ErrorKind::InvalidArgument);
    assert!(refused.message.contains(&place.at("missing").to_string()), "{refused}");
    assert_eq!(snapshot(&source), before);
    assert_eq!(record(&mgr, "c").prepared, []);
    assert_eq!(record(&mgr, "c").unfinished, None);
}

#[test]
fn a_source_that_cannot_be_shifted_leaves_the_others_as_they_were() {
    let place = Place::new();
    let mgr = place.open(Host::without_id_mapping());
    let (source, stubborn) = (place.tree("source", USER), place.tree("stubborn", USER));
    let first = start(&mgr, "c", "/usr");
    lchown(stubborn.as_path().join("roots"), Some(first + 7), None).expect("run as root");
    let before = [snapshot(&source), snapshot(&stubborn)];
    let refused = prepare(&mgr, "c", first, &[&source, &stubborn]).expect_err("an id in the range");
    assert_eq!(refused.kind, ErrorKind::FailedPrecondition);
    assert!(refused.message.contains("roots"), "{refused}");
    assert_eq!([snapshot(&source), snapshot(&stubborn)], before);
    assert_eq!(record(&mgr, "c").prepared, []);
    lchown(stubborn.as_path().join("roots"), Some(0), None).expect("run as root");
    prepare(&mgr, "c", first, &[&source, &stubborn]).expect("mended");
    assert_shifted(&stubborn, first);
}

#[test]
fn a_file_and_a_directory_of_the_containers_root_keep_their_owners() {
    let place = Place::new();
    let mgr = place.open(Host::without_id_mapping());
    let first = start(&mgr, "c", "/usr");
    let own = place.tree("own", first);
    fs::write(place.at("file"), "").expect("writable");
    let before = snapshot(&own);
    prepare(&mgr, "c", first, &[&own, &place.at("file")]).expect("nothing to do");
    assert_eq!(snapshot(&own), before);
    assert_eq!(owner(&place.at("file"), ""), (0, 0));
    assert_eq!(record(&mgr, "c").prepared, [place.at("file"), own.clone()]);
    stop(&mgr, "c");
    assert_eq!(snapshot(&own), before);
}

#[test]
fn a_stopped_container_is_given_no_sources_and_an_unknown_one_neither() {
    let place = Place::new();
    let (mgr, source) = (place.open(Host::without_id_mapping()), place.tree("source", USER));
    assert_eq!(kind(prepare(&mgr, "c", 1 << 20, &[])), ErrorKind::NotFound);
    assert_eq!(kind(prepare(&mgr, "c", 1 << 20, &[&source])), ErrorKind::NotFound);
    let first = start(&mgr, "c", "/usr");
    prepare(&mgr, "c", first, &[]).expect("nothing to do");
    stop(&mgr, "c");
    assert_eq!(kind(prepare(&mgr, "c", first, &[])), ErrorKind::FailedPrecondition);
    assert_eq!(kind(prepare(&mgr, "c", first, &[&source])), ErrorKind::FailedPrecondition);
    assert_eq!(owner(&source, ""), (USER, USER));
}

#[test]
fn a_stop_that_cannot_shift_back_is_not_answered_as_a_stop_that_was_done_before() {
    let place = Place::new();
    let disk = place.dir("disk");
    mount("tmpfs", disk.as_path(), "tmpfs", MountFlags::empty(), None).expect("run as root");
    let (mgr, source) = (place.open(Host::without_id_mapping()), place.tree("disk/source", USER));
    let before = snapshot(&source);
    let unregister = || kind(block_on(mgr.unregister(&id("c"))));
    let first = start(&mgr, "c", "/usr");
    prepare(&mgr, "c", first, &[&source]).expect("prepared");
    let mut on_record = [0; 256];
    let length = lgetxattr(source.as_path(), RECORD, &mut on_record).expect("shifted");
    let put = |record: &[u8]| {
        lsetxattr(source.as_path(), RECORD, record, XattrFlags::REPLACE).expect("run as root");
    };
    put(b"no record");
    assert_eq!([unregister(), unregister()], [ErrorKind::Internal; 2]);
    put(&on_record[..length]);
    mount_remount(disk.as_path(), MountFlags::RDONLY, "").expect("tmpfs");
    assert_eq!([unregister(), unregister()], [ErrorKind::Internal; 2]);
    assert_shifted(&source, first);
    mount_remount(disk.as_path(), MountFlags::empty(), "").expect("tmpfs");
    assert_eq!(unregister(), ErrorKind::FailedPrecondition, "what was begun is done by now");
    assert_eq!(snapshot(&source), before);
}

#[test]
fn owners_that_a_container_on_no_record_has_left_shifted_are_shifted_back_first() {
    let place = Place::new();
    for (name, host) in [("chowned", Host::without_id_mapping()), ("mapped", Host::real())] {
        let source = place.tree(name, USER);
        let before = snapshot(&source);
        leave_shifted(&source, USER, 3_000_000);
        let mgr = place.open(host);
        let first = start(&mgr, name, "/usr");
        prepare(&mgr, name, first, &[&source]).expect("prepared");
        match name {
            "chowned" => assert_shifted(&source, first),
            _ => assert_eq!(snapshot(&source), before, "as the mapping needs it"),
        }
        stop(&mgr, name);
        assert_eq!(snapshot(&source), before, "{name}");
    }
}

#[test]
fn a_source_that_is_gone_does_not_keep_a_container_from_stopping() {
    let place = Place::new();
    let mgr = place.open(Host::without_id_mapping());
    let (unmounted, removed) = (place.overlay("unmounted"), place.tree("removed", USER));
    let first = start(&mgr, "c", "/usr");
    prepare(&mgr, "c", first, &[&unmounted, &removed]).expect("prepared");
    detach_below(&unmounted).expect("run as root");
    fs::remove_dir_all(&removed).expect("ours");
    stop(&mgr, "c");
    assert_eq!(record(&mgr, "c").prepared, []);
}

#[test]
fn sources_are_as_made_again_after_a_reboot() {
    let place = Place::new();
    let source = place.tree("source", USER);
    let before = snapshot(&source);
    let mgr = place.open(Host::without_id_mapping());
    let first = start(&mgr, "c", "/usr");
    prepare(&mgr, "c", first, &[&source]).expect("prepared");
    let mgr = place.open(Host::without_id_mapping().rebooted());
    let repairs = mgr.repair().expect("usable");
    assert!(repairs.mended.iter().all(|mended| mended.failure.is_none()), "{repairs:?}");
    assert_eq!(repairs.mended.first().map(|mended| &mended.container), Some(&id("c")));
    assert_eq!(snapshot(&source), before);
    assert_eq!(record(&mgr, "c").prepared, []);
}
