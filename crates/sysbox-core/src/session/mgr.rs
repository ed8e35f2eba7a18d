//! The facade of the manager. Go: `Mgr`.

use std::{num::NonZeroU32, sync::Arc};

use oci_spec::runtime::Spec;

use super::SessionError;
use crate::{
    AbsPath, ContainerConfig, ContainerId, ErrorKind, FsEntry, FsStateRequest, HostGid, HostUid, IdMappings,
    IdOffsets, MgrPort, Mount, MountRequest, MountRequests, MountToPrepare, MountsToPrepare, Operation,
    PortError, Registration, ShiftType, ShiftfsMark, ShiftfsMarks, SubidRequest, Subids, Update,
    syscont::{self, SpecError},
};

#[cfg(test)]
mod tests;

/// How far the container has come with the manager.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    #[default]
    New,
    Registered,
    Unregistered,
}

/// What the manager did to the rootfs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Rootfs {
    #[default]
    Given,
    Cloned(AbsPath),
    ClonedAndChowned(AbsPath),
}

/// A container's side of the manager.
///
/// Every call fails with [`SessionError::Call`] when the backend says no, and before it is asked with
/// [`SessionError::Disabled`] when there is none or [`SessionError::NotRegistered`] when the container is not registered.
///
/// A call is remembered once it was answered. Where its future is dropped before, it may have been carried out, and nothing here
/// knows of it: [`Sysbox::purge`](super::Sysbox::purge) asks the manager whatever is remembered, and undoes it.
#[derive(Debug)]
pub struct Mgr {
    pub(super) id: ContainerId,
    pub(super) port: Option<Arc<dyn MgrPort>>,
    pub(super) config: ContainerConfig,
    pub(super) stage: Stage,
    pub(super) rootfs: Rootfs,
}

impl Mgr {
    /// The side of a container that is not registered yet; without a port it is disabled.
    pub fn new(id: ContainerId, port: Option<Arc<dyn MgrPort>>) -> Self {
        Self { id, port, config: ContainerConfig::default(), stage: Stage::New, rootfs: Rootfs::Given }
    }

    /// Whether there is a manager to call.
    #[doc(alias = "Enabled")]
    pub const fn enabled(&self) -> bool {
        self.port.is_some()
    }

    /// The container.
    pub const fn id(&self) -> &ContainerId {
        &self.id
    }

    /// What the manager mandates; the default before [`register`](Self::register).
    pub const fn config(&self) -> &ContainerConfig {
        &self.config
    }

    /// Whether the manager knows the container as running.
    pub fn is_registered(&self) -> bool {
        self.stage == Stage::Registered
    }

    /// Registers the container and keeps what the manager mandates for it.
    ///
    /// # Errors
    /// [`SessionError::AlreadyRegistered`] the second time; [`SessionError::Spec`] when the spec has no root directory or
    /// its mappings are not valid.
    #[doc(alias = "Register")]
    pub async fn register(&mut self, spec: &Spec) -> Result<&ContainerConfig, SessionError> {
        let operation = Operation::Register;
        if self.is_registered() {
            return Err(SessionError::AlreadyRegistered { operation, container: self.id.clone() });
        }
        let request = registration(&self.id, spec).map_err(|source| SessionError::Spec {
            operation,
            container: self.id.clone(),
            source,
        })?;
        let answer = self.port(operation)?.register(&request).await;
        self.config = self.answered(operation, answer)?;
        self.stage = Stage::Registered;
        self.rootfs = Rootfs::Given;
        Ok(&self.config)
    }

    /// Tells what became known since: namespaces, mappings, and how the rootfs was shifted.
    ///
    /// # Errors
    /// As every call.
    #[doc(alias = "Update")]
    pub async fn update(
        &self,
        userns: Option<AbsPath>,
        netns: Option<AbsPath>,
        uid_mappings: IdMappings,
        gid_mappings: IdMappings,
        rootfs_shift: ShiftType,
    ) -> Result<(), SessionError> {
        let request = Update { id: self.id.clone(), userns, netns, uid_mappings, gid_mappings, rootfs_shift };
        let answer = self.registered_port(Operation::Update)?.update(&request).await;
        self.answered(Operation::Update, answer)
    }

    /// Tells that the container has stopped. Does nothing unless it is registered, and takes it as done when the manager
    /// knows it no longer (`NotFound`), or as stopped already (`FailedPrecondition`). After any other failure it is registered
    /// still, and a second call tries again.
    ///
    /// # Errors
    /// As every call, save that there is nothing to do where others say that it is not registered.
    #[doc(alias = "Unregister")]
    pub async fn unregister(&mut self) -> Result<(), SessionError> {
        if !self.is_registered() {
            return Ok(());
        }
        let answer = self.port(Operation::Unregister)?.unregister(&self.id).await;
        self.answered(
            Operation::Unregister,
            done_if(answer, &[ErrorKind::NotFound, ErrorKind::FailedPrecondition]),
        )?;
        self.stage = Stage::Unregistered;
        Ok(())
    }

    /// Tells that the stopped container will not be started again, so that its ids are free for others. A manager that
    /// finds out by itself, and one that knows it no longer, need not be told.
    ///
    /// # Errors
    /// As every call; [`SessionError::Call`] of kind `FailedPrecondition` while it is registered.
    pub async fn remove(&mut self) -> Result<(), SessionError> {
        let answer = self.port(Operation::Remove)?.remove(&self.id).await;
        self.answered(Operation::Remove, done_if(answer, &[ErrorKind::NotFound, ErrorKind::Unimplemented]))
    }

    /// Asks for ids for the container's user namespace.
    ///
    /// # Errors
    /// As every call; of kind `ResourceExhausted` when none are free. [`SessionError::WrongIds`] when it answers ids that no
    /// container can have.
    #[doc(alias = "ReqSubid")]
    pub async fn req_subid(&self, size: NonZeroU32) -> Result<Subids, SessionError> {
        let request = SubidRequest { id: self.id.clone(), size };
        let answer = self.registered_port(Operation::AllocSubids)?.alloc_subids(&request).await;
        let answered = self.answered(Operation::AllocSubids, answer)?;
        match syscont::given_ids(answered, size) {
            Ok(_) => Ok(answered),
            Err(source) => Err(SessionError::WrongIds { container: self.id.clone(), answered, source }),
        }
    }

    /// Asks that sources of bind mounts be prepared for the container's root.
    ///
    /// # Errors
    /// As every call.
    #[doc(alias = "PrepMounts")]
    pub async fn prep_mounts(
        &self,
        uid: HostUid,
        gid: HostGid,
        mounts: Vec<MountToPrepare>,
    ) -> Result<(), SessionError> {
        let request = MountsToPrepare { id: self.id.clone(), uid, gid, mounts };
        let answer = self.registered_port(Operation::PrepMounts)?.prep_mounts(&request).await;
        self.answered(Operation::PrepMounts, answer)
    }

    /// Asks for the mounts behind special directories.
    ///
    /// # Errors
    /// As every call.
    #[doc(alias = "ReqMounts")]
    pub async fn req_mounts(
        &self,
        rootfs_shift: ShiftType,
        mounts: Vec<MountRequest>,
    ) -> Result<Vec<Mount>, SessionError> {
        let request = MountRequests { id: self.id.clone(), rootfs_shift, mounts };
        let answer = self.registered_port(Operation::ReqMounts)?.req_mounts(&request).await;
        self.answered(Operation::ReqMounts, answer)
    }

    /// Asks that directories be marked for shiftfs.
    ///
    /// # Errors
    /// As every call; of kind `FailedPrecondition` where the kernel has no shiftfs.
    #[doc(alias = "ReqShiftfsMark")]
    pub async fn req_shiftfs_mark(&self, marks: Vec<ShiftfsMark>) -> Result<Vec<ShiftfsMark>, SessionError> {
        let request = ShiftfsMarks { id: self.id.clone(), marks };
        let answer = self.registered_port(Operation::ReqShiftfsMark)?.req_shiftfs_mark(&request).await;
        self.answered(Operation::ReqShiftfsMark, answer)
    }

    /// Asks for the entries to be made in the rootfs.
    ///
    /// # Errors
    /// As every call.
    #[doc(alias = "ReqFsState")]
    pub async fn req_fs_state(&self, rootfs: AbsPath) -> Result<Vec<FsEntry>, SessionError> {
        let request = FsStateRequest { id: self.id.clone(), rootfs };
        let answer = self.registered_port(Operation::ReqFsState)?.req_fs_state(&request).await;
        self.answered(Operation::ReqFsState, answer)
    }

    /// Tells that the container's processes are frozen.
    ///
    /// # Errors
    /// As every call.
    #[doc(alias = "Pause")]
    pub async fn pause(&self) -> Result<(), SessionError> {
        let answer = self.registered_port(Operation::Pause)?.pause(&self.id).await;
        self.answered(Operation::Pause, answer)
    }

    /// Tells that the container's processes are about to go on.
    ///
    /// # Errors
    /// As every call.
    #[doc(alias = "Resume")]
    pub async fn resume(&self) -> Result<(), SessionError> {
        let answer = self.registered_port(Operation::Resume)?.resume(&self.id).await;
        self.answered(Operation::Resume, answer)
    }

    /// Asks for another rootfs over the same layers, and remembers its path. A second call is answered the same, and whether its
    /// owners are shifted is not forgotten.
    ///
    /// # Errors
    /// As every call.
    #[doc(alias = "CloneRootfs")]
    pub async fn clone_rootfs(&mut self) -> Result<AbsPath, SessionError> {
        let answer = self.registered_port(Operation::CloneRootfs)?.clone_rootfs(&self.id).await;
        let path = self.answered(Operation::CloneRootfs, answer)?;
        if self.cloned_rootfs() != Some(&path) {
            self.rootfs = Rootfs::Cloned(path.clone());
        }
        Ok(path)
    }

    /// Takes the rootfs as it was given again: nobody here sees the clone.
    pub(super) fn forget_clone(&mut self) {
        self.rootfs = Rootfs::Given;
    }

    /// Whether the rootfs was cloned.
    #[doc(alias = "IsRootfsCloned")]
    pub const fn is_rootfs_cloned(&self) -> bool {
        !matches!(self.rootfs, Rootfs::Given)
    }

    /// The clone of the rootfs, if it was cloned.
    #[doc(alias = "GetClonedRootfs")]
    pub const fn cloned_rootfs(&self) -> Option<&AbsPath> {
        match &self.rootfs {
            Rootfs::Given => None,
            Rootfs::Cloned(path) | Rootfs::ClonedAndChowned(path) => Some(path),
        }
    }

    /// Whether the owners in the cloned rootfs are shifted.
    pub const fn is_cloned_rootfs_chowned(&self) -> bool {
        matches!(self.rootfs, Rootfs::ClonedAndChowned(_))
    }

    /// Asks that the owners in the cloned rootfs be shifted.
    ///
    /// # Errors
    /// As every call; [`SessionError::RootfsNotCloned`] before [`clone_rootfs`](Self::clone_rootfs).
    #[doc(alias = "ChownClonedRootfs")]
    pub async fn chown_cloned_rootfs(&mut self, offsets: IdOffsets) -> Result<(), SessionError> {
        let operation = Operation::ChownClonedRootfs;
        let port = self.registered_port(operation)?;
        let path = self.clone_path(operation)?;
        let answer = port.chown_cloned_rootfs(&self.id, offsets).await;
        self.answered(operation, answer)?;
        self.rootfs = Rootfs::ClonedAndChowned(path);
        Ok(())
    }

    /// Asks that the owners in the cloned rootfs be shifted back.
    ///
    /// # Errors
    /// As every call; [`SessionError::RootfsNotCloned`] and [`SessionError::RootfsNotChowned`] out of order.
    #[doc(alias = "RevertClonedRootfsChown")]
    pub async fn revert_cloned_rootfs_chown(&mut self) -> Result<(), SessionError> {
        let operation = Operation::RevertClonedRootfsChown;
        let port = self.registered_port(operation)?;
        let path = self.clone_path(operation)?;
        if !self.is_cloned_rootfs_chowned() {
            return Err(SessionError::RootfsNotChowned { container: self.id.clone() });
        }
        let answer = port.revert_cloned_rootfs_chown(&self.id).await;
        self.answered(operation, answer)?;
        self.rootfs = Rootfs::Cloned(path);
        Ok(())
    }

    fn clone_path(&self, operation: Operation) -> Result<AbsPath, SessionError> {
        let not_cloned = || SessionError::RootfsNotCloned { operation, container: self.id.clone() };
        self.cloned_rootfs().cloned().ok_or_else(not_cloned)
    }

    fn port(&self, operation: Operation) -> Result<&dyn MgrPort, SessionError> {
        let disabled = || SessionError::Disabled { operation, container: self.id.clone() };
        self.port.as_deref().ok_or_else(disabled)
    }

    fn registered_port(&self, operation: Operation) -> Result<&dyn MgrPort, SessionError> {
        let port = self.port(operation)?;
        if self.is_registered() {
            Ok(port)
        } else {
            Err(SessionError::NotRegistered { operation, container: self.id.clone() })
        }
    }

    fn answered<T>(&self, operation: Operation, answer: Result<T, PortError>) -> Result<T, SessionError> {
        answer.map_err(|source| SessionError::Call { operation, container: self.id.clone(), source })
    }
}

/// What the manager is told of a container whose spec this is.
fn registration(id: &ContainerId, spec: &Spec) -> Result<Registration, SpecError> {
    let (uid_mappings, gid_mappings) = syscont::given_mappings(spec)?;
    Ok(Registration {
        id: id.clone(),
        rootfs: syscont::rootfs(spec)?,
        userns: syscont::userns(spec)?,
        netns: syscont::netns(spec)?,
        uid_mappings,
        gid_mappings,
    })
}

/// Takes failures of these kinds as done: there is nothing left to do.
pub(super) fn done_if(answer: Result<(), PortError>, kinds: &[ErrorKind]) -> Result<(), PortError> {
    match answer {
        Err(error) if kinds.contains(&error.kind) => Ok(()),
        answer => answer,
    }
}
