//! The errors of the ports.

use std::{error::Error, fmt};

type Source = Box<dyn Error + Send + Sync>;

/// A call of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `MgrPort::register`
    Register,
    /// `MgrPort::update`
    Update,
    /// `MgrPort::unregister`
    Unregister,
    /// `MgrPort::remove`
    Remove,
    /// `MgrPort::alloc_subids`
    AllocSubids,
    /// `MgrPort::prep_mounts`
    PrepMounts,
    /// `MgrPort::req_mounts`
    ReqMounts,
    /// `MgrPort::req_shiftfs_mark`
    ReqShiftfsMark,
    /// `MgrPort::req_fs_state`
    ReqFsState,
    /// `MgrPort::pause`
    Pause,
    /// `MgrPort::resume`
    Resume,
    /// `MgrPort::clone_rootfs`
    CloneRootfs,
    /// `MgrPort::chown_cloned_rootfs`
    ChownClonedRootfs,
    /// `MgrPort::revert_cloned_rootfs_chown`
    RevertClonedRootfsChown,
    /// `FsPort::mountpoint`
    FsMountpoint,
    /// `FsPort::pre_register`
    FsPreRegister,
    /// `FsPort::register`
    FsRegister,
    /// `FsPort::update`
    FsUpdate,
    /// `FsPort::unregister`
    FsUnregister,
    /// `SeccompPort::send_init`
    SendSeccompInit,
}

impl Operation {
    /// What the call does, to be read after "failed to".
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Register => "register with sysbox-mgr",
            Self::Update => "update container info with sysbox-mgr",
            Self::Unregister => "unregister with sysbox-mgr",
            Self::Remove => "remove the container from sysbox-mgr",
            Self::AllocSubids => "request subids from sysbox-mgr",
            Self::PrepMounts => "prepare mounts with sysbox-mgr",
            Self::ReqMounts => "request mounts from sysbox-mgr",
            Self::ReqShiftfsMark => "request shiftfs marking from sysbox-mgr",
            Self::ReqFsState => "request file-system state from sysbox-mgr",
            Self::Pause => "notify sysbox-mgr of the pause",
            Self::Resume => "notify sysbox-mgr of the resume",
            Self::CloneRootfs => "clone the rootfs with sysbox-mgr",
            Self::ChownClonedRootfs => "chown the cloned rootfs with sysbox-mgr",
            Self::RevertClonedRootfsChown => "revert the chown of the cloned rootfs with sysbox-mgr",
            Self::FsMountpoint => "get the mountpoint of sysbox-fs",
            Self::FsPreRegister => "pre-register with sysbox-fs",
            Self::FsRegister => "register with sysbox-fs",
            Self::FsUpdate => "send the creation time to sysbox-fs",
            Self::FsUnregister => "unregister with sysbox-fs",
            Self::SendSeccompInit => "send the seccomp descriptor to sysbox-fs",
        }
    }
}

impl Operation {
    /// Whether a second call with the same request changes nothing and is answered as the first, so that a call whose fate is
    /// not known may be sent again.
    pub const fn is_idempotent(self) -> bool {
        match self {
            Self::Update | Self::AllocSubids | Self::ReqFsState | Self::FsMountpoint | Self::FsUpdate => true,
            Self::Register
            | Self::Unregister
            | Self::Remove
            | Self::PrepMounts
            | Self::ReqMounts
            | Self::ReqShiftfsMark
            | Self::Pause
            | Self::Resume
            | Self::CloneRootfs
            | Self::ChownClonedRootfs
            | Self::RevertClonedRootfsChown
            | Self::FsPreRegister
            | Self::FsRegister
            | Self::FsUnregister
            | Self::SendSeccompInit => false,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe())
    }
}

/// What kind of failure a port reports: gRPC's canonical codes, so that none is lost over a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The caller went away.
    Cancelled,
    /// A backend that does not say.
    Unknown,
    /// The request breaks a rule whatever the state.
    InvalidArgument,
    /// No answer within the time given.
    DeadlineExceeded,
    /// The container or the thing is not known.
    NotFound,
    /// It is there already.
    AlreadyExists,
    /// The caller may not do this.
    PermissionDenied,
    /// Something is used up: ids, space, descriptors.
    ResourceExhausted,
    /// The request is fine, but not in this state.
    FailedPrecondition,
    /// Another caller was faster; try again.
    Aborted,
    /// A value beyond what is valid now.
    OutOfRange,
    /// The backend does not do this.
    Unimplemented,
    /// A broken invariant or an unforeseen failure of the system.
    Internal,
    /// The backend cannot be reached now.
    Unavailable,
    /// Data was lost or is corrupt.
    DataLoss,
    /// The backend does not know who is calling.
    Unauthenticated,
}

/// The failure of one call of a port.
///
/// The message says what failed, on which container, and what to do about it; it is the same over every transport. What
/// caused it is its [`source`](Error::source), and is not repeated in the message.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct PortError {
    /// The call.
    pub operation: Operation,
    /// The kind of failure.
    pub kind: ErrorKind,
    /// What failed, on which container, and what to do.
    pub message: String,
    /// What caused it.
    #[source]
    pub source: Option<Source>,
}

impl PortError {
    /// An error without a cause of its own.
    pub fn new(operation: Operation, kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { operation, kind, message: message.into(), source: None }
    }

    /// The same error, caused by `source`.
    #[must_use]
    pub fn with_source(self, source: impl Into<Source>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// Whether the same call may succeed later with nothing changed by the caller.
    pub const fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable | ErrorKind::Aborted)
    }
}

/// The host could not be asked, or could not do what was asked of it.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {subject}")]
pub struct HostError {
    /// What was tried, to be read after "cannot".
    pub operation: &'static str,
    /// What it was tried on: a path, a sysctl, a namespace.
    pub subject: String,
    /// What the kernel or a parser said.
    #[source]
    pub source: Source,
}

impl HostError {
    /// An error of `operation` on `subject`.
    pub fn new(operation: &'static str, subject: impl Into<String>, source: impl Into<Source>) -> Self {
        Self { operation, subject: subject.into(), source: source.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_of_a_port_error_is_its_source_and_not_in_its_text() {
        let cause = std::io::Error::other("disk on fire");
        let error = PortError::new(
            Operation::Register,
            ErrorKind::Internal,
            "container c1: the registry is unreadable",
        )
        .with_source(cause);
        assert_eq!(error.to_string(), "container c1: the registry is unreadable");
        assert_eq!(error.source().expect("kept").to_string(), "disk on fire");
    }

    #[test]
    fn only_what_may_pass_by_itself_is_retryable() {
        let retryable = |kind| PortError::new(Operation::Pause, kind, "").is_retryable();
        assert!(retryable(ErrorKind::Unavailable) && retryable(ErrorKind::Aborted));
        for kind in [
            ErrorKind::Unknown,
            ErrorKind::NotFound,
            ErrorKind::ResourceExhausted,
            ErrorKind::DeadlineExceeded,
        ] {
            assert!(!retryable(kind));
        }
    }
}
