//! An fs daemon as a service: messages to a port's calls, and its answers back.

use std::sync::Arc;

use sysbox_core::{ContainerData, FsPort, Operation};
use sysbox_transport::{Answer, Calls, NO_FS_DAEMON};
use tonic::{Request, Response, Status, async_trait};

use crate::{
    generated::pb::{self, sysbox_state_channel_server::SysboxStateChannel},
    status::{bad_request, reply, to_status},
};

type Port = dyn FsPort;

/// An fs daemon, if there is one, and its calls.
#[derive(Debug)]
pub(crate) struct FsService {
    port: Option<Arc<Port>>,
    calls: Calls,
}

impl FsService {
    pub(crate) const fn new(port: Option<Arc<Port>>, calls: Calls) -> Self {
        Self { port, calls }
    }

    fn port(&self) -> Result<&Arc<Port>, Status> {
        self.port.as_ref().ok_or_else(|| Status::unimplemented(NO_FS_DAEMON))
    }

    async fn call(
        &self,
        operation: Operation,
        message: Request<pb::ContainerData>,
        call: impl for<'a> FnOnce(&'a Port, &'a ContainerData) -> Answer<'a, ()> + Send + 'static,
    ) -> Result<Response<pb::Response>, Status> {
        let port = self.port()?;
        let data = ContainerData::try_from(message.into_inner()).map_err(bad_request)?;
        self.calls.run(operation, port, data, call).await.map_err(|error| to_status(&error))?;
        Ok(Response::new(pb::Response { success: true }))
    }
}

#[async_trait]
impl SysboxStateChannel for FsService {
    async fn get_mountpoint(
        &self,
        _: Request<pb::MountpointReq>,
    ) -> Result<Response<pb::MountpointResp>, Status> {
        let port = self.port()?;
        let call = self.calls.run(Operation::FsMountpoint, port, (), |port, ()| port.mountpoint());
        let mountpoint = call.await.map_err(|error| to_status(&error))?;
        reply(Operation::FsMountpoint, pb::MountpointResp::try_from(&mountpoint))
    }

    async fn container_pre_registration(
        &self,
        message: Request<pb::ContainerData>,
    ) -> Result<Response<pb::Response>, Status> {
        self.call(Operation::FsPreRegister, message, |port, data| port.pre_register(data)).await
    }

    async fn container_registration(
        &self,
        message: Request<pb::ContainerData>,
    ) -> Result<Response<pb::Response>, Status> {
        self.call(Operation::FsRegister, message, |port, data| port.register(data)).await
    }

    async fn container_unregistration(
        &self,
        message: Request<pb::ContainerData>,
    ) -> Result<Response<pb::Response>, Status> {
        self.call(Operation::FsUnregister, message, |port, data| port.unregister(data)).await
    }

    async fn container_update(
        &self,
        message: Request<pb::ContainerData>,
    ) -> Result<Response<pb::Response>, Status> {
        self.call(Operation::FsUpdate, message, |port, data| port.update(data)).await
    }
}
