//! What the manager answers.

use serde::{Deserialize, Serialize};
use sysbox_core as domain;
use sysbox_core::{HostGid, HostUid};

use super::{
    ConvertError, Path,
    value::{self, Extent},
};

/// How a container is to be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerConfig {
    pub(super) alias_dns: bool,
    pub(super) shiftfs_ok: bool,
    pub(super) shiftfs_on_overlayfs_ok: bool,
    pub(super) idmap_mount_ok: bool,
    pub(super) overlayfs_on_idmap_mount_ok: bool,
    pub(super) no_rootfs_cloning: bool,
    pub(super) ignore_sysfs_chown: bool,
    pub(super) allow_trusted_xattr: bool,
    pub(super) honor_caps: bool,
    pub(super) syscont_mode: bool,
    pub(super) fsuid_map_fail_on_err: bool,
    pub(super) no_shiftfs_on_fuse: bool,
    pub(super) relaxed_read_only: bool,
    pub(super) userns: Option<Path>,
    pub(super) uid_mappings: Vec<Extent>,
    pub(super) gid_mappings: Vec<Extent>,
    pub(super) rootfs_shift: u32,
}

impl From<domain::ContainerConfig> for ContainerConfig {
    fn from(config: domain::ContainerConfig) -> Self {
        let domain::ContainerConfig {
            alias_dns,
            shiftfs_ok,
            shiftfs_on_overlayfs_ok,
            idmap_mount_ok,
            overlayfs_on_idmap_mount_ok,
            no_rootfs_cloning,
            ignore_sysfs_chown,
            allow_trusted_xattr,
            honor_caps,
            syscont_mode,
            fsuid_map_fail_on_err,
            no_shiftfs_on_fuse,
            relaxed_read_only,
            userns,
            uid_mappings,
            gid_mappings,
            rootfs_shift,
        } = config;
        Self {
            alias_dns,
            shiftfs_ok,
            shiftfs_on_overlayfs_ok,
            idmap_mount_ok,
            overlayfs_on_idmap_mount_ok,
            no_rootfs_cloning,
            ignore_sysfs_chown,
            allow_trusted_xattr,
            honor_caps,
            syscont_mode,
            fsuid_map_fail_on_err,
            no_shiftfs_on_fuse,
            relaxed_read_only,
            userns: userns.map(Path::from),
            uid_mappings: value::extents(&uid_mappings),
            gid_mappings: value::extents(&gid_mappings),
            rootfs_shift: rootfs_shift.number(),
        }
    }
}

impl TryFrom<ContainerConfig> for domain::ContainerConfig {
    type Error = ConvertError;

    fn try_from(wire: ContainerConfig) -> Result<Self, ConvertError> {
        let ContainerConfig {
            alias_dns,
            shiftfs_ok,
            shiftfs_on_overlayfs_ok,
            idmap_mount_ok,
            overlayfs_on_idmap_mount_ok,
            no_rootfs_cloning,
            ignore_sysfs_chown,
            allow_trusted_xattr,
            honor_caps,
            syscont_mode,
            fsuid_map_fail_on_err,
            no_shiftfs_on_fuse,
            relaxed_read_only,
            userns,
            uid_mappings,
            gid_mappings,
            rootfs_shift,
        } = wire;
        Ok(Self {
            alias_dns,
            shiftfs_ok,
            shiftfs_on_overlayfs_ok,
            idmap_mount_ok,
            overlayfs_on_idmap_mount_ok,
            no_rootfs_cloning,
            ignore_sysfs_chown,
            allow_trusted_xattr,
            honor_caps,
            syscont_mode,
            fsuid_map_fail_on_err,
            no_shiftfs_on_fuse,
            relaxed_read_only,
            userns: value::optional_path("userns", userns)?,
            uid_mappings: value::mappings("uid_mappings", uid_mappings)?,
            gid_mappings: value::mappings("gid_mappings", gid_mappings)?,
            rootfs_shift: value::shift_type("rootfs_shift", rootfs_shift)?,
        })
    }
}

/// The first of the ids given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subids {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl From<domain::Subids> for Subids {
    fn from(subids: domain::Subids) -> Self {
        let domain::Subids { uid: HostUid(uid), gid: HostGid(gid) } = subids;
        Self { uid, gid }
    }
}

impl TryFrom<Subids> for domain::Subids {
    type Error = ConvertError;

    fn try_from(wire: Subids) -> Result<Self, ConvertError> {
        let Subids { uid, gid } = wire;
        Ok(Self { uid: HostUid(uid), gid: HostGid(gid) })
    }
}

/// Mounts to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mounts(pub(super) Vec<Mount>);

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mount {
    pub(super) source: String,
    pub(super) destination: Path,
    pub(super) kind: String,
    pub(super) options: Vec<String>,
}

impl From<Vec<domain::Mount>> for Mounts {
    fn from(mounts: Vec<domain::Mount>) -> Self {
        Self(value::list(mounts))
    }
}

impl From<domain::Mount> for Mount {
    fn from(mount: domain::Mount) -> Self {
        let domain::Mount { source, destination, kind, options } = mount;
        Self { source, destination: destination.into(), kind, options }
    }
}

impl TryFrom<Mounts> for Vec<domain::Mount> {
    type Error = ConvertError;

    fn try_from(Mounts(mounts): Mounts) -> Result<Self, ConvertError> {
        value::each("mounts", mounts, |mount| {
            let Mount { source, destination, kind, options } = mount;
            let destination = value::path("destination", destination)?;
            Ok(domain::Mount { source, destination, kind, options })
        })
    }
}

/// Marks that were made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarksMade(pub(super) Vec<ShiftfsMark>);

/// A directory that shiftfs is marked on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShiftfsMark {
    pub(super) source: Path,
    pub(super) readonly: bool,
}

impl From<Vec<domain::ShiftfsMark>> for MarksMade {
    fn from(marks: Vec<domain::ShiftfsMark>) -> Self {
        Self(value::list(marks))
    }
}

impl From<domain::ShiftfsMark> for ShiftfsMark {
    fn from(mark: domain::ShiftfsMark) -> Self {
        let domain::ShiftfsMark { source, readonly } = mark;
        Self { source: source.into(), readonly }
    }
}

impl TryFrom<MarksMade> for Vec<domain::ShiftfsMark> {
    type Error = ConvertError;

    fn try_from(MarksMade(marks): MarksMade) -> Result<Self, ConvertError> {
        value::each("marks", marks, domain::ShiftfsMark::try_from)
    }
}

impl TryFrom<ShiftfsMark> for domain::ShiftfsMark {
    type Error = ConvertError;

    fn try_from(wire: ShiftfsMark) -> Result<Self, ConvertError> {
        let ShiftfsMark { source, readonly } = wire;
        Ok(Self { source: value::path("source", source)?, readonly })
    }
}

/// Entries to be made in a rootfs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FsEntries(pub(super) Vec<FsEntry>);

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FsEntry {
    pub(super) kind: u32,
    pub(super) path: Path,
    pub(super) mode: u32,
    pub(super) target: Option<String>,
}

impl From<Vec<domain::FsEntry>> for FsEntries {
    fn from(entries: Vec<domain::FsEntry>) -> Self {
        Self(value::list(entries))
    }
}

impl From<domain::FsEntry> for FsEntry {
    fn from(entry: domain::FsEntry) -> Self {
        let domain::FsEntry { kind, path, mode, target } = entry;
        Self { kind: kind.number(), path: path.into(), mode, target }
    }
}

impl TryFrom<FsEntries> for Vec<domain::FsEntry> {
    type Error = ConvertError;

    fn try_from(FsEntries(entries): FsEntries) -> Result<Self, ConvertError> {
        value::each("entries", entries, |entry| {
            let FsEntry { kind, path, mode, target } = entry;
            let kind = value::fs_entry_kind("kind", kind)?;
            Ok(domain::FsEntry { kind, path: value::path("path", path)?, mode, target })
        })
    }
}
