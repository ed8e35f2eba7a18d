//! A manager as a service: messages to a port's calls, and its answers back.

use std::sync::Arc;

use bytes::Bytes;
use sysbox_core::{
    ContainerId, FsStateRequest, IdOffsets, MgrPort, MountRequests, MountsToPrepare, Operation, Registration,
    ShiftfsMarks, SubidRequest, Update,
};
use sysbox_transport::{Answer, Calls, Subject};

use crate::{
    codec::{self, DecodeError},
    fault::Failure,
    hello,
    server::{Answering, Service, encoded, too_long},
    service::{MgrAnswer, MgrReply, MgrRequest},
    wire::ConvertError,
};

type Port = dyn MgrPort;

/// A manager and its calls.
#[derive(Clone, Debug)]
pub(crate) struct MgrService {
    port: Arc<Port>,
    calls: Calls,
    max_request: usize,
}

impl Service for MgrService {
    const SERVICE: hello::Service = hello::Service::MGR;

    fn answer(&self, bytes: Bytes) -> Result<Answering, DecodeError> {
        let request: MgrRequest = codec::decode(&bytes)?;
        let operation = request.operation();
        if let Some(failure) = too_long(operation, bytes.len(), self.max_request) {
            return Ok(Box::pin(async move { encoded::<MgrAnswer>(operation, &Err(failure)) }));
        }
        let service = self.clone();
        Ok(Box::pin(async move { encoded(operation, &service.reply(request).await) }))
    }
}

impl MgrService {
    pub(crate) const fn new(port: Arc<Port>, calls: Calls, max_request: usize) -> Self {
        Self { port, calls, max_request }
    }

    async fn call<W, Q, T>(
        &self,
        operation: Operation,
        request: W,
        call: impl for<'a> FnOnce(&'a Port, &'a Q) -> Answer<'a, T> + Send + 'static,
    ) -> Result<T, Failure>
    where
        Q: Subject + TryFrom<W, Error = ConvertError>,
        T: Send + 'static,
    {
        let request = Q::try_from(request).map_err(|error| Failure::bad_request(&error))?;
        let answer = self.calls.run(operation, &self.port, request, call).await;
        answer.map_err(|error| Failure::from(&error))
    }

    async fn reply(&self, request: MgrRequest) -> MgrReply {
        let operation = request.operation();
        Ok(match request {
            MgrRequest::Register(request) => {
                let call =
                    self.call(operation, request, |port, request: &Registration| port.register(request));
                MgrAnswer::Register(call.await?.into())
            }
            MgrRequest::Update(request) => {
                self.call(operation, request, |port, request: &Update| port.update(request)).await?;
                MgrAnswer::Update
            }
            MgrRequest::Unregister(id) => {
                self.call(operation, id, |port, id: &ContainerId| port.unregister(id)).await?;
                MgrAnswer::Unregister
            }
            MgrRequest::Remove(id) => {
                self.call(operation, id, |port, id: &ContainerId| port.remove(id)).await?;
                MgrAnswer::Remove
            }
            MgrRequest::AllocSubids(request) => {
                let call =
                    self.call(operation, request, |port, request: &SubidRequest| port.alloc_subids(request));
                MgrAnswer::AllocSubids(call.await?.into())
            }
            MgrRequest::PrepMounts(request) => {
                self.call(operation, request, |port, request: &MountsToPrepare| port.prep_mounts(request))
                    .await?;
                MgrAnswer::PrepMounts
            }
            MgrRequest::ReqMounts(request) => {
                let call =
                    self.call(operation, request, |port, request: &MountRequests| port.req_mounts(request));
                MgrAnswer::ReqMounts(call.await?.into())
            }
            MgrRequest::ReqShiftfsMark(request) => {
                let call = self
                    .call(operation, request, |port, request: &ShiftfsMarks| port.req_shiftfs_mark(request));
                MgrAnswer::ReqShiftfsMark(call.await?.into())
            }
            MgrRequest::ReqFsState(request) => {
                let call = self
                    .call(operation, request, |port, request: &FsStateRequest| port.req_fs_state(request));
                MgrAnswer::ReqFsState(call.await?.into())
            }
            MgrRequest::Pause(id) => {
                self.call(operation, id, |port, id: &ContainerId| port.pause(id)).await?;
                MgrAnswer::Pause
            }
            MgrRequest::Resume(id) => {
                self.call(operation, id, |port, id: &ContainerId| port.resume(id)).await?;
                MgrAnswer::Resume
            }
            MgrRequest::CloneRootfs(id) => {
                let call = self.call(operation, id, |port, id: &ContainerId| port.clone_rootfs(id));
                MgrAnswer::CloneRootfs(call.await?.into())
            }
            MgrRequest::ChownClonedRootfs(request) => {
                self.call(operation, request, |port, request: &(ContainerId, IdOffsets)| {
                    port.chown_cloned_rootfs(&request.0, request.1)
                })
                .await?;
                MgrAnswer::ChownClonedRootfs
            }
            MgrRequest::RevertClonedRootfsChown(id) => {
                self.call(operation, id, |port, id: &ContainerId| port.revert_cloned_rootfs_chown(id))
                    .await?;
                MgrAnswer::RevertClonedRootfsChown
            }
        })
    }
}
