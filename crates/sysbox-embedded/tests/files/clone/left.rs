//! Clones that were left half done. What a process has begun is on record, and the next call goes by that.

use rusqlite::Connection;
use sysbox_embedded::Intent;

use super::{assert_nothing_left, chown, clone, revert};
use crate::support::{Host, Place, id, kind, owner, record, remove, snapshot, start, stop};

#[test]
fn a_clone_that_was_not_made_to_the_end_is_removed_by_the_next_call() {
    let place = Place::new();
    let (mgr, rootfs) = (place.open(Host::real()), place.overlay("rootfs"));
    let before = snapshot(&rootfs);
    start(&mgr, "c", &rootfs);
    clone(&mgr).expect("an overlay");
    place.leave(Intent::CloneRootfs, "DELETE FROM clone");
    assert_eq!(record(&mgr, "c").unfinished, Some(Intent::CloneRootfs));
    let repairs = mgr.repair().expect("usable");
    assert!(repairs.mended.iter().all(|mended| mended.failure.is_none()), "{repairs:?}");
    assert_eq!(record(&mgr, "c").unfinished, None);
    assert_eq!(place.mounts("data"), [] as [String; 0]);
    assert_eq!(kind(revert(&mgr)), sysbox_core::ErrorKind::FailedPrecondition, "not cloned");
    clone(&mgr).expect("an overlay");
    stop(&mgr, "c");
    remove(&mgr, "c");
    assert_eq!(snapshot(&rootfs), before);
    assert_nothing_left(&place);
}

#[test]
fn a_shift_that_was_not_made_to_the_end_is_undone_and_a_revert_finished() {
    for (intent, row) in
        [(Intent::ChownClone, "UPDATE clone SET ids = NULL"), (Intent::RevertClone, "SELECT 1 FROM clone")]
    {
        let place = Place::new();
        let (mgr, rootfs) = (place.open(Host::real()), place.overlay("rootfs"));
        let before = snapshot(&rootfs);
        let first = start(&mgr, "c", &rootfs);
        clone(&mgr).expect("an overlay");
        chown(&mgr, first).expect("cloned");
        place.leave(intent, row);
        let path = clone(&mgr).expect("cloned");
        assert_eq!(owner(&path, ""), (0, 0), "{intent:?}");
        assert_eq!(snapshot(&rootfs), before, "{intent:?}");
        chown(&mgr, first).expect("not shifted");
        assert_eq!(owner(&path, ""), (first, first), "{intent:?}");
    }
}

#[test]
fn a_clone_on_no_record_is_reverted_and_removed_when_it_is_asked_for() {
    let place = Place::new();
    let (mgr, rootfs) = (place.open(Host::real()), place.overlay("rootfs"));
    let before = snapshot(&rootfs);
    let first = start(&mgr, "c", &rootfs);
    clone(&mgr).expect("an overlay");
    chown(&mgr, first).expect("cloned");
    let db = Connection::open(place.at("data/state.db")).expect("there");
    db.execute_batch("DELETE FROM clone; DELETE FROM files; DELETE FROM container").expect("the schema's");
    drop(db);
    let strays = mgr.repair().expect("usable").strays;
    assert_eq!(strays.iter().map(|stray| stray.container.clone()).collect::<Vec<_>>(), [id("c").to_string()]);
    assert_ne!(snapshot(&rootfs), before, "kept");
    mgr.discard_stray(&strays[0]).expect("nobody has it");
    assert_eq!(snapshot(&rootfs), before);
    assert_nothing_left(&place);
}
