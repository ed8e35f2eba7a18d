//! Values of every domain type that the wire can carry, for property tests.

use std::{
    num::NonZeroU32,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proptest::{collection::vec, option, prelude::*};
use sysbox_core::{
    AbsPath, ContainerConfig, ContainerData, ContainerId, FsEntry, FsEntryKind, FsStateRequest, HostGid,
    HostUid, IdMapping, IdMappings, IdOffset, IdOffsets, IdRange, Mount, MountKind, MountRequest,
    MountRequests, MountToPrepare, MountsToPrepare, Registration, ShiftType, ShiftfsMark, ShiftfsMarks,
    SubidRequest, Subids, Update,
};

pub(crate) fn id() -> impl Strategy<Value = ContainerId> {
    prop_oneof![9 => "[A-Za-z0-9_+.-]{1,40}", 1 => Just("x".repeat(ContainerId::MAX_LEN))]
        .prop_filter_map("it names a directory", |text| text.parse().ok())
}

pub(crate) fn path() -> impl Strategy<Value = AbsPath> {
    prop_oneof![8 => "(/[^/\0]{0,12}){1,4}", 1 => Just("/".to_owned()), 1 => Just(format!("/{}", "é".repeat(2047)))]
        .prop_map(|text| AbsPath::new(text).expect("absolute"))
}

pub(crate) fn mappings() -> impl Strategy<Value = IdMappings> {
    const STRIP: u32 = 10_000;
    // Each extent has strips of its own inside and on the host, in which it lies anywhere.
    let extents = vec((1..=STRIP / 2, 0..STRIP / 2, 0..STRIP / 2), 0..5);
    let several = (extents, 0..u32::MAX - 5 * STRIP).prop_map(|(extents, host)| {
        let extents = (0..).zip(extents).map(|(nth, (size, inside, outside))| {
            IdMapping::new(nth * STRIP + inside, host + nth * STRIP + outside, size).expect("within")
        });
        IdMappings::new(extents).expect("apart")
    });
    let all = IdRange::new(0, u32::MAX).expect("all ids");
    prop_oneof![9 => several, 1 => Just(IdMappings::single(all).expect("all ids"))]
}

pub(crate) fn shift_type() -> impl Strategy<Value = ShiftType> {
    proptest::sample::select(&ShiftType::ALL[..])
}

pub(crate) fn registration() -> impl Strategy<Value = Registration> {
    let namespaces = (option::of(path()), option::of(path()));
    (id(), path(), namespaces, mappings(), mappings()).prop_map(
        |(id, rootfs, (userns, netns), uid_mappings, gid_mappings)| Registration {
            id,
            rootfs,
            userns,
            netns,
            uid_mappings,
            gid_mappings,
        },
    )
}

pub(crate) fn update() -> impl Strategy<Value = Update> {
    (registration(), shift_type()).prop_map(|(registration, rootfs_shift)| {
        let Registration { id, rootfs: _, userns, netns, uid_mappings, gid_mappings } = registration;
        Update { id, userns, netns, uid_mappings, gid_mappings, rootfs_shift }
    })
}

pub(crate) fn config() -> impl Strategy<Value = ContainerConfig> {
    (any::<[bool; 13]>(), option::of(path()), mappings(), mappings(), shift_type()).prop_map(
        |(on, userns, uid_mappings, gid_mappings, rootfs_shift)| ContainerConfig {
            alias_dns: on[0],
            shiftfs_ok: on[1],
            shiftfs_on_overlayfs_ok: on[2],
            idmap_mount_ok: on[3],
            overlayfs_on_idmap_mount_ok: on[4],
            no_rootfs_cloning: on[5],
            ignore_sysfs_chown: on[6],
            allow_trusted_xattr: on[7],
            honor_caps: on[8],
            syscont_mode: on[9],
            fsuid_map_fail_on_err: on[10],
            no_shiftfs_on_fuse: on[11],
            relaxed_read_only: on[12],
            userns,
            uid_mappings,
            gid_mappings,
            rootfs_shift,
        },
    )
}

pub(crate) fn subid_request() -> impl Strategy<Value = SubidRequest> {
    (id(), any::<NonZeroU32>()).prop_map(|(id, size)| SubidRequest { id, size })
}

pub(crate) fn subids() -> impl Strategy<Value = Subids> {
    any::<(u32, u32)>().prop_map(|(uid, gid)| Subids { uid: HostUid(uid), gid: HostGid(gid) })
}

pub(crate) fn mounts_to_prepare() -> impl Strategy<Value = MountsToPrepare> {
    let mount = (path(), any::<bool>()).prop_map(|(source, exclusive)| MountToPrepare { source, exclusive });
    (id(), subids(), vec(mount, 0..4)).prop_map(|(id, Subids { uid, gid }, mounts)| MountsToPrepare {
        id,
        uid,
        gid,
        mounts,
    })
}

pub(crate) fn mount_requests() -> impl Strategy<Value = MountRequests> {
    let mount = (proptest::sample::select(&MountKind::ALL[..]), path())
        .prop_map(|(kind, destination)| MountRequest { kind, destination });
    (id(), shift_type(), vec(mount, 0..4)).prop_map(|(id, rootfs_shift, mounts)| MountRequests {
        id,
        rootfs_shift,
        mounts,
    })
}

pub(crate) fn mounts() -> impl Strategy<Value = Vec<Mount>> {
    let mount = (any::<String>(), path(), any::<String>(), vec(any::<String>(), 0..4))
        .prop_map(|(source, destination, kind, options)| Mount { source, destination, kind, options });
    vec(mount, 0..4)
}

pub(crate) fn shiftfs_marks() -> impl Strategy<Value = ShiftfsMarks> {
    let mark = (path(), any::<bool>()).prop_map(|(source, readonly)| ShiftfsMark { source, readonly });
    (id(), vec(mark, 0..4)).prop_map(|(id, marks)| ShiftfsMarks { id, marks })
}

pub(crate) fn fs_state_request() -> impl Strategy<Value = FsStateRequest> {
    (id(), path()).prop_map(|(id, rootfs)| FsStateRequest { id, rootfs })
}

pub(crate) fn fs_entries() -> impl Strategy<Value = Vec<FsEntry>> {
    const KINDS: [FsEntryKind; 4] =
        [FsEntryKind::Invalid, FsEntryKind::File, FsEntryKind::Dir, FsEntryKind::Softlink];
    let entry = (proptest::sample::select(&KINDS[..]), path(), any::<u32>(), option::of(text()))
        .prop_map(|(kind, path, mode, target)| FsEntry { kind, path, mode, target });
    vec(entry, 0..4)
}

/// Offsets that the wire can carry.
pub(crate) fn offsets() -> impl Strategy<Value = IdOffsets> {
    any::<(i32, i32)>()
        .prop_map(|(uid, gid)| IdOffsets { uid: IdOffset::from(uid), gid: IdOffset::from(gid) })
}

/// Times from the year 1 to the year 9999, without the very first moment, which stands for no time.
pub(crate) fn time() -> impl Strategy<Value = SystemTime> {
    let seconds = prop_oneof![
        Just(-62_135_596_799_i64),
        Just(253_402_300_799),
        -2_000_000_000..2_000_000_000_i64,
        -62_135_596_799..253_402_300_799_i64,
    ];
    (seconds, prop_oneof![Just(0), Just(999_999_999), 0..1_000_000_000_u32]).prop_map(|(seconds, nanos)| {
        let whole = Duration::from_secs(seconds.unsigned_abs());
        let second = if seconds < 0 { UNIX_EPOCH - whole } else { UNIX_EPOCH + whole };
        second + Duration::new(0, nanos)
    })
}

/// What is known of a container, where the wire can carry it.
pub(crate) fn container_data() -> impl Strategy<Value = ContainerData> {
    let known = (option::of(1..=i32::MAX), option::of(text()), option::of(time()));
    let ids = (option::of(range()), option::of(range()));
    let paths = (vec(path(), 0..4), vec(path(), 0..4), option::of(path()));
    (id(), known, ids, paths).prop_map(
        |(id, (init_pid, hostname, created), (uids, gids), (proc_ro_paths, proc_mask_paths, netns))| {
            ContainerData {
                id,
                init_pid,
                hostname,
                created,
                uids,
                gids,
                proc_ro_paths,
                proc_mask_paths,
                netns,
            }
        },
    )
}

fn text() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("empty is absent", |text| !text.is_empty())
}

fn range() -> impl Strategy<Value = IdRange> {
    let top = i32::MAX.unsigned_abs();
    (0..=top, 1..=top).prop_map(|(first, count)| IdRange::new(first, count).expect("two halves fit"))
}
