//! A backend that answers what it is told to and remembers what it was asked: what stands behind a relay.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use std::fmt::Debug;
use sysbox_core::{
    AbsPath, ContainerConfig, ContainerData, ContainerId, ErrorKind, FsEntry, FsPort, FsStateRequest,
    HostGid, HostUid, IdOffsets, MgrPort, Mount, MountRequests, MountsToPrepare, Operation, PortError,
    Registration, ShiftfsMark, ShiftfsMarks, SubidRequest, Subids, Update, session::Ports,
};
use tokio::sync::Notify;

use super::life::path;
use crate::{Outcome, case::same};

/// What a [`Script`] answers.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    pub(super) config: ContainerConfig,
    pub(super) subids: Subids,
    pub(super) mounts: Vec<Mount>,
    pub(super) marks: Vec<ShiftfsMark>,
    pub(super) entries: Vec<FsEntry>,
    /// That of the cloned rootfs, and that of the mount point.
    pub(super) path: AbsPath,
    /// Where set, every call fails like that.
    pub(super) failure: Option<Failure>,
    /// A call that is answered when [`Script::release`] says so.
    pub(super) held: Option<Operation>,
}

/// A failure of any call.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
    /// The texts of its causes, the nearest first.
    pub(super) causes: Vec<String>,
}

impl Answers {
    /// Nothing wherever nothing can be answered.
    pub(super) fn empty() -> Self {
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
pub(super) struct Script {
    answers: Answers,
    heard: Mutex<Vec<String>>,
    arrived: Notify,
    released: Notify,
}

impl Script {
    pub(super) fn new(answers: Answers) -> Arc<Self> {
        let heard = Mutex::default();
        Arc::new(Self { answers, heard, arrived: Notify::new(), released: Notify::new() })
    }

    pub(super) fn ports(self: &Arc<Self>) -> Ports {
        Ports { mgr: Some(self.clone()), fs: Some(self.clone()), seccomp: None }
    }

    /// Requires that this call was heard since the last time, and no other. Requests are compared by what `Debug` shows of
    /// them, which is all.
    pub(super) fn heard(&self, operation: Operation, request: &impl Debug) -> Outcome {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        same("what arrived", &heard, &vec![shown(operation, request)])
    }

    /// Waits until the call that is held has arrived.
    pub(super) async fn held(&self) {
        self.arrived.notified().await;
    }

    /// Lets the call that is held be answered.
    pub(super) fn release(&self) {
        self.released.notify_one();
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
            self.released.notified().await;
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
