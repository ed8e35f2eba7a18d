//! A manager with a flaw.

use async_trait::async_trait;
use sysbox_core::{
    AbsPath, ContainerConfig, ContainerId, FsEntry, FsStateRequest, HostGid, HostUid, IdOffsets, MgrPort,
    Mount, MountRequests, MountsToPrepare, Operation, PortError, Registration, ShiftfsMark, ShiftfsMarks,
    SubidRequest, Subids, Update,
};

use super::{
    breaks::{Flawed, altered, nowhere},
    spoil::At,
};

/// What is given to one who is to have none.
const NOBODYS: Subids = Subids { uid: HostUid(0x7000_0000), gid: HostGid(0x7000_0000) };

#[async_trait]
impl MgrPort for Flawed<dyn MgrPort> {
    async fn register(&self, request: &Registration) -> Result<ContainerConfig, PortError> {
        let operation = Operation::Register;
        let request = Registration { id: self.id(operation, &request.id), ..request.clone() };
        let request = altered!(self, Registration, request);
        self.know(&request);
        let answer = self.habitual_register(&request).await;
        let config = self.judged(operation, answer, ContainerConfig::default)?;
        Ok(altered!(self, Config, config))
    }

    async fn update(&self, request: &Update) -> Result<(), PortError> {
        let operation = Operation::Update;
        let request = Update { id: self.id(operation, &request.id), ..request.clone() };
        let request = altered!(self, UpdateRequest, request);
        self.done(operation, self.habitual_update(&request)).await
    }

    async fn unregister(&self, id: &ContainerId) -> Result<(), PortError> {
        let id = self.id(Operation::Unregister, id);
        self.done(Operation::Unregister, self.spoiled(&id, At::Stop, self.habitual_unregister(&id))).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), PortError> {
        let id = self.id(Operation::Remove, id);
        self.done(Operation::Remove, self.spoiled(&id, At::Removal, self.habitual_remove(&id))).await
    }

    async fn alloc_subids(&self, request: &SubidRequest) -> Result<Subids, PortError> {
        let operation = Operation::AllocSubids;
        let request = SubidRequest { id: self.id(operation, &request.id), ..request.clone() };
        let request = altered!(self, SubidRequest, request);
        let answer = self.habitual_alloc(&request).await;
        let subids = self.judged(operation, answer, || NOBODYS)?;
        Ok(altered!(self, Subids, subids))
    }

    async fn prep_mounts(&self, request: &MountsToPrepare) -> Result<(), PortError> {
        let operation = Operation::PrepMounts;
        let request = MountsToPrepare { id: self.id(operation, &request.id), ..request.clone() };
        let request = altered!(self, Preparation, request);
        self.done(operation, self.spoiled_preparation(&request)).await
    }

    async fn req_mounts(&self, request: &MountRequests) -> Result<Vec<Mount>, PortError> {
        let operation = Operation::ReqMounts;
        let request = MountRequests { id: self.id(operation, &request.id), ..request.clone() };
        let request = altered!(self, MountRequests, request);
        let answer = self.habitual_mounts(&request).await;
        let mounts = self.judged(operation, answer, Vec::new)?;
        self.spoil_volumes(&request, &mounts);
        Ok(altered!(self, Mounts, mounts))
    }

    async fn req_shiftfs_mark(&self, request: &ShiftfsMarks) -> Result<Vec<ShiftfsMark>, PortError> {
        let operation = Operation::ReqShiftfsMark;
        let marks = altered!(self, Marks, request.marks.clone());
        let request = ShiftfsMarks { id: self.id(operation, &request.id), marks };
        let marks = self.judged(operation, self.habitual_marks(&request).await, Vec::new)?;
        Ok(altered!(self, MarksMade, marks))
    }

    async fn req_fs_state(&self, request: &FsStateRequest) -> Result<Vec<FsEntry>, PortError> {
        let operation = Operation::ReqFsState;
        let request = FsStateRequest { id: self.id(operation, &request.id), ..request.clone() };
        let request = altered!(self, FsState, request);
        let entries = self.judged(operation, self.habitual_entries(&request).await, Vec::new)?;
        Ok(altered!(self, Entries, entries))
    }

    async fn pause(&self, id: &ContainerId) -> Result<(), PortError> {
        let id = self.id(Operation::Pause, id);
        self.done(Operation::Pause, self.spoiled(&id, At::Pause, self.habitual_pause(&id))).await
    }

    async fn resume(&self, id: &ContainerId) -> Result<(), PortError> {
        let id = self.id(Operation::Resume, id);
        self.done(Operation::Resume, self.spoiled(&id, At::Resume, self.habitual_resume(&id))).await
    }

    async fn clone_rootfs(&self, id: &ContainerId) -> Result<AbsPath, PortError> {
        let id = self.id(Operation::CloneRootfs, id);
        let answer = self.habitual_clone(&id).await;
        let path = self.judged(Operation::CloneRootfs, answer, nowhere)?;
        self.know_clone(&id, &path);
        Ok(altered!(self, Clone, path))
    }

    async fn chown_cloned_rootfs(&self, id: &ContainerId, offsets: IdOffsets) -> Result<(), PortError> {
        let id = self.id(Operation::ChownClonedRootfs, id);
        let offsets = altered!(self, Offsets, offsets);
        let shift = self.spoiled(&id, At::Shift, self.habitual_shift(&id, offsets));
        self.done(Operation::ChownClonedRootfs, shift).await
    }

    async fn revert_cloned_rootfs_chown(&self, id: &ContainerId) -> Result<(), PortError> {
        let id = self.id(Operation::RevertClonedRootfsChown, id);
        let revert = self.spoiled(&id, At::Revert, self.port.revert_cloned_rootfs_chown(&id));
        self.done(Operation::RevertClonedRootfsChown, revert).await
    }
}
