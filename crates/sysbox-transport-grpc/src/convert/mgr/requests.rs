//! What the manager is asked.

use sysbox_core::{
    ContainerId, FsStateRequest, HostGid, HostUid, IdOffset, IdOffsets, MountRequest, MountRequests,
    MountToPrepare, MountsToPrepare, Registration, ShiftfsMark, ShiftfsMarks, SubidRequest, Update,
};

use super::{ConvertError, value};
use crate::generated::{ext, pb};

/// Requests that only name a container.
macro_rules! container_only {
    ($($message:path),+ $(,)?) => {$(
        impl TryFrom<&ContainerId> for $message {
            type Error = ConvertError;

            fn try_from(id: &ContainerId) -> Result<Self, ConvertError> {
                Ok(Self { id: id.to_string() })
            }
        }

        impl TryFrom<$message> for ContainerId {
            type Error = ConvertError;

            fn try_from(message: $message) -> Result<Self, ConvertError> {
                let $message { id } = message;
                value::id("id", id)
            }
        }
    )+};
}

container_only!(
    pb::UnregisterReq,
    pb::PauseReq,
    pb::ResumeReq,
    pb::CloneRootfsReq,
    pb::RevertClonedRootfsChownReq,
    ext::RemoveRequest,
);

impl TryFrom<&Registration> for pb::RegisterReq {
    type Error = ConvertError;

    fn try_from(request: &Registration) -> Result<Self, ConvertError> {
        let Registration { id, rootfs, userns, netns, uid_mappings, gid_mappings } = request;
        Ok(Self {
            id: id.to_string(),
            rootfs: value::path_text("rootfs", rootfs)?,
            userns: value::optional_path_text("userns", userns.as_ref())?,
            netns: value::optional_path_text("netns", netns.as_ref())?,
            uid_mappings: value::mapping_messages(uid_mappings),
            gid_mappings: value::mapping_messages(gid_mappings),
        })
    }
}

impl TryFrom<pb::RegisterReq> for Registration {
    type Error = ConvertError;

    fn try_from(message: pb::RegisterReq) -> Result<Self, ConvertError> {
        let pb::RegisterReq { id, rootfs, userns, netns, uid_mappings, gid_mappings } = message;
        Ok(Self {
            id: value::id("id", id)?,
            rootfs: value::path("rootfs", rootfs)?,
            userns: value::optional_path("userns", userns)?,
            netns: value::optional_path("netns", netns)?,
            uid_mappings: value::mappings("uidMappings", uid_mappings)?,
            gid_mappings: value::mappings("gidMappings", gid_mappings)?,
        })
    }
}

impl TryFrom<&Update> for pb::UpdateReq {
    type Error = ConvertError;

    fn try_from(request: &Update) -> Result<Self, ConvertError> {
        let Update { id, userns, netns, uid_mappings, gid_mappings, rootfs_shift } = request;
        Ok(Self {
            id: id.to_string(),
            userns: value::optional_path_text("userns", userns.as_ref())?,
            netns: value::optional_path_text("netns", netns.as_ref())?,
            uid_mappings: value::mapping_messages(uid_mappings),
            gid_mappings: value::mapping_messages(gid_mappings),
            rootfs_uid_shift_type: rootfs_shift.number(),
        })
    }
}

impl TryFrom<pb::UpdateReq> for Update {
    type Error = ConvertError;

    fn try_from(message: pb::UpdateReq) -> Result<Self, ConvertError> {
        let pb::UpdateReq { id, userns, netns, uid_mappings, gid_mappings, rootfs_uid_shift_type } = message;
        Ok(Self {
            id: value::id("id", id)?,
            userns: value::optional_path("userns", userns)?,
            netns: value::optional_path("netns", netns)?,
            uid_mappings: value::mappings("uidMappings", uid_mappings)?,
            gid_mappings: value::mappings("gidMappings", gid_mappings)?,
            rootfs_shift: value::shift_type("rootfsUidShiftType", rootfs_uid_shift_type)?,
        })
    }
}

impl TryFrom<&SubidRequest> for pb::SubidAllocReq {
    type Error = ConvertError;

    fn try_from(request: &SubidRequest) -> Result<Self, ConvertError> {
        let SubidRequest { id, size } = request;
        Ok(Self { id: id.to_string(), size: size.get().into() })
    }
}

impl TryFrom<pb::SubidAllocReq> for SubidRequest {
    type Error = ConvertError;

    fn try_from(message: pb::SubidAllocReq) -> Result<Self, ConvertError> {
        let pb::SubidAllocReq { id, size } = message;
        Ok(Self { id: value::id("id", id)?, size: value::subid_size("size", size)? })
    }
}

impl TryFrom<&MountsToPrepare> for pb::MountPrepReq {
    type Error = ConvertError;

    fn try_from(request: &MountsToPrepare) -> Result<Self, ConvertError> {
        let MountsToPrepare { id, uid: HostUid(uid), gid: HostGid(gid), mounts } = request;
        let prep_list = value::each("prepList", mounts, |mount| {
            let MountToPrepare { source, exclusive } = mount;
            Ok(pb::MountPrepInfo { source: value::path_text("source", source)?, exclusive: *exclusive })
        })?;
        Ok(Self { id: id.to_string(), uid: *uid, gid: *gid, prep_list })
    }
}

impl TryFrom<pb::MountPrepReq> for MountsToPrepare {
    type Error = ConvertError;

    fn try_from(message: pb::MountPrepReq) -> Result<Self, ConvertError> {
        let pb::MountPrepReq { id, uid, gid, prep_list } = message;
        let id = value::id("id", id)?;
        let mounts = value::each("prepList", prep_list, |mount| {
            let pb::MountPrepInfo { source, exclusive } = mount;
            Ok(MountToPrepare { source: value::path("source", source)?, exclusive })
        })?;
        Ok(Self { id, uid: HostUid(uid), gid: HostGid(gid), mounts })
    }
}

impl TryFrom<&MountRequests> for pb::MountReq {
    type Error = ConvertError;

    fn try_from(request: &MountRequests) -> Result<Self, ConvertError> {
        let MountRequests { id, rootfs_shift, mounts } = request;
        let req_list = value::each("reqList", mounts, |mount| {
            let MountRequest { kind, destination } = mount;
            Ok(pb::MountReqInfo { kind: kind.number(), dest: value::path_text("dest", destination)? })
        })?;
        Ok(Self { id: id.to_string(), rootfs_uid_shift_type: rootfs_shift.number(), req_list })
    }
}

impl TryFrom<pb::MountReq> for MountRequests {
    type Error = ConvertError;

    fn try_from(message: pb::MountReq) -> Result<Self, ConvertError> {
        let pb::MountReq { id, rootfs_uid_shift_type, req_list } = message;
        let id = value::id("id", id)?;
        let rootfs_shift = value::shift_type("rootfsUidShiftType", rootfs_uid_shift_type)?;
        let mounts = value::each("reqList", req_list, |mount| {
            let pb::MountReqInfo { kind, dest } = mount;
            Ok(MountRequest {
                kind: value::mount_kind("kind", kind)?,
                destination: value::path("dest", dest)?,
            })
        })?;
        Ok(Self { id, rootfs_shift, mounts })
    }
}

impl TryFrom<&ShiftfsMarks> for pb::ShiftfsMarkReq {
    type Error = ConvertError;

    fn try_from(request: &ShiftfsMarks) -> Result<Self, ConvertError> {
        let ShiftfsMarks { id, marks } = request;
        let shiftfs_marks = value::each("shiftfsMarks", marks, pb::ShiftfsMark::try_from)?;
        Ok(Self { id: id.to_string(), shiftfs_marks })
    }
}

impl TryFrom<pb::ShiftfsMarkReq> for ShiftfsMarks {
    type Error = ConvertError;

    fn try_from(message: pb::ShiftfsMarkReq) -> Result<Self, ConvertError> {
        let pb::ShiftfsMarkReq { id, shiftfs_marks } = message;
        let id = value::id("id", id)?;
        Ok(Self { id, marks: value::each("shiftfsMarks", shiftfs_marks, ShiftfsMark::try_from)? })
    }
}

impl TryFrom<&FsStateRequest> for pb::FsStateReq {
    type Error = ConvertError;

    fn try_from(request: &FsStateRequest) -> Result<Self, ConvertError> {
        let FsStateRequest { id, rootfs } = request;
        Ok(Self { id: id.to_string(), rootfs: value::path_text("rootfs", rootfs)? })
    }
}

impl TryFrom<pb::FsStateReq> for FsStateRequest {
    type Error = ConvertError;

    fn try_from(message: pb::FsStateReq) -> Result<Self, ConvertError> {
        let pb::FsStateReq { id, rootfs } = message;
        Ok(Self { id: value::id("id", id)?, rootfs: value::path("rootfs", rootfs)? })
    }
}

impl TryFrom<(&ContainerId, IdOffsets)> for pb::ChownClonedRootfsReq {
    type Error = ConvertError;

    fn try_from((id, offsets): (&ContainerId, IdOffsets)) -> Result<Self, ConvertError> {
        let IdOffsets { uid, gid } = offsets;
        Ok(Self {
            id: id.to_string(),
            uid_offset: value::offset_number("uidOffset", uid)?,
            gid_offset: value::offset_number("gidOffset", gid)?,
        })
    }
}

impl TryFrom<pb::ChownClonedRootfsReq> for (ContainerId, IdOffsets) {
    type Error = ConvertError;

    fn try_from(message: pb::ChownClonedRootfsReq) -> Result<Self, ConvertError> {
        let pb::ChownClonedRootfsReq { id, uid_offset, gid_offset } = message;
        let offsets = IdOffsets { uid: IdOffset::from(uid_offset), gid: IdOffset::from(gid_offset) };
        Ok((value::id("id", id)?, offsets))
    }
}
