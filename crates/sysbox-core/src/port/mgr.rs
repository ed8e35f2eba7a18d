//! The port to the manager (Sysbox's `sysbox-mgr`): ids, mounts and rootfs of containers.

use std::{fmt::Debug, num::NonZeroU32};

use async_trait::async_trait;

use crate::{
    AbsPath, ContainerConfig, ContainerId, FsEntry, HostGid, HostUid, IdMappings, IdOffsets, Mount,
    MountKind, PortError, ShiftType, ShiftfsMark,
};

/// What the manager does for containers.
///
/// Every call names a container. One that the manager does not know is `NotFound`, except for [`register`](Self::register).
/// A call may be `Unavailable`, `DeadlineExceeded` or `Internal` in any backend; the kinds named at a call come in addition.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait MgrPort: Debug + Send + Sync {
    /// Makes a container known, or known to run again after it had stopped.
    ///
    /// A container that shares a network namespace with a registered one and gives no user namespace of its own is told
    /// that one's user namespace and mappings. A restarted one is told its earlier mappings, unless it names others, and its shift;
    /// but where others run on in the user namespace that it had, it has one of its own from then on, and no ids and mappings
    /// but those that it names.
    ///
    /// Ids of the host that mappings of a known container name are given to nobody else.
    ///
    /// # Errors
    /// `AlreadyExists` when the container is registered and has not stopped. `InvalidArgument` when a namespace to join is not
    /// there, or a mapping makes something inside the host's root. `FailedPrecondition` when a mapping names ids that were given
    /// to another.
    async fn register(&self, request: &Registration) -> Result<ContainerConfig, PortError>;

    /// Tells what became known of a registered container since: its namespaces, mappings and shift.
    ///
    /// What is known already stays; the shift is always taken. Calling it again with the same values changes nothing.
    ///
    /// # Errors
    /// `FailedPrecondition` when the container has stopped, or a mapping names ids that were given to another.
    /// `InvalidArgument` when a mapping makes something inside the host's root.
    async fn update(&self, request: &Update) -> Result<(), PortError>;

    /// Tells that a container has stopped. What a restart needs is kept, ids and mounts among it.
    ///
    /// Its files are as if it had never run with other owners: what it kept in the directories behind mounts is in its rootfs,
    /// owners in its cloned rootfs and of sources of bind mounts are shifted back, and its shiftfs marks are removed, save where
    /// others still use the same.
    ///
    /// # Errors
    /// `FailedPrecondition` when it has stopped already, and for nothing else: callers take it as done.
    async fn unregister(&self, id: &ContainerId) -> Result<(), PortError>;

    /// Tells that a stopped container will not be started again: its ids and everything kept for it are released.
    ///
    /// # Errors
    /// `FailedPrecondition` when it has not stopped. `Unimplemented` by a backend that finds out by itself, as
    /// sysbox-mgr does by watching the rootfs.
    async fn remove(&self, id: &ContainerId) -> Result<(), PortError>;

    /// Gives the container's user namespace a range of user ids and one of group ids, each of the size asked for.
    ///
    /// Containers that share a user namespace share the ranges. A second call gives the same, and so does one after a restart
    /// that [did not move](Self::register) the container to another user namespace.
    ///
    /// # Errors
    /// `ResourceExhausted` when no such range is free. `InvalidArgument` when the container has ranges of another size.
    async fn alloc_subids(&self, request: &SubidRequest) -> Result<Subids, PortError>;

    /// Prepares sources of bind mounts so that the container's root owns them, where no mount can be made that shows them so.
    ///
    /// A source that another container uses stays as it is; where one of the two is to be the only one, that is no failure. When
    /// the last container that uses it stops, it is owned as before.
    ///
    /// # Errors
    /// `FailedPrecondition` when the container has stopped. `InvalidArgument` when a source is not there; none is prepared then.
    async fn prep_mounts(&self, request: &MountsToPrepare) -> Result<(), PortError>;

    /// Gives the mounts behind special directories, in the order of the wishes. A restarted container gets those it had.
    ///
    /// Each kind, destination and container has a directory of its own, with what the rootfs had at the destination when it was
    /// asked for first. What is kept there is in the rootfs whenever the container is paused or has stopped: what was added and
    /// changed, and what was deleted is not. It is removed with the container.
    ///
    /// The directory has mode 0700 for [`MountKind::VarLibDocker`] and [`MountKind::VarLibContainerdOvfs`], else 0755. Where the
    /// rootfs is ID-mapped, its owner is root and owners are those of the rootfs. Else its owner is the container's root on the
    /// host; and where the shift is by shiftfs or chown, owners in it are the host's ids, and in the rootfs the container's.
    ///
    /// The headers of the host's kernel are given unasked, after the wishes, where there are any: a wish for them adds nothing.
    ///
    /// # Errors
    /// `FailedPrecondition` when the container has stopped, also where nothing is wished for; when it has no ids yet and its
    /// files are to be shifted by chown or shiftfs; or when such a directory cannot be kept where the backend keeps its data.
    async fn req_mounts(&self, request: &MountRequests) -> Result<Vec<Mount>, PortError>;

    /// Marks directories for shiftfs and gives the marks that are new for this container. They are removed when the last
    /// container that has them stops.
    ///
    /// # Errors
    /// `FailedPrecondition` when the container has stopped; or where the kernel has no shiftfs, unless no mark is asked for.
    async fn req_shiftfs_mark(&self, request: &ShiftfsMarks) -> Result<Vec<ShiftfsMark>, PortError>;

    /// Gives the entries that are to be made in the rootfs, also of a container that has stopped.
    async fn req_fs_state(&self, request: &FsStateRequest) -> Result<Vec<FsEntry>, PortError>;

    /// Tells that the container's processes are frozen. Until they go on, owners in its cloned rootfs are as they were made, and
    /// what it keeps in the directories behind mounts is in its rootfs.
    ///
    /// # Errors
    /// `FailedPrecondition` when it is not running.
    async fn pause(&self, id: &ContainerId) -> Result<(), PortError>;

    /// Tells that the container's processes are about to go on. Owners in its cloned rootfs are shifted again if they were.
    ///
    /// # Errors
    /// `FailedPrecondition` when it is not paused.
    async fn resume(&self, id: &ContainerId) -> Result<(), PortError>;

    /// Sets up another rootfs over the same layers, cheap to chown, and gives its path.
    ///
    /// It shows the files of the rootfs, and what is written there is in the rootfs too. A second call gives the same, and so
    /// does one after a restart. It is removed with the container.
    ///
    /// # Errors
    /// `FailedPrecondition` when the container has stopped, or its rootfs is not an overlay.
    async fn clone_rootfs(&self, id: &ContainerId) -> Result<AbsPath, PortError>;

    /// Shifts the owners in the cloned rootfs by the offsets, until the container stops.
    ///
    /// The offsets are the host's ids of the container's root: the ids from there on, as many as the container has, must be ids,
    /// and none of them one that the container has inside. A container of which no more is known has 65,536.
    ///
    /// # Errors
    /// `FailedPrecondition` when the container has stopped or is paused, the rootfs was not cloned, or its owners are shifted
    /// already. `InvalidArgument` when an offset leads elsewhere.
    async fn chown_cloned_rootfs(&self, id: &ContainerId, offsets: IdOffsets) -> Result<(), PortError>;

    /// Shifts the owners in the cloned rootfs back. While the container is paused, they stay so when it goes on.
    ///
    /// # Errors
    /// `FailedPrecondition` when the rootfs was not cloned or its owners are not shifted.
    async fn revert_cloned_rootfs_chown(&self, id: &ContainerId) -> Result<(), PortError>;
}

/// What a runtime tells of a container when it makes it known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Registration {
    /// The container.
    pub id: ContainerId,
    /// Its root directory.
    pub rootfs: AbsPath,
    /// The user namespace it joins, if it joins one.
    pub userns: Option<AbsPath>,
    /// The network namespace it joins, if it joins one.
    pub netns: Option<AbsPath>,
    /// The user id mappings that its spec gives.
    pub uid_mappings: IdMappings,
    /// The group id mappings that its spec gives.
    pub gid_mappings: IdMappings,
}

/// What became known of a container since it was registered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Update {
    /// The container.
    pub id: ContainerId,
    /// Its user namespace, by a path that stays valid while it runs.
    pub userns: Option<AbsPath>,
    /// Its network namespace.
    pub netns: Option<AbsPath>,
    /// Its user id mappings.
    pub uid_mappings: IdMappings,
    /// Its group id mappings.
    pub gid_mappings: IdMappings,
    /// How its rootfs was shifted.
    pub rootfs_shift: ShiftType,
}

/// A wish for ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SubidRequest {
    /// The container.
    pub id: ContainerId,
    /// How many user ids, and as many group ids.
    pub size: NonZeroU32,
}

/// The ids given; the ranges are as long as was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subids {
    /// The first user id.
    pub uid: HostUid,
    /// The first group id.
    pub gid: HostGid,
}

/// Sources of bind mounts to be prepared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MountsToPrepare {
    /// The container.
    pub id: ContainerId,
    /// The host's id of the container's root user.
    pub uid: HostUid,
    /// The host's id of the container's root group.
    pub gid: HostGid,
    /// The sources.
    pub mounts: Vec<MountToPrepare>,
}

/// One source of a bind mount.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MountToPrepare {
    /// The source.
    pub source: AbsPath,
    /// Whether no two containers should use it at once.
    pub exclusive: bool,
}

/// A wish for the mounts behind special directories.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MountRequests {
    /// The container.
    pub id: ContainerId,
    /// How its rootfs is shifted.
    pub rootfs_shift: ShiftType,
    /// The special directories.
    pub mounts: Vec<MountRequest>,
}

/// A wish for one mount.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MountRequest {
    /// What is kept there.
    pub kind: MountKind,
    /// Where it is mounted, inside.
    pub destination: AbsPath,
}

/// A wish for shiftfs marks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ShiftfsMarks {
    /// The container.
    pub id: ContainerId,
    /// The directories.
    pub marks: Vec<ShiftfsMark>,
}

/// A wish for the entries to be made in a rootfs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FsStateRequest {
    /// The container.
    pub id: ContainerId,
    /// Its root directory, the clone if it was cloned.
    pub rootfs: AbsPath,
}
