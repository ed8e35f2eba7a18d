//! An fs daemon as a service: messages to a port's calls, and its answers back.

use std::sync::Arc;

use bytes::Bytes;
use sysbox_core::{ContainerData, ErrorKind, FsPort, Operation, PortError};
use sysbox_transport::{Answer, Calls, NO_FS_DAEMON};

use crate::{
    codec::{self, DecodeError},
    fault::Failure,
    hello,
    server::{Answering, Service, encoded, too_long},
    service::{FsAnswer, FsReply, FsRequest},
    wire,
};

type Port = dyn FsPort;

/// An fs daemon, if there is one, and its calls.
#[derive(Clone, Debug)]
pub(crate) struct FsService {
    port: Option<Arc<Port>>,
    calls: Calls,
    max_request: usize,
}

impl Service for FsService {
    const SERVICE: hello::Service = hello::Service::FS;

    fn answer(&self, bytes: Bytes) -> Result<Answering, DecodeError> {
        let request: FsRequest = codec::decode(&bytes)?;
        let operation = request.operation();
        if let Some(failure) = too_long(operation, bytes.len(), self.max_request) {
            return Ok(Box::pin(async move { encoded::<FsAnswer>(operation, &Err(failure)) }));
        }
        let service = self.clone();
        Ok(Box::pin(async move { encoded(operation, &service.reply(request).await) }))
    }
}

impl FsService {
    pub(crate) const fn new(port: Option<Arc<Port>>, calls: Calls, max_request: usize) -> Self {
        Self { port, calls, max_request }
    }

    fn port(&self, operation: Operation) -> Result<&Arc<Port>, Failure> {
        let none = || Failure::from(&PortError::new(operation, ErrorKind::Unimplemented, NO_FS_DAEMON));
        self.port.as_ref().ok_or_else(none)
    }

    async fn call(
        &self,
        operation: Operation,
        data: wire::ContainerData,
        call: impl for<'a> FnOnce(&'a Port, &'a ContainerData) -> Answer<'a, ()> + Send + 'static,
    ) -> Result<(), Failure> {
        let port = self.port(operation)?;
        let data = ContainerData::try_from(data).map_err(|error| Failure::bad_request(&error))?;
        self.calls.run(operation, port, data, call).await.map_err(|error| Failure::from(&error))
    }

    async fn reply(&self, request: FsRequest) -> FsReply {
        let operation = request.operation();
        Ok(match request {
            FsRequest::Mountpoint => {
                let port = self.port(operation)?;
                let answer = self.calls.run(operation, port, (), |port, ()| port.mountpoint()).await;
                FsAnswer::Mountpoint(answer.map_err(|error| Failure::from(&error))?.into())
            }
            FsRequest::PreRegister(data) => {
                self.call(operation, data, |port, data| port.pre_register(data)).await?;
                FsAnswer::PreRegister
            }
            FsRequest::Register(data) => {
                self.call(operation, data, |port, data| port.register(data)).await?;
                FsAnswer::Register
            }
            FsRequest::Update(data) => {
                self.call(operation, data, |port, data| port.update(data)).await?;
                FsAnswer::Update
            }
            FsRequest::Unregister(data) => {
                self.call(operation, data, |port, data| port.unregister(data)).await?;
                FsAnswer::Unregister
            }
        })
    }
}
