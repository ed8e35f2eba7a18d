//! The model as a manager: the port's calls, each under the lock from its first to its last look.

use async_trait::async_trait;
use sysbox_core::{
    AbsPath, ContainerConfig, ContainerId, FsEntry, FsStateRequest, IdOffsets, MgrPort, Mount, MountRequests,
    MountsToPrepare, Operation, PortError, Registration, ShiftfsMark, ShiftfsMarks, SubidRequest, Subids,
    Update,
};

use super::{
    Model, container::State, manager::Manager, namespaces::Namespaces, refusal::Refusal,
    register::refuse_host_root,
};

#[async_trait]
impl MgrPort for Model {
    async fn register(&self, request: &Registration) -> Result<ContainerConfig, PortError> {
        let register = || {
            refuse_host_root(&request.uid_mappings, &request.gid_mappings)?;
            let namespaces = Namespaces::to_join(request.userns.as_ref(), request.netns.as_ref())?;
            self.manager(|manager| manager.register(request, namespaces))
        };
        register().map_err(|refusal| refusal.of(Operation::Register, &request.id))
    }

    async fn update(&self, request: &Update) -> Result<(), PortError> {
        let namespaces = Namespaces::of_running(request.userns.as_ref(), request.netns.as_ref());
        self.call(Operation::Update, &request.id, |manager| manager.update(request, namespaces))
    }

    async fn unregister(&self, id: &ContainerId) -> Result<(), PortError> {
        self.call(Operation::Unregister, id, |manager| manager.unregister(id))
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), PortError> {
        self.call(Operation::Remove, id, |manager| manager.remove(id))
    }

    async fn alloc_subids(&self, request: &SubidRequest) -> Result<Subids, PortError> {
        self.call(Operation::AllocSubids, &request.id, |manager| manager.alloc(request))
    }

    /// There are no owners here that could be changed.
    async fn prep_mounts(&self, request: &MountsToPrepare) -> Result<(), PortError> {
        let alive = |manager: &mut Manager| manager.alive(&request.id, "given mounts").map(drop);
        self.call(Operation::PrepMounts, &request.id, alive)
    }

    async fn req_mounts(&self, request: &MountRequests) -> Result<Vec<Mount>, PortError> {
        self.call(Operation::ReqMounts, &request.id, |manager| manager.mounts(request))
    }

    async fn req_shiftfs_mark(&self, request: &ShiftfsMarks) -> Result<Vec<ShiftfsMark>, PortError> {
        self.call(Operation::ReqShiftfsMark, &request.id, |manager| manager.mark(request))
    }

    /// Every rootfs has what it needs.
    async fn req_fs_state(&self, request: &FsStateRequest) -> Result<Vec<FsEntry>, PortError> {
        let operation = Operation::ReqFsState;
        self.call(operation, &request.id, |manager| manager.known(&request.id).map(|_| Vec::new()))
    }

    async fn pause(&self, id: &ContainerId) -> Result<(), PortError> {
        self.call(Operation::Pause, id, |manager| manager.change(id, State::Running, State::Paused, "paused"))
    }

    async fn resume(&self, id: &ContainerId) -> Result<(), PortError> {
        self.call(Operation::Resume, id, |manager| {
            manager.change(id, State::Paused, State::Running, "resumed")
        })
    }

    /// Every rootfs counts as an overlay.
    async fn clone_rootfs(&self, id: &ContainerId) -> Result<AbsPath, PortError> {
        self.call(Operation::CloneRootfs, id, |manager| manager.clone_rootfs(id))
    }

    async fn chown_cloned_rootfs(&self, id: &ContainerId, offsets: IdOffsets) -> Result<(), PortError> {
        self.call(Operation::ChownClonedRootfs, id, |manager| manager.chown_clone(id, offsets))
    }

    async fn revert_cloned_rootfs_chown(&self, id: &ContainerId) -> Result<(), PortError> {
        self.call(Operation::RevertClonedRootfsChown, id, |manager| manager.revert_clone(id))
    }
}

impl Model {
    fn call<T>(
        &self,
        operation: Operation,
        id: &ContainerId,
        work: impl FnOnce(&mut Manager) -> Result<T, Refusal>,
    ) -> Result<T, PortError> {
        self.manager(work).map_err(|refusal| refusal.of(operation, id))
    }
}
