//! What the manager answers.

use sysbox_core::{AbsPath, ContainerConfig, FsEntry, HostGid, HostUid, Mount, ShiftfsMark, Subids};

use super::{ConvertError, value};
use crate::{
    convert::Rule,
    generated::{ext, pb},
};

/// Replies that only say that it was done.
macro_rules! done {
    ($($message:path),+ $(,)?) => {$(
        impl TryFrom<$message> for () {
            type Error = ConvertError;

            fn try_from($message {}: $message) -> Result<Self, ConvertError> {
                Ok(())
            }
        }
    )+};
}

done!(
    pb::UpdateResp,
    pb::UnregisterResp,
    pb::MountPrepResp,
    pb::PauseResp,
    pb::ResumeResp,
    pb::ChownClonedRootfsResp,
    pb::RevertClonedRootfsChownResp,
    ext::RemoveResponse,
);

impl TryFrom<&ContainerConfig> for pb::RegisterResp {
    type Error = ConvertError;

    fn try_from(config: &ContainerConfig) -> Result<Self, ConvertError> {
        let message =
            pb::ContainerConfig::try_from(config).map_err(|error| error.inside("containerConfig"))?;
        Ok(Self { container_config: Some(message) })
    }
}

impl TryFrom<pb::RegisterResp> for ContainerConfig {
    type Error = ConvertError;

    /// Without a configuration nobody knows how to run the container, so that is an error.
    fn try_from(message: pb::RegisterResp) -> Result<Self, ConvertError> {
        let pb::RegisterResp { container_config } = message;
        let config = container_config.ok_or_else(|| ConvertError::new("containerConfig", Rule::Absent))?;
        Self::try_from(config).map_err(|error| error.inside("containerConfig"))
    }
}

impl TryFrom<&ContainerConfig> for pb::ContainerConfig {
    type Error = ConvertError;

    fn try_from(config: &ContainerConfig) -> Result<Self, ConvertError> {
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
        } = config;
        Ok(Self {
            alias_dns: *alias_dns,
            shiftfs_ok: *shiftfs_ok,
            shiftfs_on_overlayfs_ok: *shiftfs_on_overlayfs_ok,
            id_map_mount_ok: *idmap_mount_ok,
            overlayfs_on_id_map_mount_ok: *overlayfs_on_idmap_mount_ok,
            no_rootfs_cloning: *no_rootfs_cloning,
            ignore_sysfs_chown: *ignore_sysfs_chown,
            allow_trusted_xattr: *allow_trusted_xattr,
            honor_caps: *honor_caps,
            syscont_mode: *syscont_mode,
            userns: value::optional_path_text("userns", userns.as_ref())?,
            uid_mappings: value::mapping_messages(uid_mappings),
            gid_mappings: value::mapping_messages(gid_mappings),
            fsuid_map_fail_on_err: *fsuid_map_fail_on_err,
            rootfs_uid_shift_type: rootfs_shift.number(),
            no_shiftfs_on_fuse: *no_shiftfs_on_fuse,
            relaxed_read_only: *relaxed_read_only,
        })
    }
}

impl TryFrom<pb::ContainerConfig> for ContainerConfig {
    type Error = ConvertError;

    fn try_from(message: pb::ContainerConfig) -> Result<Self, ConvertError> {
        let pb::ContainerConfig {
            alias_dns,
            shiftfs_ok,
            shiftfs_on_overlayfs_ok,
            id_map_mount_ok,
            overlayfs_on_id_map_mount_ok,
            no_rootfs_cloning,
            ignore_sysfs_chown,
            allow_trusted_xattr,
            honor_caps,
            syscont_mode,
            userns,
            uid_mappings,
            gid_mappings,
            fsuid_map_fail_on_err,
            rootfs_uid_shift_type,
            no_shiftfs_on_fuse,
            relaxed_read_only,
        } = message;
        Ok(Self {
            alias_dns,
            shiftfs_ok,
            shiftfs_on_overlayfs_ok,
            idmap_mount_ok: id_map_mount_ok,
            overlayfs_on_idmap_mount_ok: overlayfs_on_id_map_mount_ok,
            no_rootfs_cloning,
            ignore_sysfs_chown,
            allow_trusted_xattr,
            honor_caps,
            syscont_mode,
            fsuid_map_fail_on_err,
            no_shiftfs_on_fuse,
            relaxed_read_only,
            userns: value::optional_path("userns", userns)?,
            uid_mappings: value::mappings("uidMappings", uid_mappings)?,
            gid_mappings: value::mappings("gidMappings", gid_mappings)?,
            rootfs_shift: value::shift_type("rootfsUidShiftType", rootfs_uid_shift_type)?,
        })
    }
}

impl From<Subids> for pb::SubidAllocResp {
    fn from(subids: Subids) -> Self {
        let Subids { uid: HostUid(uid), gid: HostGid(gid) } = subids;
        Self { uid, gid }
    }
}

impl TryFrom<pb::SubidAllocResp> for Subids {
    type Error = ConvertError;

    fn try_from(message: pb::SubidAllocResp) -> Result<Self, ConvertError> {
        let pb::SubidAllocResp { uid, gid } = message;
        Ok(Self { uid: HostUid(uid), gid: HostGid(gid) })
    }
}

impl TryFrom<&Vec<Mount>> for pb::MountResp {
    type Error = ConvertError;

    fn try_from(mounts: &Vec<Mount>) -> Result<Self, ConvertError> {
        let mounts = value::each("mounts", mounts, |mount| {
            let Mount { source, destination, kind, options } = mount;
            let dest = value::path_text("dest", destination)?;
            Ok(pb::Mount { source: source.clone(), dest, r#type: kind.clone(), opt: options.clone() })
        })?;
        Ok(Self { mounts })
    }
}

impl TryFrom<pb::MountResp> for Vec<Mount> {
    type Error = ConvertError;

    fn try_from(message: pb::MountResp) -> Result<Self, ConvertError> {
        let pb::MountResp { mounts } = message;
        value::each("mounts", mounts, |mount| {
            let pb::Mount { source, dest, r#type, opt } = mount;
            let destination = value::path("dest", dest)?;
            Ok(Mount { source, destination, kind: r#type, options: opt })
        })
    }
}

impl TryFrom<&Vec<ShiftfsMark>> for pb::ShiftfsMarkResp {
    type Error = ConvertError;

    fn try_from(marks: &Vec<ShiftfsMark>) -> Result<Self, ConvertError> {
        Ok(Self { shiftfs_marks: value::each("shiftfsMarks", marks, pb::ShiftfsMark::try_from)? })
    }
}

impl TryFrom<pb::ShiftfsMarkResp> for Vec<ShiftfsMark> {
    type Error = ConvertError;

    fn try_from(message: pb::ShiftfsMarkResp) -> Result<Self, ConvertError> {
        let pb::ShiftfsMarkResp { shiftfs_marks } = message;
        value::each("shiftfsMarks", shiftfs_marks, ShiftfsMark::try_from)
    }
}

impl TryFrom<&Vec<FsEntry>> for pb::FsStateResp {
    type Error = ConvertError;

    fn try_from(entries: &Vec<FsEntry>) -> Result<Self, ConvertError> {
        let fs_entries = value::each("fsEntries", entries, |entry| {
            let FsEntry { kind, path, mode, target } = entry;
            let path = value::path_text("path", path)?;
            let dst = value::optional_text("dst", target.as_deref())?;
            Ok(pb::FsEntry { kind: kind.number(), path, mode: *mode, dst })
        })?;
        Ok(Self { fs_entries })
    }
}

impl TryFrom<pb::FsStateResp> for Vec<FsEntry> {
    type Error = ConvertError;

    fn try_from(message: pb::FsStateResp) -> Result<Self, ConvertError> {
        let pb::FsStateResp { fs_entries } = message;
        value::each("fsEntries", fs_entries, |entry| {
            let pb::FsEntry { kind, path, mode, dst } = entry;
            let kind = value::fs_entry_kind("kind", kind)?;
            Ok(FsEntry { kind, path: value::path("path", path)?, mode, target: value::optional(dst) })
        })
    }
}

impl TryFrom<&AbsPath> for pb::CloneRootfsResp {
    type Error = ConvertError;

    fn try_from(rootfs: &AbsPath) -> Result<Self, ConvertError> {
        Ok(Self { rootfs: value::path_text("rootfs", rootfs)? })
    }
}

impl TryFrom<pb::CloneRootfsResp> for AbsPath {
    type Error = ConvertError;

    fn try_from(message: pb::CloneRootfsResp) -> Result<Self, ConvertError> {
        let pb::CloneRootfsResp { rootfs } = message;
        value::path("rootfs", rootfs)
    }
}
