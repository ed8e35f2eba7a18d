//! A manager whose calls block, for a runtime that must not.

use std::{pin::Pin, sync::Arc};

use async_trait::async_trait;
use sysbox_core::{
    AbsPath, ContainerConfig, ContainerId, ErrorKind, FsEntry, FsStateRequest, IdOffsets, MgrPort, Mount,
    MountRequests, MountsToPrepare, Operation, PortError, Registration, ShiftfsMark, ShiftfsMarks,
    SubidRequest, Subids, Update,
};
use tokio::{runtime::Handle, task::spawn_blocking};

type Call<T> = Pin<Box<dyn Future<Output = Result<T, PortError>> + Send>>;

/// Does each call of a port on a thread for blocking work. A call that has begun is carried out, whatever becomes of its caller.
#[derive(Debug)]
pub struct Offloaded<P>(Arc<P>);

impl<P> Offloaded<P> {
    /// The port, off the runtime's own threads.
    pub const fn new(port: Arc<P>) -> Self {
        Self(port)
    }
}

impl<P: Send + Sync + 'static> Offloaded<P> {
    async fn call<T, F>(&self, operation: Operation, begin: F) -> Result<T, PortError>
    where
        T: Send + 'static,
        F: FnOnce(Arc<P>) -> Call<T> + Send + 'static,
    {
        let port = self.0.clone();
        let runtime = Handle::current();
        let work = spawn_blocking(move || runtime.block_on(begin(port)));
        work.await.unwrap_or_else(|lost| {
            let message = "the call broke off in the backend; its log has more";
            Err(PortError::new(operation, ErrorKind::Internal, message).with_source(lost))
        })
    }
}

#[async_trait]
impl<P: MgrPort + 'static> MgrPort for Offloaded<P> {
    async fn register(&self, request: &Registration) -> Result<ContainerConfig, PortError> {
        let request = request.clone();
        self.call(Operation::Register, |port| Box::pin(async move { port.register(&request).await })).await
    }

    async fn update(&self, request: &Update) -> Result<(), PortError> {
        let request = request.clone();
        self.call(Operation::Update, |port| Box::pin(async move { port.update(&request).await })).await
    }

    async fn unregister(&self, id: &ContainerId) -> Result<(), PortError> {
        let id = id.clone();
        self.call(Operation::Unregister, |port| Box::pin(async move { port.unregister(&id).await })).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), PortError> {
        let id = id.clone();
        self.call(Operation::Remove, |port| Box::pin(async move { port.remove(&id).await })).await
    }

    async fn alloc_subids(&self, request: &SubidRequest) -> Result<Subids, PortError> {
        let request = request.clone();
        self.call(Operation::AllocSubids, |port| Box::pin(async move { port.alloc_subids(&request).await }))
            .await
    }

    async fn prep_mounts(&self, request: &MountsToPrepare) -> Result<(), PortError> {
        let request = request.clone();
        self.call(Operation::PrepMounts, |port| Box::pin(async move { port.prep_mounts(&request).await }))
            .await
    }

    async fn req_mounts(&self, request: &MountRequests) -> Result<Vec<Mount>, PortError> {
        let request = request.clone();
        self.call(Operation::ReqMounts, |port| Box::pin(async move { port.req_mounts(&request).await })).await
    }

    async fn req_shiftfs_mark(&self, request: &ShiftfsMarks) -> Result<Vec<ShiftfsMark>, PortError> {
        let request = request.clone();
        self.call(Operation::ReqShiftfsMark, |port| {
            Box::pin(async move { port.req_shiftfs_mark(&request).await })
        })
        .await
    }

    async fn req_fs_state(&self, request: &FsStateRequest) -> Result<Vec<FsEntry>, PortError> {
        let request = request.clone();
        self.call(Operation::ReqFsState, |port| Box::pin(async move { port.req_fs_state(&request).await }))
            .await
    }

    async fn pause(&self, id: &ContainerId) -> Result<(), PortError> {
        let id = id.clone();
        self.call(Operation::Pause, |port| Box::pin(async move { port.pause(&id).await })).await
    }

    async fn resume(&self, id: &ContainerId) -> Result<(), PortError> {
        let id = id.clone();
        self.call(Operation::Resume, |port| Box::pin(async move { port.resume(&id).await })).await
    }

    async fn clone_rootfs(&self, id: &ContainerId) -> Result<AbsPath, PortError> {
        let id = id.clone();
        self.call(Operation::CloneRootfs, |port| Box::pin(async move { port.clone_rootfs(&id).await })).await
    }

    async fn chown_cloned_rootfs(&self, id: &ContainerId, offsets: IdOffsets) -> Result<(), PortError> {
        let id = id.clone();
        self.call(Operation::ChownClonedRootfs, move |port| {
            Box::pin(async move { port.chown_cloned_rootfs(&id, offsets).await })
        })
        .await
    }

    async fn revert_cloned_rootfs_chown(&self, id: &ContainerId) -> Result<(), PortError> {
        let id = id.clone();
        self.call(Operation::RevertClonedRootfsChown, |port| {
            Box::pin(async move { port.revert_cloned_rootfs_chown(&id).await })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::mpsc,
        time::{Duration, Instant},
    };
    use sysbox_core::port::MockMgrPort;

    fn id() -> ContainerId {
        "c1".parse().expect("valid")
    }

    #[tokio::test]
    async fn a_call_that_blocks_holds_up_nobody() {
        let (go, gone) = mpsc::channel::<()>();
        let gone = std::sync::Mutex::new(gone);
        let mut port = MockMgrPort::new();
        port.expect_pause().returning(move |_| {
            gone.lock().expect("one caller").recv_timeout(Duration::from_secs(10)).expect("told to go on");
            Ok(())
        });
        let offloaded = Offloaded::new(Arc::new(port));
        let id = id();
        let call = offloaded.pause(&id);
        let other = async { go.send(()).expect("it waits") };
        let began = Instant::now();
        let (answer, ()) = tokio::join!(call, other);
        answer.expect("paused");
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn a_call_whose_caller_goes_away_is_carried_out() {
        let (done, finished) = mpsc::channel::<()>();
        let mut port = MockMgrPort::new();
        port.expect_unregister().returning(move |_| {
            std::thread::sleep(Duration::from_millis(50));
            done.send(()).expect("waited for");
            Ok(())
        });
        let offloaded = Offloaded::new(Arc::new(port));
        let id = id();
        let cut_off = tokio::time::timeout(Duration::from_millis(5), offloaded.unregister(&id)).await;
        assert!(cut_off.is_err());
        finished.recv_timeout(Duration::from_secs(10)).expect("carried out");
    }

    #[tokio::test]
    async fn a_backend_that_breaks_is_an_internal_error() {
        let mut port = MockMgrPort::new();
        port.expect_resume().returning(|_| panic!("on purpose"));
        let error = Offloaded::new(Arc::new(port)).resume(&id()).await.expect_err("it broke");
        assert_eq!((error.operation, error.kind), (Operation::Resume, ErrorKind::Internal));
    }
}
