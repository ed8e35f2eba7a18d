//! The life of a container with a cloned rootfs.

use std::{fs, path::Path};

use sysbox_embedded::EmbeddedMgr;

use super::{assert_nothing_left, chown, clone, pause, resume, revert, run_inside};
use crate::support::{Host, Place, owner, record, remove, snapshot, start, stop};

#[test]
fn what_is_written_through_a_clone_is_roots_in_the_rootfs_whenever_the_container_does_not_run() {
    let place = Place::new();
    let (mgr, rootfs) = (place.open(Host::real()), place.overlay("rootfs"));
    let mut before = snapshot(&rootfs);
    for run in ["one", "two"] {
        let first = start(&mgr, "c", &rootfs);
        let clone = clone(&mgr).expect("an overlay");
        assert_eq!(owner(&clone, "dir"), (0, 0));
        chown(&mgr, first).expect("cloned");
        assert_eq!(owner(&clone, ""), (first, first));
        assert_eq!(owner(&clone, "dir"), (first, first));
        assert_eq!(owner(&clone, "above"), (first, first));
        run_inside(&clone, first, &format!("echo {run} > dir/{run} && chmod 640 dir/{run}"));
        assert_eq!(owner(&clone, &format!("dir/{run}")), (first, first));

        pause(&mgr);
        for tree in [&rootfs, &clone] {
            assert_eq!(owner(tree, &format!("dir/{run}")), (0, 0), "{tree}");
            assert_eq!(owner(tree, "above"), (0, 0), "{tree}");
        }
        resume(&mgr);
        assert_eq!(owner(&clone, &format!("dir/{run}")), (first, first));
        run_inside(&clone, first, &format!("echo again >> dir/{run}"));
        assert!(record(&mgr, "c").cloned);

        stop(&mgr, "c");
        assert_eq!(place.mounts("data"), [] as [String; 0]);
        let written = fs::read_to_string(rootfs.as_path().join("dir").join(run)).expect("in the rootfs");
        assert_eq!(written, format!("{run}\nagain\n"));
        let mut after = snapshot(&rootfs);
        let mode = after.remove(Path::new("dir").join(run).as_path()).expect("there");
        assert!(mode.starts_with("0:0 100640"), "{mode}");
        assert_eq!(after, before, "all else as it was");
        before = snapshot(&rootfs);
    }
    remove(&mgr, "c");
    assert_eq!(snapshot(&rootfs), before);
    assert_nothing_left(&place);
}

#[test]
fn a_clone_is_attached_again_wherever_it_is_asked_for_again() {
    let place = Place::new();
    let (mgr, rootfs) = (place.open(Host::real()), place.overlay("rootfs"));
    let first = start(&mgr, "c", &rootfs);
    let path = clone(&mgr).expect("an overlay");
    chown(&mgr, first).expect("cloned");
    assert_eq!(clone(&mgr).expect("cloned already"), path);
    assert_eq!(owner(&path, "dir"), (first, first), "as it was");
    revert(&mgr).expect("shifted");
    assert_eq!(owner(&path, "dir"), (0, 0));
    chown(&mgr, first).expect("not shifted");
    assert_eq!(owner(&path, "dir"), (first, first));
}

#[test]
fn a_clone_that_is_reverted_in_a_pause_is_not_shifted_again_by_the_end_of_it() {
    let place = Place::new();
    let (mgr, rootfs) = (place.open(Host::real()), place.overlay("rootfs"));
    let first = start(&mgr, "c", &rootfs);
    let path = clone(&mgr).expect("an overlay");
    chown(&mgr, first).expect("cloned");
    pause(&mgr);
    revert(&mgr).expect("shifted, while it runs");
    resume(&mgr);
    assert_eq!(owner(&path, "dir"), (0, 0));
    chown(&mgr, first).expect("reverted");
    assert_eq!(owner(&path, "dir"), (first, first));
}

#[test]
fn a_reboot_leaves_the_rootfs_as_made_and_the_clone_for_the_next_start() {
    let place = Place::new();
    let rootfs = place.overlay("rootfs");
    let upper = place.at("rootfs.upper");
    let before = [snapshot(&rootfs), snapshot(&upper)];
    let mgr = place.open(Host::real());
    let first = start(&mgr, "c", &rootfs);
    clone(&mgr).expect("an overlay");
    chown(&mgr, first).expect("cloned");
    assert_eq!(owner(&upper, "above"), (first, first));
    unmount_all(&place);
    let mgr = place.open(Host::real().rebooted());
    settle(&mgr);
    assert_eq!(snapshot(&upper), before[1]);
    assert!(record(&mgr, "c").cloned);
    // As an engine does: the same layers, mounted again.
    fs::remove_dir_all(place.at("rootfs.work")).expect("ours");
    place.mount_again("rootfs");
    assert_eq!(snapshot(&rootfs), before[0]);
    let first = start(&mgr, "c", &rootfs);
    let path = clone(&mgr).expect("an overlay");
    chown(&mgr, first).expect("cloned");
    assert_eq!(owner(&path, "dir"), (first, first));
    stop(&mgr, "c");
    remove(&mgr, "c");
    assert_eq!(snapshot(&rootfs), before[0]);
    assert_nothing_left(&place);
}

#[test]
fn a_rootfs_that_is_gone_keeps_no_container_from_stopping_and_from_being_removed() {
    let place = Place::new();
    let (mgr, rootfs) = (place.open(Host::real()), place.overlay("rootfs"));
    let first = start(&mgr, "c", &rootfs);
    clone(&mgr).expect("an overlay");
    chown(&mgr, first).expect("cloned");
    unmount_all(&place);
    for part in ["", ".lower", ".upper", ".work"] {
        fs::remove_dir_all(place.at(&format!("rootfs{part}"))).expect("ours");
    }
    stop(&mgr, "c");
    remove(&mgr, "c");
    assert_nothing_left(&place);
}

fn unmount_all(place: &Place) {
    sysbox_host::mount_namespace::detach_below(&place.at(".")).expect("run as root");
    assert_eq!(place.mounts(""), [] as [String; 0]);
}

fn settle(mgr: &EmbeddedMgr) {
    let repairs = mgr.repair().expect("usable");
    assert_eq!(repairs.mended.len(), 1, "{repairs:?}");
    assert!(repairs.mended[0].failure.is_none(), "{repairs:?}");
}
