//! Every combination of the decision's inputs, against the rules written the other way round: as a list of conditions.

use super::*;

/// Owners and ids at which the need for a shift turns.
const OWNERS: [(u32, u32); 4] = [(0, 0), (0, 7), (7, 0), (7, 7)];
const ROOTS: [(u32, u32); 4] = [(0, 0), (0, 231_072), (231_072, 0), (231_072, 231_072)];

fn every_combination() -> impl Iterator<Item = Facts> {
    let flags = 0u8..64;
    flags.flat_map(|flags| {
        let flag = move |bit: u8| flags & (1 << bit) != 0;
        ShiftType::ALL.into_iter().flat_map(move |previous| {
            OWNERS.into_iter().flat_map(move |(uid, gid)| {
                ROOTS.into_iter().map(move |(root_uid, root_gid)| Facts {
                    previous,
                    rootfs_owner: Owner::new(uid, gid),
                    root_uid: HostUid(root_uid),
                    root_gid: HostGid(root_gid),
                    rootfs_on_overlayfs: flag(0),
                    rootfs_can_be_idmapped: flag(1),
                    idmap_mount_ok: flag(2),
                    overlayfs_on_idmap_mount_ok: flag(3),
                    shiftfs_ok: flag(4),
                    shiftfs_on_overlayfs_ok: flag(5),
                })
            })
        })
    })
}

/// Section 4 of the reference, rule by rule; the first that holds decides.
fn reference_rules(facts: &Facts) -> ShiftType {
    let needed = facts.rootfs_owner == Owner::new(0, 0)
        && facts.root_uid != HostUid(0)
        && facts.root_gid != HostGid(0);
    let rules = [
        (facts.previous != ShiftType::NoShift, facts.previous),
        (!needed, ShiftType::NoShift),
        (
            facts.rootfs_on_overlayfs && facts.idmap_mount_ok && facts.overlayfs_on_idmap_mount_ok,
            ShiftType::IdMappedMount,
        ),
        (facts.rootfs_on_overlayfs && facts.shiftfs_ok && facts.shiftfs_on_overlayfs_ok, ShiftType::Shiftfs),
        (true, ShiftType::Chown),
    ];
    rules.into_iter().find_map(|(holds, answer)| holds.then_some(answer)).expect("the last rule holds")
}

#[test]
fn reference_policy_follows_the_reference_in_every_combination() {
    let mut count = 0;
    for facts in every_combination() {
        assert_eq!(decide(Policy::Reference, &facts).rootfs, reference_rules(&facts), "{facts:?}");
        count += 1;
    }
    assert_eq!(count, 64 * 5 * 4 * 4);
}

#[test]
fn prefer_idmapped_differs_from_the_reference_only_where_the_host_says_what_can_be_idmapped() {
    for facts in every_combination() {
        let (ours, reference) = (decide(Policy::PreferIdMapped, &facts).rootfs, reference_rules(&facts));
        let decided_before = facts.previous != ShiftType::NoShift || reference == ShiftType::NoShift;
        let idmaps = facts.idmap_mount_ok
            && facts.rootfs_can_be_idmapped
            && (facts.overlayfs_on_idmap_mount_ok || !facts.rootfs_on_overlayfs);
        let expected = if decided_before {
            reference
        } else if idmaps {
            ShiftType::IdMappedMount
        } else {
            // As the reference decides for a host that cannot ID-map.
            reference_rules(&Facts { idmap_mount_ok: false, ..facts })
        };
        assert_eq!(ours, expected, "{facts:?}");
    }
}

#[test]
fn bind_mounts_are_never_chowned_and_depend_on_the_host_alone() {
    for facts in every_combination() {
        for policy in [Policy::Reference, Policy::PreferIdMapped] {
            let expected = match (facts.idmap_mount_ok, facts.shiftfs_ok) {
                (true, true) => ShiftType::IdMappedMountOrShiftfs,
                (true, false) => ShiftType::IdMappedMount,
                (false, true) => ShiftType::Shiftfs,
                (false, false) => ShiftType::NoShift,
            };
            assert_eq!(decide(policy, &facts).bind_mounts, expected);
        }
    }
}

#[test]
fn numbers_and_names_of_shift_types_are_the_wire_contracts() {
    let table: Vec<_> = ShiftType::ALL.iter().map(|kind| (kind.number(), kind.name())).collect();
    assert_eq!(
        table,
        [(0, "NoShift"), (1, "Shiftfs"), (2, "IDMappedMount"), (3, "IDMappedMountOrShiftfs"), (4, "Chown")]
    );
    assert!(ShiftType::ALL.iter().all(|kind| ShiftType::try_from(kind.number()) == Ok(*kind)));
    assert_eq!(ShiftType::try_from(5), Err(UnknownShiftType { number: 5 }));
}
