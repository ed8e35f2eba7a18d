//! Values of every domain type, for property tests.

use std::{
    ffi::OsString,
    num::NonZeroU32,
    os::unix::ffi::OsStringExt,
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

/// Any bytes but NUL can be in a path.
pub(crate) fn path() -> impl Strategy<Value = AbsPath> {
    let bytes = vec(1..=u8::MAX, 0..40).prop_map(|bytes| [b"/", &*bytes].concat());
    let longest = Just(vec![b'/'; AbsPath::MAX_LEN]);
    prop_oneof![9 => bytes, 1 => longest]
        .prop_map(|bytes| AbsPath::new(OsString::from_vec(bytes)).expect("absolute"))
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
    let entry = (proptest::sample::select(&KINDS[..]), path(), any::<u32>(), option::of(any::<String>()))
        .prop_map(|(kind, path, mode, target)| FsEntry { kind, path, mode, target });
    vec(entry, 0..4)
}

pub(crate) fn offsets() -> impl Strategy<Value = IdOffsets> {
    let most = i64::from(u32::MAX) - 1;
    let offset = move || (-most..=most).prop_map(|offset| IdOffset::new(offset).expect("within"));
    (offset(), offset()).prop_map(|(uid, gid)| IdOffsets { uid, gid })
}

/// Times before and after 1970, up to the last that a clock can say.
pub(crate) fn time() -> impl Strategy<Value = SystemTime> {
    let seconds = prop_oneof![3 => -2_000_000_000..2_000_000_000_i64, 1 => i64::MIN..i64::MAX];
    (seconds, prop_oneof![Just(0), Just(999_999_999), 0..1_000_000_000_u32]).prop_map(|(seconds, nanos)| {
        let whole = Duration::from_secs(seconds.unsigned_abs());
        let second = if seconds < 0 { UNIX_EPOCH - whole } else { UNIX_EPOCH + whole };
        second + Duration::new(0, nanos)
    })
}

pub(crate) fn container_data() -> impl Strategy<Value = ContainerData> {
    let known = (option::of(1..=i32::MAX), option::of(any::<String>()), option::of(time()));
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

fn range() -> impl Strategy<Value = IdRange> {
    (any::<u32>(), 1..=u32::MAX).prop_filter_map("ids end", |(first, count)| IdRange::new(first, count).ok())
}
