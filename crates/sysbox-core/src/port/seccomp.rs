//! The port that takes over a container's trapped system calls. A descriptor cannot cross gRPC or tarpc, so it is its own.

use std::{fmt::Debug, os::fd::BorrowedFd};

use async_trait::async_trait;

use crate::{ContainerId, PortError};

/// Who handles the system calls that a container's seccomp filter traps.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait SeccompPort: Debug + Send + Sync {
    /// Hands over a duplicate of the notification descriptor (`seccomp_unotify(2)`) and waits until it was taken.
    ///
    /// That it was taken does not say that calls are handled yet. It can be called again for each further process of
    /// the container.
    ///
    /// # Errors
    /// `InvalidArgument` when the message cannot be carried, `DeadlineExceeded` when the peer does not answer,
    /// `Internal` when it answers something else.
    async fn send_init<'fd>(&self, request: &SeccompInit, fd: BorrowedFd<'fd>) -> Result<(), PortError>;
}

/// Whose descriptor it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SeccompInit {
    /// The process that has the filter, in the caller's pid namespace.
    pub pid: i32,
    /// Its container.
    pub id: ContainerId,
}
