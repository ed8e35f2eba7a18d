//! What is no clone, or none that can be shifted.

use sysbox_core::ErrorKind;

use super::{chown, chown_by, clone, pause, revert};
use crate::support::{Host, Place, SIZE, kind, owner, record, remove, snapshot, start, stop};

#[test]
fn a_rootfs_that_is_no_overlay_is_not_cloned_and_leaves_nothing() {
    let place = Place::new();
    let (mgr, rootfs) = (place.open(Host::real()), place.tree("rootfs", 0));
    let first = start(&mgr, "c", &rootfs);
    let refused = clone(&mgr).expect_err("no overlay");
    assert_eq!(refused.kind, ErrorKind::FailedPrecondition);
    assert!(refused.message.contains("no overlay is mounted"), "{refused}");
    let record = record(&mgr, "c");
    assert_eq!((record.cloned, record.unfinished), (false, None));
    assert_eq!(kind(chown(&mgr, first)), ErrorKind::FailedPrecondition);
    stop(&mgr, "c");
    remove(&mgr, "c");
    super::assert_nothing_left(&place);
}

#[test]
fn a_call_out_of_order_is_refused() {
    let place = Place::new();
    let (mgr, rootfs) = (place.open(Host::real()), place.overlay("rootfs"));
    assert_eq!(kind(clone(&mgr)), ErrorKind::NotFound);
    assert_eq!(kind(chown(&mgr, SIZE)), ErrorKind::NotFound);
    assert_eq!(kind(revert(&mgr)), ErrorKind::NotFound);
    let first = start(&mgr, "c", &rootfs);
    assert_eq!(kind(chown(&mgr, first)), ErrorKind::FailedPrecondition, "not cloned");
    assert_eq!(kind(revert(&mgr)), ErrorKind::FailedPrecondition, "not cloned");
    clone(&mgr).expect("an overlay");
    assert_eq!(kind(revert(&mgr)), ErrorKind::FailedPrecondition, "not shifted");
    chown(&mgr, first).expect("cloned");
    assert_eq!(kind(chown(&mgr, first)), ErrorKind::FailedPrecondition, "shifted already");
    revert(&mgr).expect("shifted");
    assert_eq!(kind(revert(&mgr)), ErrorKind::FailedPrecondition, "not shifted");
    pause(&mgr);
    assert_eq!(kind(chown(&mgr, first)), ErrorKind::FailedPrecondition, "paused");
    stop(&mgr, "c");
    assert_eq!(kind(clone(&mgr)), ErrorKind::FailedPrecondition, "stopped");
    assert_eq!(kind(chown(&mgr, first)), ErrorKind::FailedPrecondition, "stopped");
}

#[test]
fn offsets_that_do_not_lead_to_ids_for_a_container_are_refused() {
    let place = Place::new();
    let (mgr, rootfs) = (place.open(Host::real()), place.overlay("rootfs"));
    let first = i64::from(start(&mgr, "c", &rootfs));
    clone(&mgr).expect("an overlay");
    let before = snapshot(&rootfs);
    for bad in [0, -1, -first, 1000, i64::from(SIZE) - 1, 4_294_967_294] {
        for (uid, gid) in [(bad, first), (first, bad)] {
            let refused = chown_by(&mgr, uid, gid).expect_err("no such ids");
            assert_eq!(refused.kind, ErrorKind::InvalidArgument, "{refused}");
        }
    }
    assert_eq!(snapshot(&rootfs), before);
    chown_by(&mgr, i64::from(SIZE), first).expect("any ids above the container's own");
    assert_eq!(owner(&clone(&mgr).expect("cloned"), ""), (SIZE, u32::try_from(first).expect("an id")));
}
