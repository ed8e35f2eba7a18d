//! Answers that stand in for those of a manager and of sysbox-fs. Nothing is registered, made or kept.

use std::sync::Arc;

use async_trait::async_trait;
use sysbox::{
    AbsPath, ContainerConfig, ContainerData, ContainerId, ErrorKind, FsEntry, FsPort, FsStateRequest,
    HostGid, HostPort, HostUid, IdOffsets, MgrPort, Mount, MountKind, MountRequest, MountRequests,
    MountsToPrepare, Operation, PortError, Registration, ShiftfsMark, ShiftfsMarks, SubidRequest, Subids,
    Update, embedded, syscont,
};

/// What the embedded manager would answer for a container that it does not know, with ids and directories that stand in for those
/// that it would choose.
#[derive(Debug)]
pub(super) struct PreviewMgr {
    /// The directory of the container's files.
    pub(super) files: AbsPath,
    pub(super) host: Arc<dyn HostPort>,
}

/// A sysbox-fs with its files at this mount point.
#[derive(Debug)]
pub(super) struct PreviewFs {
    pub(super) mountpoint: AbsPath,
}

#[async_trait]
impl MgrPort for PreviewMgr {
    async fn register(&self, _: &Registration) -> Result<ContainerConfig, PortError> {
        // A clone cannot stand in for a rootfs: the conversion looks whether it is one.
        Ok(ContainerConfig { no_rootfs_cloning: true, ..ContainerConfig::default() })
    }

    async fn alloc_subids(&self, _: &SubidRequest) -> Result<Subids, PortError> {
        let first = syscont::DEFAULT_HOST_ID;
        Ok(Subids { uid: HostUid(first), gid: HostGid(first) })
    }

    async fn prep_mounts(&self, _: &MountsToPrepare) -> Result<(), PortError> {
        Ok(())
    }

    async fn req_mounts(&self, request: &MountRequests) -> Result<Vec<Mount>, PortError> {
        let wishes = request.mounts.iter().filter(|wish| wish.kind != MountKind::UsrSrcLinuxHdr);
        let mut mounts: Vec<Mount> = wishes.map(|wish| self.volume(wish)).collect();
        let of_kernel = embedded::kernel_mounts(&*self.host).map_err(|error| {
            let message = format!("container {}: the mounts of the host's kernel are not known", request.id);
            PortError::new(Operation::ReqMounts, ErrorKind::Internal, message).with_source(error)
        })?;
        mounts.extend(of_kernel);
        Ok(mounts)
    }

    async fn update(&self, request: &Update) -> Result<(), PortError> {
        Err(only_a_preview(Operation::Update, &request.id))
    }

    async fn unregister(&self, id: &ContainerId) -> Result<(), PortError> {
        Err(only_a_preview(Operation::Unregister, id))
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), PortError> {
        Err(only_a_preview(Operation::Remove, id))
    }

    async fn req_shiftfs_mark(&self, request: &ShiftfsMarks) -> Result<Vec<ShiftfsMark>, PortError> {
        Err(only_a_preview(Operation::ReqShiftfsMark, &request.id))
    }

    async fn req_fs_state(&self, request: &FsStateRequest) -> Result<Vec<FsEntry>, PortError> {
        Err(only_a_preview(Operation::ReqFsState, &request.id))
    }

    async fn pause(&self, id: &ContainerId) -> Result<(), PortError> {
        Err(only_a_preview(Operation::Pause, id))
    }

    async fn resume(&self, id: &ContainerId) -> Result<(), PortError> {
        Err(only_a_preview(Operation::Resume, id))
    }

    async fn clone_rootfs(&self, id: &ContainerId) -> Result<AbsPath, PortError> {
        Err(only_a_preview(Operation::CloneRootfs, id))
    }

    async fn chown_cloned_rootfs(&self, id: &ContainerId, _: IdOffsets) -> Result<(), PortError> {
        Err(only_a_preview(Operation::ChownClonedRootfs, id))
    }

    async fn revert_cloned_rootfs_chown(&self, id: &ContainerId) -> Result<(), PortError> {
        Err(only_a_preview(Operation::RevertClonedRootfsChown, id))
    }
}

impl PreviewMgr {
    /// The mount of a volume that nobody makes, named as the embedded manager would name it.
    fn volume(&self, wish: &MountRequest) -> Mount {
        Mount {
            source: format!("{}/volumes/{}-1", self.files, wish.kind),
            destination: wish.destination.clone(),
            kind: "bind".to_owned(),
            options: ["rbind", "rprivate"].map(str::to_owned).into(),
        }
    }
}

#[async_trait]
impl FsPort for PreviewFs {
    async fn mountpoint(&self) -> Result<AbsPath, PortError> {
        Ok(self.mountpoint.clone())
    }

    async fn pre_register(&self, container: &ContainerData) -> Result<(), PortError> {
        Err(only_a_preview(Operation::FsPreRegister, &container.id))
    }

    async fn register(&self, container: &ContainerData) -> Result<(), PortError> {
        Err(only_a_preview(Operation::FsRegister, &container.id))
    }

    async fn update(&self, container: &ContainerData) -> Result<(), PortError> {
        Err(only_a_preview(Operation::FsUpdate, &container.id))
    }

    async fn unregister(&self, container: &ContainerData) -> Result<(), PortError> {
        Err(only_a_preview(Operation::FsUnregister, &container.id))
    }
}

fn only_a_preview(operation: Operation, id: &ContainerId) -> PortError {
    let message = format!("container {id} is not there: its spec is only converted");
    PortError::new(operation, ErrorKind::Unimplemented, message)
}
