//! Upper layers that a runtime has chowned.

use std::{fs, os::unix::fs::lchown};

use pollster::block_on;
use sysbox_core::{AbsPath, MgrPort, ShiftType};
use sysbox_embedded::{EmbeddedMgr, Intent};
use sysbox_host::mount_namespace::detach_below;

use crate::support::{Host, Place, id, owner, record, snapshot, start, stop, update};

/// Chowns an upper layer as sysbox-runc does, and tells the manager of the container that has it.
fn chown(mgr: &EmbeddedMgr, upper: &AbsPath, first: u32) {
    for file in ["", "above"] {
        lchown(upper.as_path().join(file), Some(first), Some(first)).expect("run as root");
    }
    update(mgr, "c", first, ShiftType::IdMappedMount);
}

#[test]
fn an_upper_layer_that_the_runtime_has_chowned_is_roots_in_a_pause_and_at_the_end() {
    let place = Place::new();
    let (mgr, rootfs, upper) = (place.open(Host::real()), place.overlay("rootfs"), place.at("rootfs.upper"));
    let before = snapshot(&upper);
    let first = start(&mgr, "c", &rootfs);
    chown(&mgr, &upper, first);
    let running = snapshot(&upper);
    // The overlay at the rootfs remembers that it is missing, while the container's own overlay makes it.
    assert!(!rootfs.as_path().join("made").exists());
    fs::write(upper.as_path().join("made"), "").expect("writable");
    block_on(mgr.pause(&id("c"))).expect("running");
    assert!(rootfs.as_path().join("made").exists());
    fs::remove_file(rootfs.as_path().join("made")).expect("writable");
    assert_eq!(snapshot(&upper), before);
    assert_eq!(owner(&rootfs, "above"), (0, 0), "through the overlay");
    block_on(mgr.resume(&id("c"))).expect("paused");
    assert_eq!(owner(&upper, "above"), (first, first));
    assert_eq!(owner(&rootfs, "above"), (first, first), "through the overlay");
    assert_eq!(running.len(), snapshot(&upper).len());
    stop(&mgr, "c");
    assert_eq!(snapshot(&upper), before);
    assert_eq!(owner(&rootfs, "above"), (0, 0));
}

#[test]
fn an_upper_layer_that_is_roots_or_was_not_told_of_stays_as_it_is() {
    let place = Place::new();
    let (mgr, rootfs, upper) = (place.open(Host::real()), place.overlay("rootfs"), place.at("rootfs.upper"));
    let first = start(&mgr, "c", &rootfs);
    update(&mgr, "c", first, ShiftType::IdMappedMount);
    lchown(upper.as_path().join("above"), Some(first), Some(first)).expect("run as root");
    let before = snapshot(&upper);
    block_on(mgr.pause(&id("c"))).expect("running");
    stop(&mgr, "c");
    assert_eq!(snapshot(&upper), before);
}

#[test]
fn a_pause_that_was_only_begun_leaves_an_upper_layer_chowned() {
    let place = Place::new();
    let (mgr, rootfs, upper) = (place.open(Host::real()), place.overlay("rootfs"), place.at("rootfs.upper"));
    let first = start(&mgr, "c", &rootfs);
    chown(&mgr, &upper, first);
    let running = snapshot(&upper);
    place.leave(Intent::Pause, "SELECT path FROM upper");
    let repairs = mgr.repair().expect("usable");
    assert!(repairs.mended.iter().all(|mended| mended.failure.is_none()), "{repairs:?}");
    assert_eq!(record(&mgr, "c").unfinished, None);
    assert_eq!(snapshot(&upper), running);
}

#[test]
fn an_upper_layer_is_roots_again_after_a_reboot() {
    let place = Place::new();
    let (rootfs, upper) = (place.overlay("rootfs"), place.at("rootfs.upper"));
    let before = snapshot(&upper);
    let mgr = place.open(Host::real());
    let first = start(&mgr, "c", &rootfs);
    chown(&mgr, &upper, first);
    detach_below(&rootfs).expect("run as root");
    let mgr = place.open(Host::real().rebooted());
    let repairs = mgr.repair().expect("usable");
    assert!(repairs.mended.iter().all(|mended| mended.failure.is_none()), "{repairs:?}");
    assert_eq!(snapshot(&upper), before);
    assert_eq!(record(&mgr, "c").unfinished, None);
}

#[test]
fn an_upper_layer_that_is_gone_does_not_keep_a_container_from_stopping() {
    let place = Place::new();
    let (mgr, rootfs, upper) = (place.open(Host::real()), place.overlay("rootfs"), place.at("rootfs.upper"));
    let first = start(&mgr, "c", &rootfs);
    chown(&mgr, &upper, first);
    detach_below(&rootfs).expect("run as root");
    fs::remove_dir_all(&upper).expect("ours");
    fs::remove_dir_all(&rootfs).expect("ours");
    stop(&mgr, "c");
    block_on(mgr.remove(&id("c"))).expect("stopped");
}
