//! How long a call of a port may take.

use std::time::Duration;

use crate::Operation;

/// By when a call must be answered, counted from when it is made; connecting and trying again are part of it.
///
/// A call that is not answered in time is `DeadlineExceeded`; whether it was carried out is then not known. The defaults are
/// Sysbox's, with an end where it has none.
///
/// ```
/// use std::time::Duration;
/// use sysbox_core::{Deadlines, Operation};
///
/// let deadlines = Deadlines { mgr: Duration::from_secs(60), ..Deadlines::default() };
/// assert_eq!(deadlines.of(Operation::Register), Duration::from_secs(60));
/// assert_eq!(deadlines.of(Operation::FsRegister), Duration::from_secs(20));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Of calls to the manager. A tree may be chowned within one.
    pub mgr: Duration,
    /// Of the call that gives mounts, which may copy gigabytes.
    pub req_mounts: Duration,
    /// Of calls to the fs daemon.
    pub fs: Duration,
    /// Of the hand-over of a seccomp descriptor.
    pub seccomp: Duration,
}

impl Deadlines {
    /// The deadline of a call, at most [`LONGEST`](Self::LONGEST).
    pub fn of(&self, operation: Operation) -> Duration {
        let deadline = match operation {
            Operation::ReqMounts => self.req_mounts,
            Operation::Register
            | Operation::Update
            | Operation::Unregister
            | Operation::Remove
            | Operation::AllocSubids
            | Operation::PrepMounts
            | Operation::ReqShiftfsMark
            | Operation::ReqFsState
            | Operation::Pause
            | Operation::Resume
            | Operation::CloneRootfs
            | Operation::ChownClonedRootfs
            | Operation::RevertClonedRootfsChown => self.mgr,
            Operation::FsMountpoint
            | Operation::FsPreRegister
            | Operation::FsRegister
            | Operation::FsUpdate
            | Operation::FsUnregister => self.fs,
            Operation::SendSeccompInit => self.seccomp,
        };
        deadline.min(Self::LONGEST)
    }

    /// The longest that any call waits, thirty days: timers of transports cannot hold every `Duration`.
    pub const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            mgr: Duration::from_secs(10 * 60),
            req_mounts: Duration::from_secs(24 * 60 * 60),
            fs: Duration::from_secs(20),
            seccomp: Duration::from_secs(20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_waits_as_sysbox_does_and_never_for_ever() {
        let deadlines = Deadlines::default();
        assert_eq!(deadlines.of(Operation::ChownClonedRootfs), Duration::from_secs(600));
        assert_eq!(deadlines.of(Operation::FsMountpoint), Duration::from_secs(20));
        assert_eq!(deadlines.of(Operation::SendSeccompInit), Duration::from_secs(20));
        assert!(deadlines.of(Operation::ReqMounts) > deadlines.of(Operation::PrepMounts));
        let endless = Deadlines { fs: Duration::MAX, ..deadlines };
        assert_eq!(endless.of(Operation::FsRegister), Deadlines::LONGEST);
    }
}
