//! Requests and answers that fill every field with a value that is seldom seen.

use std::time::{Duration, UNIX_EPOCH};

use sysbox_core::{
    AbsPath, ContainerConfig, ContainerData, ContainerId, FsEntry, FsEntryKind, FsStateRequest, HostGid,
    HostUid, IdMapping, IdMappings, IdOffset, IdOffsets, IdRange, Mount, MountKind, MountRequest,
    MountRequests, MountToPrepare, MountsToPrepare, Registration, ShiftType, ShiftfsMark, ShiftfsMarks,
    SubidRequest, Subids, Update,
};

use super::{life, script::Answers, update::most_extents};
use crate::world::{any_path, container, longest_id, longest_path};

/// What the fields hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// Nothing, wherever nothing can be.
    Empty,
    /// The most of what every backend takes.
    Full,
    /// Paths that are no text.
    AnyPath,
    /// The greatest ids.
    AnyId,
}

/// The greatest id that every backend takes.
const GREATEST_INT32: u32 = 0x7fff_ffff;

impl Fill {
    pub(crate) fn id(self) -> ContainerId {
        if self == Self::Empty { container("c") } else { longest_id() }
    }

    pub(crate) fn path(self, name: &str) -> AbsPath {
        match self {
            Self::Empty => life::path("/"),
            Self::AnyPath => any_path(name),
            Self::Full | Self::AnyId => longest_path(name),
        }
    }

    fn optional_path(self, name: &str) -> Option<AbsPath> {
        (self != Self::Empty).then(|| self.path(name))
    }

    fn list<T>(self, list: impl IntoIterator<Item = T>) -> Vec<T> {
        if self == Self::Empty { Vec::new() } else { list.into_iter().collect() }
    }

    /// As many extents as the kernel takes, the last up to the greatest id that may be there.
    #[expect(clippy::expect_used, reason = "extents of the suite's own, all apart")]
    fn mappings(self, first: u32) -> IdMappings {
        if self == Self::Empty {
            return IdMappings::default();
        }
        let all = most_extents(first).expect("340 extents apart");
        let greatest = if self == Self::AnyId { u32::MAX } else { GREATEST_INT32 };
        let last = IdMapping::new(1_000_000, greatest - 5, 5).expect("the greatest ids");
        IdMappings::new(all.as_slice().iter().copied().skip(1).chain([last])).expect("340 extents apart")
    }

    #[expect(clippy::expect_used, reason = "ranges of the suite's own")]
    fn range(self, nth: u32) -> Option<IdRange> {
        const HALF: u32 = 1 << 30;
        let range = match self {
            Self::Empty => return None,
            Self::AnyId => IdRange::new(4_000_000_000 + nth, 200_000_000 + nth),
            Self::Full | Self::AnyPath => IdRange::new(HALF + nth, HALF - nth),
        };
        Some(range.expect("a valid range"))
    }

    pub(crate) fn registration(self) -> Registration {
        Registration {
            id: self.id(),
            rootfs: self.path("rootfs"),
            userns: self.optional_path("userns"),
            netns: self.optional_path("netns"),
            uid_mappings: self.mappings(2_000_000_000),
            gid_mappings: self.mappings(2_090_000_000),
        }
    }

    pub(crate) fn update(self) -> Update {
        Update {
            id: self.id(),
            userns: self.optional_path("userns"),
            netns: self.optional_path("netns"),
            uid_mappings: self.mappings(1_800_000_000),
            gid_mappings: self.mappings(1_900_000_000),
            rootfs_shift: if self == Self::Empty {
                ShiftType::NoShift
            } else {
                ShiftType::IdMappedMountOrShiftfs
            },
        }
    }

    pub(crate) fn subid_request(self) -> SubidRequest {
        life::ids(&self.id(), if self == Self::Empty { 1 } else { u32::MAX })
    }

    pub(crate) fn mounts_to_prepare(self) -> MountsToPrepare {
        let mount = |name, exclusive| MountToPrepare { source: self.path(name), exclusive };
        MountsToPrepare {
            id: self.id(),
            uid: HostUid(self.number(0)),
            gid: HostGid(self.number(1)),
            mounts: self.list([mount("a", true), mount("b", false), mount("a", true)]),
        }
    }

    pub(crate) fn mount_requests(self) -> MountRequests {
        let request = |kind: MountKind| MountRequest { kind, destination: self.path(kind.name()) };
        MountRequests {
            id: self.id(),
            rootfs_shift: if self == Self::Empty { ShiftType::NoShift } else { ShiftType::Chown },
            mounts: self.list(MountKind::ALL.map(request)),
        }
    }

    pub(crate) fn marks(self) -> ShiftfsMarks {
        let mark = |name, readonly| ShiftfsMark { source: self.path(name), readonly };
        ShiftfsMarks { id: self.id(), marks: self.list([mark("a", true), mark("b", false)]) }
    }

    pub(crate) fn fs_state_request(self) -> FsStateRequest {
        FsStateRequest { id: self.id(), rootfs: self.path("rootfs") }
    }

    #[expect(clippy::expect_used, reason = "offsets within the range of ids")]
    pub(crate) fn offsets(self) -> IdOffsets {
        let offset = |number| IdOffset::new(number).expect("within the range of ids");
        let (uid, gid) = match self {
            Self::Empty => (0, 0),
            Self::AnyId => (4_294_967_294, -4_294_967_294),
            Self::Full | Self::AnyPath => (i64::from(i32::MIN), i64::from(i32::MAX)),
        };
        IdOffsets { uid: offset(uid), gid: offset(gid) }
    }

    pub(crate) fn data(self) -> ContainerData {
        if self == Self::Empty {
            return ContainerData::new(self.id());
        }
        // Before 1970 and not on a second.
        let created = UNIX_EPOCH.checked_sub(Duration::new(1_000_000_000, 999_999_999));
        ContainerData {
            id: self.id(),
            init_pid: Some(i32::MAX),
            hostname: Some("\u{6587}\u{e9}-host.example \"\\\0".repeat(20)),
            created,
            uids: self.range(0),
            gids: self.range(7),
            proc_ro_paths: vec![self.path("ro-one"), self.path("ro-two")],
            proc_mask_paths: vec![self.path("mask-one"), self.path("mask-two"), self.path("mask-one")],
            netns: self.optional_path("netns"),
        }
    }

    pub(crate) fn answers(self) -> Answers {
        if self == Self::Empty {
            return Answers::empty();
        }
        Answers {
            config: self.config(),
            subids: Subids { uid: HostUid(self.number(0)), gid: HostGid(self.number(1)) },
            mounts: self.mounts(),
            marks: self.marks().marks,
            entries: self.entries(),
            path: self.path("answer"),
            ..Answers::empty()
        }
    }

    /// Almost the greatest that may be there.
    fn number(self, nth: u32) -> u32 {
        match self {
            Self::Empty => 0,
            Self::AnyId => u32::MAX - 1 - nth,
            Self::Full | Self::AnyPath => GREATEST_INT32 - 1 - nth,
        }
    }

    /// The three that are on by default are off, and all others on.
    fn config(self) -> ContainerConfig {
        ContainerConfig {
            alias_dns: false,
            shiftfs_ok: true,
            shiftfs_on_overlayfs_ok: true,
            idmap_mount_ok: true,
            overlayfs_on_idmap_mount_ok: true,
            no_rootfs_cloning: true,
            ignore_sysfs_chown: true,
            allow_trusted_xattr: false,
            honor_caps: true,
            syscont_mode: false,
            fsuid_map_fail_on_err: true,
            no_shiftfs_on_fuse: true,
            relaxed_read_only: true,
            userns: self.optional_path("shared"),
            uid_mappings: self.mappings(1_600_000_000),
            gid_mappings: self.mappings(1_700_000_000),
            rootfs_shift: ShiftType::Shiftfs,
        }
    }

    /// One of the longest path, and a thousand others.
    fn mounts(self) -> Vec<Mount> {
        let options = |nth: usize| (0..nth % 4).map(|option| format!("option={nth},{option}")).collect();
        let many = (0..1000).map(|nth| Mount {
            source: format!("/volumes/{nth}/\u{e9}"),
            destination: life::path(&format!("/mnt/{nth}")),
            kind: if nth % 2 == 0 { "bind".to_owned() } else { format!("kind-{nth}") },
            options: options(nth),
        });
        let first = Mount {
            source: "\u{6587}".repeat(1000),
            destination: self.path("destination"),
            kind: "bind".to_owned(),
            options: vec!["rbind".to_owned(), "rprivate".to_owned(), String::new()],
        };
        [first].into_iter().chain(many).collect()
    }

    fn entries(self) -> Vec<FsEntry> {
        let entry = |kind, name: &str, mode, target: Option<&str>| FsEntry {
            kind,
            path: self.path(name),
            mode,
            target: target.map(str::to_owned),
        };
        vec![
            entry(FsEntryKind::Invalid, "invalid", 0, None),
            entry(FsEntryKind::File, "file", 0o4755, None),
            entry(FsEntryKind::Dir, "directory", u32::MAX, None),
            entry(FsEntryKind::Softlink, "link", 0o777, Some("../relative/\u{e9}")),
        ]
    }
}
