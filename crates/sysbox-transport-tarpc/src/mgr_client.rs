//! The manager behind a socket: a daemon of this project.
//!
//! Each call is one message there and one back; all that has to do with the connection is in `connection`.

use async_trait::async_trait;
use sysbox_core::{
    AbsPath, ContainerConfig, ContainerId, FsEntry, FsStateRequest, IdOffsets, MgrPort, Mount, MountRequests,
    MountsToPrepare, Operation, PortError, Registration, ShiftfsMark, ShiftfsMarks, SubidRequest, Subids,
    Update,
};
use sysbox_transport::ClientOptions;

use crate::{
    connection::{Daemon, Request},
    hello::Service,
    service::{MgrAnswer, MgrRequest},
};

/// The manager that listens on a socket.
///
/// The connection is made at the first call, kept, and shared by all clones and callers. A daemon that was restarted is
/// connected to anew. Calls must be awaited in a tokio runtime with I/O and time enabled; one that is driven only during calls
/// will do.
///
/// ```no_run
/// use std::num::NonZeroU32;
/// use sysbox_core::{AbsPath, MgrPort, SubidRequest};
/// use sysbox_transport_tarpc::{ClientOptions, TarpcMgr};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mgr = TarpcMgr::new(AbsPath::new("/run/sysbox/sysmgr.sock")?, ClientOptions::default());
/// let size = NonZeroU32::new(65_536).ok_or("not 0")?;
/// let ids = mgr.alloc_subids(&SubidRequest { id: "c1".parse()?, size }).await?;
/// println!("the container's root is user {} of the host", ids.uid.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TarpcMgr(Daemon<MgrRequest>);

impl TarpcMgr {
    /// The manager that listens on a socket. Nothing is connected before the first call.
    pub fn new(socket: AbsPath, options: ClientOptions) -> Self {
        Self(Daemon::new(socket, options))
    }

    /// Asks for what is answered without a value.
    async fn ask(&self, request: MgrRequest) -> Result<(), PortError> {
        let operation = request.operation();
        self.0.ask(request, |answer| (answer.operation() == operation).then_some(Ok(()))).await
    }
}

impl Request for MgrRequest {
    const SERVICE: Service = Service::MGR;
    type Answer = MgrAnswer;

    fn operation(&self) -> Operation {
        self.operation()
    }
}

/// Asks for what is answered with a value: that of one kind of answer.
macro_rules! ask {
    ($mgr:ident, $request:expr, $answer:path) => {
        $mgr.0
            .ask($request, |answer| match answer {
                $answer(value) => Some(value.try_into()),
                _ => None,
            })
            .await
    };
}

#[async_trait]
impl MgrPort for TarpcMgr {
    async fn register(&self, request: &Registration) -> Result<ContainerConfig, PortError> {
        ask!(self, MgrRequest::Register(request.clone().into()), MgrAnswer::Register)
    }

    async fn update(&self, request: &Update) -> Result<(), PortError> {
        self.ask(MgrRequest::Update(request.clone().into())).await
    }

    async fn unregister(&self, id: &ContainerId) -> Result<(), PortError> {
        self.ask(MgrRequest::Unregister(id.clone().into())).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), PortError> {
        self.ask(MgrRequest::Remove(id.clone().into())).await
    }

    async fn alloc_subids(&self, request: &SubidRequest) -> Result<Subids, PortError> {
        ask!(self, MgrRequest::AllocSubids(request.clone().into()), MgrAnswer::AllocSubids)
    }

    async fn prep_mounts(&self, request: &MountsToPrepare) -> Result<(), PortError> {
        self.ask(MgrRequest::PrepMounts(request.clone().into())).await
    }

    async fn req_mounts(&self, request: &MountRequests) -> Result<Vec<Mount>, PortError> {
        ask!(self, MgrRequest::ReqMounts(request.clone().into()), MgrAnswer::ReqMounts)
    }

    async fn req_shiftfs_mark(&self, request: &ShiftfsMarks) -> Result<Vec<ShiftfsMark>, PortError> {
        ask!(self, MgrRequest::ReqShiftfsMark(request.clone().into()), MgrAnswer::ReqShiftfsMark)
    }

    async fn req_fs_state(&self, request: &FsStateRequest) -> Result<Vec<FsEntry>, PortError> {
        ask!(self, MgrRequest::ReqFsState(request.clone().into()), MgrAnswer::ReqFsState)
    }

    async fn pause(&self, id: &ContainerId) -> Result<(), PortError> {
        self.ask(MgrRequest::Pause(id.clone().into())).await
    }

    async fn resume(&self, id: &ContainerId) -> Result<(), PortError> {
        self.ask(MgrRequest::Resume(id.clone().into())).await
    }

    async fn clone_rootfs(&self, id: &ContainerId) -> Result<AbsPath, PortError> {
        ask!(self, MgrRequest::CloneRootfs(id.clone().into()), MgrAnswer::CloneRootfs)
    }

    async fn chown_cloned_rootfs(&self, id: &ContainerId, offsets: IdOffsets) -> Result<(), PortError> {
        self.ask(MgrRequest::ChownClonedRootfs((id.clone(), offsets).into())).await
    }

    async fn revert_cloned_rootfs_chown(&self, id: &ContainerId) -> Result<(), PortError> {
        self.ask(MgrRequest::RevertClonedRootfsChown(id.clone().into())).await
    }
}
