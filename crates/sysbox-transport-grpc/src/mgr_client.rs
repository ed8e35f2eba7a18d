//! The manager behind a socket: Sysbox's `sysbox-mgr`, or a daemon of ours.
//!
//! Each call is one message there and one back; all that has to do with the connection is in `channel`.

use async_trait::async_trait;
use http::Uri;
use sysbox_core::{
    AbsPath, ContainerConfig, ContainerId, FsEntry, FsStateRequest, IdOffsets, MgrPort, Mount, MountRequests,
    MountsToPrepare, Operation, PortError, Registration, ShiftfsMark, ShiftfsMarks, SubidRequest, Subids,
    Update,
};
use sysbox_transport::ClientOptions;

use crate::{
    channel::{Call, Channel, ORIGIN},
    generated::{
        ext::manager_extension_client::ManagerExtensionClient,
        pb::sysbox_mgr_state_channel_client::SysboxMgrStateChannelClient,
    },
};

/// The manager that listens on a socket.
///
/// The connection is made at the first call, kept, and shared by all clones and callers. A daemon that was restarted is
/// connected to anew. Calls must be awaited in a tokio runtime with I/O and time enabled; one that is driven only during calls
/// will do.
///
/// Sysbox's own daemon answers [`remove`](MgrPort::remove) with `Unimplemented`: it finds out by itself.
///
/// ```no_run
/// use std::num::NonZeroU32;
/// use sysbox_core::{AbsPath, MgrPort, SubidRequest};
/// use sysbox_transport_grpc::{ClientOptions, GrpcMgr};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mgr = GrpcMgr::new(AbsPath::new("/run/sysbox/sysmgr.sock")?, ClientOptions::default());
/// let size = NonZeroU32::new(65_536).ok_or("not 0")?;
/// let ids = mgr.alloc_subids(&SubidRequest { id: "c1".parse()?, size }).await?;
/// println!("the container's root is user {} of the host", ids.uid.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct GrpcMgr(Channel);

impl GrpcMgr {
    /// The manager that listens on a socket. Nothing is connected before the first call.
    pub fn new(socket: AbsPath, options: ClientOptions) -> Self {
        Self(Channel::new(socket, options))
    }
}

#[async_trait]
impl MgrPort for GrpcMgr {
    async fn register(&self, request: &Registration) -> Result<ContainerConfig, PortError> {
        let call = Call::new(&self.0, Operation::Register);
        let message = call.message(request)?;
        call.outcome(client(&call).register(message).await)
    }

    async fn update(&self, request: &Update) -> Result<(), PortError> {
        let call = Call::new(&self.0, Operation::Update);
        let message = call.message(request)?;
        call.outcome(client(&call).update(message).await)
    }

    async fn unregister(&self, id: &ContainerId) -> Result<(), PortError> {
        let call = Call::new(&self.0, Operation::Unregister);
        let message = call.message(id)?;
        call.outcome(client(&call).unregister(message).await)
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), PortError> {
        let call = Call::new(&self.0, Operation::Remove);
        let message = call.message(id)?;
        call.outcome(extension(&call).remove(message).await)
    }

    async fn alloc_subids(&self, request: &SubidRequest) -> Result<Subids, PortError> {
        let call = Call::new(&self.0, Operation::AllocSubids);
        let message = call.message(request)?;
        call.outcome(client(&call).subid_alloc(message).await)
    }

    async fn prep_mounts(&self, request: &MountsToPrepare) -> Result<(), PortError> {
        let call = Call::new(&self.0, Operation::PrepMounts);
        let message = call.message(request)?;
        call.outcome(client(&call).prep_mounts(message).await)
    }

    async fn req_mounts(&self, request: &MountRequests) -> Result<Vec<Mount>, PortError> {
        let call = Call::new(&self.0, Operation::ReqMounts);
        let message = call.message(request)?;
        call.outcome(client(&call).req_mounts(message).await)
    }

    async fn req_shiftfs_mark(&self, request: &ShiftfsMarks) -> Result<Vec<ShiftfsMark>, PortError> {
        let call = Call::new(&self.0, Operation::ReqShiftfsMark);
        let message = call.message(request)?;
        call.outcome(client(&call).req_shiftfs_mark(message).await)
    }

    async fn req_fs_state(&self, request: &FsStateRequest) -> Result<Vec<FsEntry>, PortError> {
        let call = Call::new(&self.0, Operation::ReqFsState);
        let message = call.message(request)?;
        call.outcome(client(&call).req_fs_state(message).await)
    }

    async fn pause(&self, id: &ContainerId) -> Result<(), PortError> {
        let call = Call::new(&self.0, Operation::Pause);
        let message = call.message(id)?;
        call.outcome(client(&call).pause(message).await)
    }

    async fn resume(&self, id: &ContainerId) -> Result<(), PortError> {
        let call = Call::new(&self.0, Operation::Resume);
        let message = call.message(id)?;
        call.outcome(client(&call).resume(message).await)
    }

    async fn clone_rootfs(&self, id: &ContainerId) -> Result<AbsPath, PortError> {
        let call = Call::new(&self.0, Operation::CloneRootfs);
        let message = call.message(id)?;
        call.outcome(client(&call).req_clone_rootfs(message).await)
    }

    async fn chown_cloned_rootfs(&self, id: &ContainerId, offsets: IdOffsets) -> Result<(), PortError> {
        let call = Call::new(&self.0, Operation::ChownClonedRootfs);
        let message = call.message((id, offsets))?;
        call.outcome(client(&call).chown_cloned_rootfs(message).await)
    }

    async fn revert_cloned_rootfs_chown(&self, id: &ContainerId) -> Result<(), PortError> {
        let call = Call::new(&self.0, Operation::RevertClonedRootfsChown);
        let message = call.message(id)?;
        call.outcome(client(&call).revert_cloned_rootfs_chown(message).await)
    }
}

fn client(call: &Call) -> SysboxMgrStateChannelClient<Call> {
    SysboxMgrStateChannelClient::with_origin(call.clone(), Uri::from_static(ORIGIN))
        .max_decoding_message_size(call.max_reply())
}

fn extension(call: &Call) -> ManagerExtensionClient<Call> {
    ManagerExtensionClient::with_origin(call.clone(), Uri::from_static(ORIGIN))
}
