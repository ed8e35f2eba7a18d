//! A backend that answers what it is told to and remembers what it was asked: what stands behind a relay.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
};

use async_trait::async_trait;
use std::fmt::Debug;
use sysbox_core::{
    AbsPath, ContainerConfig, ContainerData, ContainerId, ErrorKind, FsEntry, FsPort, FsStateRequest,
    HostGid, HostUid, IdOffsets, MgrPort, Mount, MountRequests, MountsToPrepare, Operation, PortError,
    Registration, ShiftfsMark, ShiftfsMarks, SubidRequest, Subids, Update, session::Ports,
};
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinHandle,
};

use super::life::path;
use crate::{Broken, Outcome, case::same};

/// What a [`Script`] answers.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    pub(crate) config: ContainerConfig,
    pub(crate) subids: Subids,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) marks: Vec<ShiftfsMark>,
    pub(crate) entries: Vec<FsEntry>,
    /// That of the cloned rootfs, and that of the mount point.
    pub(crate) path: AbsPath,
    /// Where set, every call fails like that.
    pub(crate) failure: Option<Failure>,
    /// A call that is answered when [`Script::release`] says so.
    pub(crate) held: Option<Operation>,
}

/// A failure of any call.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    /// The texts of its causes, the nearest first.
    pub(crate) causes: Vec<String>,
}

impl Answers {
    /// Nothing wherever nothing can be answered.
    pub(crate) fn empty() -> Self {
        Self {
            config: ContainerConfig {
                alias_dns: false,
                allow_trusted_xattr: false,
                syscont_mode: false,
                ..ContainerConfig::default()
            },
            subids: Subids { uid: HostUid(0), gid: HostGid(0) },
            mounts: Vec::new(),
            marks: Vec::new(),
            entries: Vec::new(),
            path: path("/"),
            failure: None,
            held: None,
        }
    }
}

/// The backend.
#[derive(Debug)]
pub(crate) struct Script {
    answers: Answers,
    heard: Mutex<Vec<String>>,
    arrived: Notify,
    /// Closed when calls that are held may be answered.
    released: Semaphore,
}

impl Script {
    pub(crate) fn new(answers: Answers) -> Arc<Self> {
        let heard = Mutex::default();
        Arc::new(Self { answers, heard, arrived: Notify::new(), released: Semaphore::new(0) })
    }

    pub(crate) fn ports(self: &Arc<Self>) -> Ports {
        Ports { mgr: Some(self.clone()), fs: Some(self.clone()), seccomp: None }
    }

    /// Requires that this call was heard since the last time, and no other. Requests are compared by what `Debug` shows of
    /// them, which is all.
    pub(crate) fn heard(&self, operation: Operation, request: &impl Debug) -> Outcome {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        same("what arrived", &heard, &vec![shown(operation, request)])
    }

    /// Waits until the call that a task makes has arrived and is held. That the task ends before is a failure.
    pub(crate) async fn held<T: Debug>(&self, caller: &mut JoinHandle<T>) -> Outcome {
        let mut arrived = pin!(self.arrived.notified());
        poll_fn(|context| {
            if arrived.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let ended = Pin::new(&mut *caller).poll(context);
            ended.map(|ended| Err(Broken::new(format!("a call was answered that did not arrive: {ended:?}"))))
        })
        .await
    }

    /// Lets calls that are held be answered, now and from now on.
    pub(crate) fn release(&self) {
        self.released.close();
    }

    async fn answer<T>(
        &self,
        operation: Operation,
        request: &(impl Debug + Sync),
        answer: impl FnOnce(&Answers) -> T + Send,
    ) -> Result<T, PortError> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(shown(operation, request));
        if self.answers.held == Some(operation) {
            self.arrived.notify_one();
            // Nothing is ever given out: it waits until there is an end to waiting.
            let _closed = self.released.acquire().await;
        }
        match &self.answers.failure {
            None => Ok(answer(&self.answers)),
            Some(Failure { kind, message, causes }) => Err(PortError {
                source: Cause::chain(causes).map(Into::into),
                ..PortError::new(operation, *kind, message)
            }),
        }
    }
}

fn shown(operation: Operation, request: &impl Debug) -> String {
    format!("{operation:?} {request:?}")
}

/// A cause with a cause.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Cause {
    text: String,
    source: Option<Box<Self>>,
}

impl Cause {
    fn chain(texts: &[String]) -> Option<Box<Self>> {
        let (text, rest) = texts.split_first()?;
        Some(Box::new(Self { text: text.clone(), source: Self::chain(rest) }))
    }
}

#[async_trait]
impl MgrPort for Script {
    async fn register(&self, request: &Registration) -> Result<ContainerConfig, PortError> {
        self.answer(Operation::Register, request, |answers| answers.config.clone()).await
    }

    async fn update(&self, request: &Update) -> Result<(), PortError> {
        self.answer(Operation::Update, request, |_| ()).await
    }

    async fn unregister(&self, id: &ContainerId) -> Result<(), PortError> {
        self.answer(Operation::Unregister, id, |_| ()).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), PortError> {
        self.answer(Operation::Remove, id, |_| ()).await
    }

    async fn alloc_subids(&self, request: &SubidRequest) -> Result<Subids, PortError> {
        self.answer(Operation::AllocSubids, request, |answers| answers.subids).await
    }

    async fn prep_mounts(&self, request: &MountsToPrepare) -> Result<(), PortError> {
        self.answer(Operation::PrepMounts, request, |_| ()).await
    }

    async fn req_mounts(&self, request: &MountRequests) -> Result<Vec<Mount>, PortError> {
        self.answer(Operation::ReqMounts, request, |answers| answers.mounts.clone()).await
    }

    async fn req_shiftfs_mark(&self, request: &ShiftfsMarks) -> Result<Vec<ShiftfsMark>, PortError> {
        self.answer(Operation::ReqShiftfsMark, request, |answers| answers.marks.clone()).await
    }

    async fn req_fs_state(&self, request: &FsStateRequest) -> Result<Vec<FsEntry>, PortError> {
        self.answer(Operation::ReqFsState, request, |answers| answers.entries.clone()).await
    }

    async fn pause(&self, id: &ContainerId) -> Result<(), PortError> {
        self.answer(Operation::Pause, id, |_| ()).await
    }

    async fn resume(&self, id: &ContainerId) -> Result<(), PortError> {
        self.answer(Operation::Resume, id, |_| ()).await
    }

    async fn clone_rootfs(&self, id: &ContainerId) -> Result<AbsPath, PortError> {
        self.answer(Operation::CloneRootfs, id, |answers| answers.path.clone()).await
    }

    async fn chown_cloned_rootfs(&self, id: &ContainerId, offsets: IdOffsets) -> Result<(), PortError> {
        self.answer(Operation::ChownClonedRootfs, &(id, offsets), |_| ()).await
    }

    async fn revert_cloned_rootfs_chown(&self, id: &ContainerId) -> Result<(), PortError> {
        self.answer(Operation::RevertClonedRootfsChown, id, |_| ()).await
    }
}

#[async_trait]
impl FsPort for Script {
    async fn mountpoint(&self) -> Result<AbsPath, PortError> {
        self.answer(Operation::FsMountpoint, &(), |answers| answers.path.clone()).await
    }

    async fn pre_register(&self, container: &ContainerData) -> Result<(), PortError> {
        self.answer(Operation::FsPreRegister, container, |_| ()).await
    }

    async fn register(&self, container: &ContainerData) -> Result<(), PortError> {
        self.answer(Operation::FsRegister, container, |_| ()).await
    }

    async fn update(&self, container: &ContainerData) -> Result<(), PortError> {
        self.answer(Operation::FsUpdate, container, |_| ()).await
    }

    async fn unregister(&self, container: &ContainerData) -> Result<(), PortError> {
        self.answer(Operation::FsUnregister, container, |_| ()).await
    }
}
