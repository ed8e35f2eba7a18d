//! The fs daemon behind a socket: Sysbox's `sysbox-fs`, or a daemon of ours.
//!
//! Each call is one message there and one back; all that has to do with the connection is in `channel`.

use async_trait::async_trait;
use http::Uri;
use sysbox_core::{AbsPath, ContainerData, FsPort, Operation, PortError};
use sysbox_transport::ClientOptions;

use crate::{
    channel::{Call, Channel, ORIGIN},
    generated::pb::{self, sysbox_state_channel_client::SysboxStateChannelClient},
};

/// The fs daemon that listens on a socket.
///
/// The connection is made at the first call, kept, and shared by all clones and callers, as that of
/// [`GrpcMgr`](crate::GrpcMgr) is.
///
/// ```no_run
/// use sysbox_core::{AbsPath, FsPort};
/// use sysbox_transport_grpc::{ClientOptions, GrpcFs};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let fs = GrpcFs::new(AbsPath::new("/run/sysbox/sysfs.sock")?, ClientOptions::default());
/// println!("emulated files are below {}", fs.mountpoint().await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct GrpcFs(Channel);

impl GrpcFs {
    /// The fs daemon that listens on a socket. Nothing is connected before the first call.
    pub fn new(socket: AbsPath, options: ClientOptions) -> Self {
        Self(Channel::new(socket, options))
    }
}

#[async_trait]
impl FsPort for GrpcFs {
    async fn mountpoint(&self) -> Result<AbsPath, PortError> {
        let call = Call::new(&self.0, Operation::FsMountpoint);
        call.outcome(client(&call).get_mountpoint(pb::MountpointReq {}).await)
    }

    async fn pre_register(&self, container: &ContainerData) -> Result<(), PortError> {
        let call = Call::new(&self.0, Operation::FsPreRegister);
        let message = call.message(container)?;
        call.outcome(client(&call).container_pre_registration(message).await)
    }

    async fn register(&self, container: &ContainerData) -> Result<(), PortError> {
        let call = Call::new(&self.0, Operation::FsRegister);
        let message = call.message(container)?;
        call.outcome(client(&call).container_registration(message).await)
    }

    async fn update(&self, container: &ContainerData) -> Result<(), PortError> {
        let call = Call::new(&self.0, Operation::FsUpdate);
        let message = call.message(container)?;
        call.outcome(client(&call).container_update(message).await)
    }

    async fn unregister(&self, container: &ContainerData) -> Result<(), PortError> {
        let call = Call::new(&self.0, Operation::FsUnregister);
        let message = call.message(container)?;
        call.outcome(client(&call).container_unregistration(message).await)
    }
}

fn client(call: &Call) -> SysboxStateChannelClient<Call> {
    SysboxStateChannelClient::with_origin(call.clone(), Uri::from_static(ORIGIN))
        .max_decoding_message_size(call.max_reply())
}
