//! The calls of both ports as messages: one variant per call, and an answer's variant is that of its request.
//!
//! The variants are in the order of the port's methods and their numbers cross, so this is the wire contract: a new call is a
//! new variant at the end, none is moved, removed or changed. A server that does not know
//! a request's variant answers that it has not begun the call, and goes on.
//!
//! They are written by hand because the client that tarpc generates panics on the answer to another call: a daemon that
//! lies must not bring down a runtime.

use serde::{Deserialize, Serialize};
use sysbox_core::Operation;

use crate::{
    fault::Failure,
    wire::{
        Chown, ContainerConfig, ContainerData, FsEntries, FsStateRequest, Id, MarksMade, MountRequests,
        Mounts, MountsToPrepare, Path, Registration, ShiftfsMarks, SubidRequest, Subids, Update,
    },
};

/// What the manager says to a call.
pub type MgrReply = Result<MgrAnswer, Failure>;

/// What the fs daemon says to a call.
pub type FsReply = Result<FsAnswer, Failure>;

/// A call of the manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MgrRequest {
    /// `MgrPort::register`
    Register(Registration),
    /// `MgrPort::update`
    Update(Update),
    /// `MgrPort::unregister`
    Unregister(Id),
    /// `MgrPort::remove`
    Remove(Id),
    /// `MgrPort::alloc_subids`
    AllocSubids(SubidRequest),
    /// `MgrPort::prep_mounts`
    PrepMounts(MountsToPrepare),
    /// `MgrPort::req_mounts`
    ReqMounts(MountRequests),
    /// `MgrPort::req_shiftfs_mark`
    ReqShiftfsMark(ShiftfsMarks),
    /// `MgrPort::req_fs_state`
    ReqFsState(FsStateRequest),
    /// `MgrPort::pause`
    Pause(Id),
    /// `MgrPort::resume`
    Resume(Id),
    /// `MgrPort::clone_rootfs`
    CloneRootfs(Id),
    /// `MgrPort::chown_cloned_rootfs`
    ChownClonedRootfs(Chown),
    /// `MgrPort::revert_cloned_rootfs_chown`
    RevertClonedRootfsChown(Id),
}

/// What the manager answers to the call of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MgrAnswer {
    /// How the container is to be run.
    Register(ContainerConfig),
    /// It is done.
    Update,
    /// It is done.
    Unregister,
    /// It is done.
    Remove,
    /// The ids given.
    AllocSubids(Subids),
    /// It is done.
    PrepMounts,
    /// The mounts to be made.
    ReqMounts(Mounts),
    /// The marks made.
    ReqShiftfsMark(MarksMade),
    /// The entries to be made.
    ReqFsState(FsEntries),
    /// It is done.
    Pause,
    /// It is done.
    Resume,
    /// Where the clone is.
    CloneRootfs(Path),
    /// It is done.
    ChownClonedRootfs,
    /// It is done.
    RevertClonedRootfsChown,
}

/// A call of the fs daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FsRequest {
    /// `FsPort::mountpoint`
    Mountpoint,
    /// `FsPort::pre_register`
    PreRegister(ContainerData),
    /// `FsPort::register`
    Register(ContainerData),
    /// `FsPort::update`
    Update(ContainerData),
    /// `FsPort::unregister`
    Unregister(ContainerData),
}

/// What the fs daemon answers to the call of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FsAnswer {
    /// Where the emulated files are.
    Mountpoint(Path),
    /// It is done.
    PreRegister,
    /// It is done.
    Register,
    /// It is done.
    Update,
    /// It is done.
    Unregister,
}

impl MgrRequest {
    /// The call.
    pub const fn operation(&self) -> Operation {
        match self {
            Self::Register(_) => Operation::Register,
            Self::Update(_) => Operation::Update,
            Self::Unregister(_) => Operation::Unregister,
            Self::Remove(_) => Operation::Remove,
            Self::AllocSubids(_) => Operation::AllocSubids,
            Self::PrepMounts(_) => Operation::PrepMounts,
            Self::ReqMounts(_) => Operation::ReqMounts,
            Self::ReqShiftfsMark(_) => Operation::ReqShiftfsMark,
            Self::ReqFsState(_) => Operation::ReqFsState,
            Self::Pause(_) => Operation::Pause,
            Self::Resume(_) => Operation::Resume,
            Self::CloneRootfs(_) => Operation::CloneRootfs,
            Self::ChownClonedRootfs(_) => Operation::ChownClonedRootfs,
            Self::RevertClonedRootfsChown(_) => Operation::RevertClonedRootfsChown,
        }
    }
}

impl MgrAnswer {
    /// The call that it answers.
    pub const fn operation(&self) -> Operation {
        match self {
            Self::Register(_) => Operation::Register,
            Self::Update => Operation::Update,
            Self::Unregister => Operation::Unregister,
            Self::Remove => Operation::Remove,
            Self::AllocSubids(_) => Operation::AllocSubids,
            Self::PrepMounts => Operation::PrepMounts,
            Self::ReqMounts(_) => Operation::ReqMounts,
            Self::ReqShiftfsMark(_) => Operation::ReqShiftfsMark,
            Self::ReqFsState(_) => Operation::ReqFsState,
            Self::Pause => Operation::Pause,
            Self::Resume => Operation::Resume,
            Self::CloneRootfs(_) => Operation::CloneRootfs,
            Self::ChownClonedRootfs => Operation::ChownClonedRootfs,
            Self::RevertClonedRootfsChown => Operation::RevertClonedRootfsChown,
        }
    }
}

impl FsRequest {
    /// The call.
    pub const fn operation(&self) -> Operation {
        match self {
            Self::Mountpoint => Operation::FsMountpoint,
            Self::PreRegister(_) => Operation::FsPreRegister,
            Self::Register(_) => Operation::FsRegister,
            Self::Update(_) => Operation::FsUpdate,
            Self::Unregister(_) => Operation::FsUnregister,
        }
    }
}

impl FsAnswer {
    /// The call that it answers.
    pub const fn operation(&self) -> Operation {
        match self {
            Self::Mountpoint(_) => Operation::FsMountpoint,
            Self::PreRegister => Operation::FsPreRegister,
            Self::Register => Operation::FsRegister,
            Self::Update => Operation::FsUpdate,
            Self::Unregister => Operation::FsUnregister,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;

    /// The variant of that number, with zeros for all that it holds.
    fn variant<T: DeserializeOwned>(number: u8) -> Option<T> {
        let mut bytes = [0; 64];
        bytes[0] = number;
        postcard::take_from_bytes(&bytes).ok().map(|(message, _)| message)
    }

    #[test]
    fn a_call_and_its_answer_have_the_number_of_the_ports_method() {
        let mgr = [
            Operation::Register,
            Operation::Update,
            Operation::Unregister,
            Operation::Remove,
            Operation::AllocSubids,
            Operation::PrepMounts,
            Operation::ReqMounts,
            Operation::ReqShiftfsMark,
            Operation::ReqFsState,
            Operation::Pause,
            Operation::Resume,
            Operation::CloneRootfs,
            Operation::ChownClonedRootfs,
            Operation::RevertClonedRootfsChown,
        ];
        for (number, operation) in (0..).zip(mgr) {
            assert_eq!(variant(number).map(|request: MgrRequest| request.operation()), Some(operation));
            assert_eq!(variant(number).map(|answer: MgrAnswer| answer.operation()), Some(operation));
        }
        assert!(variant::<MgrRequest>(14).is_none() && variant::<MgrAnswer>(14).is_none());
        let fs = [
            Operation::FsMountpoint,
            Operation::FsPreRegister,
            Operation::FsRegister,
            Operation::FsUpdate,
            Operation::FsUnregister,
        ];
        for (number, operation) in (0..).zip(fs) {
            assert_eq!(variant(number).map(|request: FsRequest| request.operation()), Some(operation));
            assert_eq!(variant(number).map(|answer: FsAnswer| answer.operation()), Some(operation));
        }
        assert!(variant::<FsRequest>(5).is_none() && variant::<FsAnswer>(5).is_none());
    }
}
