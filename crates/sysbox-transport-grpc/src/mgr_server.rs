//! A manager as a service: messages to a port's calls, and its answers back.

use std::sync::Arc;

use sysbox_core::{
    ContainerId, FsStateRequest, IdOffsets, MgrPort, MountRequests, MountsToPrepare, Operation, Registration,
    ShiftfsMarks, SubidRequest, Update,
};
use sysbox_transport::{Answer, Calls, Subject};
use tonic::{Request, Response, Status, async_trait};

use crate::{
    convert::ConvertError,
    generated::{
        ext::{RemoveRequest, RemoveResponse, manager_extension_server::ManagerExtension},
        pb::{self, sysbox_mgr_state_channel_server::SysboxMgrStateChannel},
    },
    status::{bad_request, reply, to_status},
};

type Port = dyn MgrPort;

/// A manager and its calls.
#[derive(Debug)]
pub(crate) struct MgrService {
    port: Arc<Port>,
    calls: Calls,
}

impl MgrService {
    pub(crate) const fn new(port: Arc<Port>, calls: Calls) -> Self {
        Self { port, calls }
    }

    async fn call<M, Q, T>(
        &self,
        operation: Operation,
        message: Request<M>,
        call: impl for<'a> FnOnce(&'a Port, &'a Q) -> Answer<'a, T> + Send + 'static,
    ) -> Result<T, Status>
    where
        Q: Subject + TryFrom<M, Error = ConvertError>,
        T: Send + 'static,
    {
        let request = Q::try_from(message.into_inner()).map_err(bad_request)?;
        self.calls.run(operation, &self.port, request, call).await.map_err(|error| to_status(&error))
    }
}

#[async_trait]
impl SysboxMgrStateChannel for MgrService {
    async fn register(
        &self,
        message: Request<pb::RegisterReq>,
    ) -> Result<Response<pb::RegisterResp>, Status> {
        let call =
            self.call(Operation::Register, message, |port, request: &Registration| port.register(request));
        reply(Operation::Register, pb::RegisterResp::try_from(&call.await?))
    }

    async fn update(&self, message: Request<pb::UpdateReq>) -> Result<Response<pb::UpdateResp>, Status> {
        self.call(Operation::Update, message, |port, request: &Update| port.update(request)).await?;
        Ok(Response::new(pb::UpdateResp {}))
    }

    async fn unregister(
        &self,
        message: Request<pb::UnregisterReq>,
    ) -> Result<Response<pb::UnregisterResp>, Status> {
        self.call(Operation::Unregister, message, |port, id: &ContainerId| port.unregister(id)).await?;
        Ok(Response::new(pb::UnregisterResp {}))
    }

    async fn subid_alloc(
        &self,
        message: Request<pb::SubidAllocReq>,
    ) -> Result<Response<pb::SubidAllocResp>, Status> {
        let call = self
            .call(Operation::AllocSubids, message, |port, request: &SubidRequest| port.alloc_subids(request));
        Ok(Response::new(call.await?.into()))
    }

    async fn prep_mounts(
        &self,
        message: Request<pb::MountPrepReq>,
    ) -> Result<Response<pb::MountPrepResp>, Status> {
        self.call(Operation::PrepMounts, message, |port, request: &MountsToPrepare| {
            port.prep_mounts(request)
        })
        .await?;
        Ok(Response::new(pb::MountPrepResp {}))
    }

    async fn req_mounts(&self, message: Request<pb::MountReq>) -> Result<Response<pb::MountResp>, Status> {
        let call = self
            .call(Operation::ReqMounts, message, |port, request: &MountRequests| port.req_mounts(request));
        reply(Operation::ReqMounts, pb::MountResp::try_from(&call.await?))
    }

    async fn req_shiftfs_mark(
        &self,
        message: Request<pb::ShiftfsMarkReq>,
    ) -> Result<Response<pb::ShiftfsMarkResp>, Status> {
        let call = self.call(Operation::ReqShiftfsMark, message, |port, request: &ShiftfsMarks| {
            port.req_shiftfs_mark(request)
        });
        reply(Operation::ReqShiftfsMark, pb::ShiftfsMarkResp::try_from(&call.await?))
    }

    async fn req_fs_state(
        &self,
        message: Request<pb::FsStateReq>,
    ) -> Result<Response<pb::FsStateResp>, Status> {
        let call = self.call(Operation::ReqFsState, message, |port, request: &FsStateRequest| {
            port.req_fs_state(request)
        });
        reply(Operation::ReqFsState, pb::FsStateResp::try_from(&call.await?))
    }

    async fn pause(&self, message: Request<pb::PauseReq>) -> Result<Response<pb::PauseResp>, Status> {
        self.call(Operation::Pause, message, |port, id: &ContainerId| port.pause(id)).await?;
        Ok(Response::new(pb::PauseResp {}))
    }

    async fn resume(&self, message: Request<pb::ResumeReq>) -> Result<Response<pb::ResumeResp>, Status> {
        self.call(Operation::Resume, message, |port, id: &ContainerId| port.resume(id)).await?;
        Ok(Response::new(pb::ResumeResp {}))
    }

    async fn req_clone_rootfs(
        &self,
        message: Request<pb::CloneRootfsReq>,
    ) -> Result<Response<pb::CloneRootfsResp>, Status> {
        let call = self.call(Operation::CloneRootfs, message, |port, id: &ContainerId| port.clone_rootfs(id));
        reply(Operation::CloneRootfs, pb::CloneRootfsResp::try_from(&call.await?))
    }

    async fn chown_cloned_rootfs(
        &self,
        message: Request<pb::ChownClonedRootfsReq>,
    ) -> Result<Response<pb::ChownClonedRootfsResp>, Status> {
        self.call(Operation::ChownClonedRootfs, message, |port, request: &(ContainerId, IdOffsets)| {
            port.chown_cloned_rootfs(&request.0, request.1)
        })
        .await?;
        Ok(Response::new(pb::ChownClonedRootfsResp {}))
    }

    async fn revert_cloned_rootfs_chown(
        &self,
        message: Request<pb::RevertClonedRootfsChownReq>,
    ) -> Result<Response<pb::RevertClonedRootfsChownResp>, Status> {
        self.call(Operation::RevertClonedRootfsChown, message, |port, id: &ContainerId| {
            port.revert_cloned_rootfs_chown(id)
        })
        .await?;
        Ok(Response::new(pb::RevertClonedRootfsChownResp {}))
    }
}

#[async_trait]
impl ManagerExtension for MgrService {
    async fn remove(&self, message: Request<RemoveRequest>) -> Result<Response<RemoveResponse>, Status> {
        self.call(Operation::Remove, message, |port, id: &ContainerId| port.remove(id)).await?;
        Ok(Response::new(RemoveResponse {}))
    }
}
