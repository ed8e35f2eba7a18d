//! What the manager is asked.

use serde::{Deserialize, Serialize};
use sysbox_core as domain;
use sysbox_core::{ContainerId, HostGid, HostUid, IdOffsets};

use super::{
    ConvertError, Id, Path,
    answers::ShiftfsMark,
    value::{self, Extent},
};

/// What is told of a new container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    pub(super) id: Id,
    pub(super) rootfs: Path,
    pub(super) userns: Option<Path>,
    pub(super) netns: Option<Path>,
    pub(super) uid_mappings: Vec<Extent>,
    pub(super) gid_mappings: Vec<Extent>,
}

impl From<domain::Registration> for Registration {
    fn from(request: domain::Registration) -> Self {
        let domain::Registration { id, rootfs, userns, netns, uid_mappings, gid_mappings } = request;
        Self {
            id: id.into(),
            rootfs: rootfs.into(),
            userns: userns.map(Path::from),
            netns: netns.map(Path::from),
            uid_mappings: value::extents(&uid_mappings),
            gid_mappings: value::extents(&gid_mappings),
        }
    }
}

impl TryFrom<Registration> for domain::Registration {
    type Error = ConvertError;

    fn try_from(wire: Registration) -> Result<Self, ConvertError> {
        let Registration { id, rootfs, userns, netns, uid_mappings, gid_mappings } = wire;
        Ok(Self {
            id: value::id("id", id)?,
            rootfs: value::path("rootfs", rootfs)?,
            userns: value::optional_path("userns", userns)?,
            netns: value::optional_path("netns", netns)?,
            uid_mappings: value::mappings("uid_mappings", uid_mappings)?,
            gid_mappings: value::mappings("gid_mappings", gid_mappings)?,
        })
    }
}

/// What became known of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    pub(super) id: Id,
    pub(super) userns: Option<Path>,
    pub(super) netns: Option<Path>,
    pub(super) uid_mappings: Vec<Extent>,
    pub(super) gid_mappings: Vec<Extent>,
    pub(super) rootfs_shift: u32,
}

impl From<domain::Update> for Update {
    fn from(request: domain::Update) -> Self {
        let domain::Update { id, userns, netns, uid_mappings, gid_mappings, rootfs_shift } = request;
        Self {
            id: id.into(),
            userns: userns.map(Path::from),
            netns: netns.map(Path::from),
            uid_mappings: value::extents(&uid_mappings),
            gid_mappings: value::extents(&gid_mappings),
            rootfs_shift: rootfs_shift.number(),
        }
    }
}

impl TryFrom<Update> for domain::Update {
    type Error = ConvertError;

    fn try_from(wire: Update) -> Result<Self, ConvertError> {
        let Update { id, userns, netns, uid_mappings, gid_mappings, rootfs_shift } = wire;
        Ok(Self {
            id: value::id("id", id)?,
            userns: value::optional_path("userns", userns)?,
            netns: value::optional_path("netns", netns)?,
            uid_mappings: value::mappings("uid_mappings", uid_mappings)?,
            gid_mappings: value::mappings("gid_mappings", gid_mappings)?,
            rootfs_shift: value::shift_type("rootfs_shift", rootfs_shift)?,
        })
    }
}

/// A wish for ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubidRequest {
    pub(super) id: Id,
    pub(super) size: u32,
}

impl From<domain::SubidRequest> for SubidRequest {
    fn from(request: domain::SubidRequest) -> Self {
        let domain::SubidRequest { id, size } = request;
        Self { id: id.into(), size: size.get() }
    }
}

impl TryFrom<SubidRequest> for domain::SubidRequest {
    type Error = ConvertError;

    fn try_from(wire: SubidRequest) -> Result<Self, ConvertError> {
        let SubidRequest { id, size } = wire;
        Ok(Self { id: value::id("id", id)?, size: value::subid_size("size", size)? })
    }
}

/// Sources of bind mounts to be prepared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountsToPrepare {
    pub(super) id: Id,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mounts: Vec<MountToPrepare>,
}

/// One source of a bind mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MountToPrepare {
    pub(super) source: Path,
    pub(super) exclusive: bool,
}

impl From<domain::MountsToPrepare> for MountsToPrepare {
    fn from(request: domain::MountsToPrepare) -> Self {
        let domain::MountsToPrepare { id, uid: HostUid(uid), gid: HostGid(gid), mounts } = request;
        Self { id: id.into(), uid, gid, mounts: value::list(mounts) }
    }
}

impl From<domain::MountToPrepare> for MountToPrepare {
    fn from(mount: domain::MountToPrepare) -> Self {
        let domain::MountToPrepare { source, exclusive } = mount;
        Self { source: source.into(), exclusive }
    }
}

impl TryFrom<MountsToPrepare> for domain::MountsToPrepare {
    type Error = ConvertError;

    fn try_from(wire: MountsToPrepare) -> Result<Self, ConvertError> {
        let MountsToPrepare { id, uid, gid, mounts } = wire;
        let id = value::id("id", id)?;
        let mounts = value::each("mounts", mounts, |mount| {
            let MountToPrepare { source, exclusive } = mount;
            Ok(domain::MountToPrepare { source: value::path("source", source)?, exclusive })
        })?;
        Ok(Self { id, uid: HostUid(uid), gid: HostGid(gid), mounts })
    }
}

/// A wish for the mounts behind special directories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRequests {
    pub(super) id: Id,
    pub(super) rootfs_shift: u32,
    pub(super) mounts: Vec<MountRequest>,
}

/// A wish for one mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MountRequest {
    pub(super) kind: u32,
    pub(super) destination: Path,
}

impl From<domain::MountRequests> for MountRequests {
    fn from(request: domain::MountRequests) -> Self {
        let domain::MountRequests { id, rootfs_shift, mounts } = request;
        Self { id: id.into(), rootfs_shift: rootfs_shift.number(), mounts: value::list(mounts) }
    }
}

impl From<domain::MountRequest> for MountRequest {
    fn from(mount: domain::MountRequest) -> Self {
        let domain::MountRequest { kind, destination } = mount;
        Self { kind: kind.number(), destination: destination.into() }
    }
}

impl TryFrom<MountRequests> for domain::MountRequests {
    type Error = ConvertError;

    fn try_from(wire: MountRequests) -> Result<Self, ConvertError> {
        let MountRequests { id, rootfs_shift, mounts } = wire;
        let id = value::id("id", id)?;
        let rootfs_shift = value::shift_type("rootfs_shift", rootfs_shift)?;
        let mounts = value::each("mounts", mounts, |mount| {
            let MountRequest { kind, destination } = mount;
            let kind = value::mount_kind("kind", kind)?;
            Ok(domain::MountRequest { kind, destination: value::path("destination", destination)? })
        })?;
        Ok(Self { id, rootfs_shift, mounts })
    }
}

/// A wish for shiftfs marks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShiftfsMarks {
    pub(super) id: Id,
    pub(super) marks: Vec<ShiftfsMark>,
}

impl From<domain::ShiftfsMarks> for ShiftfsMarks {
    fn from(request: domain::ShiftfsMarks) -> Self {
        let domain::ShiftfsMarks { id, marks } = request;
        Self { id: id.into(), marks: value::list(marks) }
    }
}

impl TryFrom<ShiftfsMarks> for domain::ShiftfsMarks {
    type Error = ConvertError;

    fn try_from(wire: ShiftfsMarks) -> Result<Self, ConvertError> {
        let ShiftfsMarks { id, marks } = wire;
        let id = value::id("id", id)?;
        Ok(Self { id, marks: value::each("marks", marks, domain::ShiftfsMark::try_from)? })
    }
}

/// A wish for the entries to be made in a rootfs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FsStateRequest {
    pub(super) id: Id,
    pub(super) rootfs: Path,
}

impl From<domain::FsStateRequest> for FsStateRequest {
    fn from(request: domain::FsStateRequest) -> Self {
        let domain::FsStateRequest { id, rootfs } = request;
        Self { id: id.into(), rootfs: rootfs.into() }
    }
}

impl TryFrom<FsStateRequest> for domain::FsStateRequest {
    type Error = ConvertError;

    fn try_from(wire: FsStateRequest) -> Result<Self, ConvertError> {
        let FsStateRequest { id, rootfs } = wire;
        Ok(Self { id: value::id("id", id)?, rootfs: value::path("rootfs", rootfs)? })
    }
}

/// By how much the owners in a cloned rootfs are shifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chown {
    pub(super) id: Id,
    pub(super) uid_offset: i64,
    pub(super) gid_offset: i64,
}

impl From<(ContainerId, IdOffsets)> for Chown {
    fn from((id, offsets): (ContainerId, IdOffsets)) -> Self {
        let IdOffsets { uid, gid } = offsets;
        Self { id: id.into(), uid_offset: uid.get(), gid_offset: gid.get() }
    }
}

impl TryFrom<Chown> for (ContainerId, IdOffsets) {
    type Error = ConvertError;

    fn try_from(wire: Chown) -> Result<Self, ConvertError> {
        let Chown { id, uid_offset, gid_offset } = wire;
        let id = value::id("id", id)?;
        let uid = value::offset("uid_offset", uid_offset)?;
        Ok((id, IdOffsets { uid, gid: value::offset("gid_offset", gid_offset)? }))
    }
}
