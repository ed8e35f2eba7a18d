//! Every pair of trees, and what becomes of owners between them.

use sysbox_core::ContainerId;

use super::*;

fn ids(first: u32) -> TreeIds {
    let range = IdRange::new(first, 65_536).expect("valid");
    TreeIds { uids: range, gids: range }
}

fn record(first: u32, phase: TreePhase) -> TreeRecord {
    let container: ContainerId = "c".parse().expect("valid");
    TreeRecord { container, from: Owner::new(0, 0), ids: ids(first), phase }
}

const OURS: u32 = 131_072;
const OTHERS: u32 = 262_144;
const PHASES: [TreePhase; 3] = [TreePhase::Shifting, TreePhase::Shifted, TreePhase::Reverting];

fn ownership(shift: ShiftType) -> Ownership {
    Ownership::new(shift, Some(ids(OURS))).expect("it has ids")
}

#[test]
fn a_volume_is_filled_with_the_owners_it_is_to_have_however_the_rootfs_is() {
    let chown = ownership(ShiftType::Chown);
    let mapped = ownership(ShiftType::IdMappedMount);
    assert_eq!(chown.sync_in(None), Owners::ToHost(ids(OURS)));
    assert_eq!(mapped.sync_in(None), Owners::Kept);
    for phase in PHASES {
        let (ours, others) = (record(OURS, phase), record(OTHERS, phase));
        assert_eq!(chown.sync_in(Some(&ours)), Owners::ToHost(ids(OURS)));
        assert_eq!(chown.sync_in(Some(&others)), Owners::ToContainer(ids(OTHERS)));
        assert_eq!(mapped.sync_in(Some(&ours)), Owners::ToContainer(ids(OURS)));
        assert_eq!(ownership(ShiftType::NoShift).sync_in(Some(&ours)), Owners::Kept);
    }
}

#[test]
fn the_rootfs_gets_the_owners_that_it_has_on_disk_and_the_containers_where_that_is_not_certain() {
    let shifted = |first| record(first, TreePhase::Shifted);
    for phase in PHASES {
        let volume = record(OURS, phase);
        let whole = if phase == TreePhase::Shifted { Owners::Kept } else { Owners::ToHost(ids(OURS)) };
        let out = |rootfs: Option<TreeRecord>| sync_out(ShiftType::Chown, Some(&volume), rootfs.as_ref());
        assert_eq!(out(None), Owners::ToContainer(ids(OURS)));
        assert_eq!(out(Some(shifted(OURS))), whole);
        assert_eq!(out(Some(shifted(OTHERS))), Owners::ToContainer(ids(OURS)));
        let half = record(OURS, phase);
        let mapped = sync_out(ShiftType::IdMappedMount, None, Some(&half));
        let wanted = if phase == TreePhase::Shifted { Owners::ToHost(ids(OURS)) } else { Owners::Kept };
        assert_eq!(mapped, wanted);
        assert_eq!(sync_out(ShiftType::NoShift, Some(&volume), None), Owners::Kept);
    }
    assert_eq!(sync_out(ShiftType::IdMappedMount, None, None), Owners::Kept);
}

#[test]
fn the_root_of_a_volume_belongs_to_the_containers_root() {
    let rootfs = Owner::new(5, 6);
    for (shift, wanted) in [
        (ShiftType::IdMappedMount, Owner::new(0, 0)),
        (ShiftType::IdMappedMountOrShiftfs, Owner::new(0, 0)),
        (ShiftType::Shiftfs, ids(OURS).root()),
        (ShiftType::Chown, ids(OURS).root()),
        (ShiftType::NoShift, ids(OURS).root()),
    ] {
        assert_eq!(ownership(shift).root(rootfs), wanted, "{shift:?}");
    }
    assert_eq!(Ownership::new(ShiftType::NoShift, None).expect("needs none").root(rootfs), rootfs);
}

#[test]
fn owners_cannot_be_shifted_to_ids_that_are_not_known() {
    for shift in [ShiftType::Shiftfs, ShiftType::Chown] {
        assert!(matches!(
            Ownership::new(shift, None),
            Err(Fault::Refused { kind: ErrorKind::FailedPrecondition, .. })
        ));
    }
    for shift in [ShiftType::NoShift, ShiftType::IdMappedMount, ShiftType::IdMappedMountOrShiftfs] {
        Ownership::new(shift, None).expect("it needs none");
    }
}
