//! A call with all that it says, and what was answered, whichever call it was.

use sysbox_core::{
    AbsPath, ContainerConfig, ContainerData, ContainerId, FsPort, FsStateRequest, IdOffsets, MgrPort, Mount,
    MountRequests, MountsToPrepare, PortError, Registration, ShiftfsMark, ShiftfsMarks, SubidRequest, Subids,
    Update,
};

use super::script::FsStep;

/// A call of the manager.
#[derive(Debug)]
pub(super) enum Call {
    Register(Registration),
    Update(Update),
    Unregister(ContainerId),
    Remove(ContainerId),
    AllocSubids(SubidRequest),
    PrepMounts(MountsToPrepare),
    ReqMounts(MountRequests),
    ReqShiftfsMark(ShiftfsMarks),
    ReqFsState(FsStateRequest),
    Pause(ContainerId),
    Resume(ContainerId),
    CloneRootfs(ContainerId),
    ChownClonedRootfs(ContainerId, IdOffsets),
    RevertClonedRootfsChown(ContainerId),
}

/// What was answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// Nothing that could be compared.
    Done,
    Config(ContainerConfig),
    Ids(Subids),
    Mounts(Vec<Mount>),
    Marks(Vec<ShiftfsMark>),
    Path(AbsPath),
}

impl Call {
    pub(super) async fn make(&self, mgr: &dyn MgrPort) -> Result<Answer, PortError> {
        let done = |()| Answer::Done;
        match self {
            Self::Register(request) => mgr.register(request).await.map(Answer::Config),
            Self::Update(request) => mgr.update(request).await.map(done),
            Self::Unregister(id) => mgr.unregister(id).await.map(done),
            Self::Remove(id) => mgr.remove(id).await.map(done),
            Self::AllocSubids(request) => mgr.alloc_subids(request).await.map(Answer::Ids),
            Self::PrepMounts(request) => mgr.prep_mounts(request).await.map(done),
            Self::ReqMounts(request) => mgr.req_mounts(request).await.map(Answer::Mounts),
            Self::ReqShiftfsMark(request) => mgr.req_shiftfs_mark(request).await.map(Answer::Marks),
            // Which entries there are depends on the host.
            Self::ReqFsState(request) => mgr.req_fs_state(request).await.map(|_| Answer::Done),
            Self::Pause(id) => mgr.pause(id).await.map(done),
            Self::Resume(id) => mgr.resume(id).await.map(done),
            Self::CloneRootfs(id) => mgr.clone_rootfs(id).await.map(Answer::Path),
            Self::ChownClonedRootfs(id, offsets) => mgr.chown_cloned_rootfs(id, *offsets).await.map(done),
            Self::RevertClonedRootfsChown(id) => mgr.revert_cloned_rootfs_chown(id).await.map(done),
        }
    }
}

/// Makes a call of the fs daemon. What it tells, if anything, is a path.
pub(super) async fn make_of_fs(step: FsStep, fs: &dyn FsPort) -> Result<Option<AbsPath>, PortError> {
    let nothing = |()| None;
    match step {
        FsStep::Mountpoint => fs.mountpoint().await.map(Some),
        FsStep::PreRegister(who) => fs.pre_register(&ContainerData::new(who.id())).await.map(nothing),
        FsStep::Register(who) => fs.register(&ContainerData::new(who.id())).await.map(nothing),
        FsStep::Update(who) => fs.update(&ContainerData::new(who.id())).await.map(nothing),
        FsStep::Unregister(who) => fs.unregister(&ContainerData::new(who.id())).await.map(nothing),
    }
}
