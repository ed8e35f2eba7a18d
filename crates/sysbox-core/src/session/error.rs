//! The errors of the facades.

use std::{error::Error, iter};

use crate::{ContainerId, ErrorKind, Operation, PortError, Subids, syscont::SpecError};

/// A call of a facade failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The backend said no.
    #[error("failed to {operation}")]
    Call {
        /// The call.
        operation: Operation,
        /// The container.
        container: ContainerId,
        /// What the backend said.
        #[source]
        source: PortError,
    },
    /// The session has no backend for this call.
    #[error("failed to {operation}: container {container} runs without it")]
    Disabled {
        /// The call.
        operation: Operation,
        /// The container.
        container: ContainerId,
    },
    /// A call before the container was registered with the manager, or after it was unregistered.
    #[error("failed to {operation}: container {container} is not registered")]
    NotRegistered {
        /// The call.
        operation: Operation,
        /// The container.
        container: ContainerId,
    },
    /// `Mgr::register` or `Fs::register` a second time.
    #[error("failed to {operation}: container {container} is already registered")]
    AlreadyRegistered {
        /// The call.
        operation: Operation,
        /// The container.
        container: ContainerId,
    },
    /// `Fs::pre_register` a second time.
    #[error("failed to pre-register with sysbox-fs: container {container} is already pre-registered")]
    AlreadyPreRegistered {
        /// The container.
        container: ContainerId,
    },
    /// `Fs::register` before `Fs::pre_register`.
    #[error("failed to register with sysbox-fs: container {container} was not pre-registered")]
    NotPreRegistered {
        /// The container.
        container: ContainerId,
    },
    /// `Fs::send_creation_time` before `Fs::register`.
    #[error("must register container {container} with sysbox-fs before sending its creation time")]
    CreationTimeBeforeRegister {
        /// The container.
        container: ContainerId,
    },
    /// `Mgr::chown_cloned_rootfs` or its revert before `Mgr::clone_rootfs`.
    #[error("failed to {operation}: the rootfs of container {container} was not cloned")]
    RootfsNotCloned {
        /// The call.
        operation: Operation,
        /// The container.
        container: ContainerId,
    },
    /// `Mgr::revert_cloned_rootfs_chown` before `Mgr::chown_cloned_rootfs`.
    #[error(
        "failed to {}: the cloned rootfs of container {container} was not chowned",
        Operation::RevertClonedRootfsChown
    )]
    RootfsNotChowned {
        /// The container.
        container: ContainerId,
    },
    /// The spec cannot be told to the manager.
    #[error("failed to {operation}: the spec of container {container} is not valid")]
    Spec {
        /// The call.
        operation: Operation,
        /// The container.
        container: ContainerId,
        /// The field and the rule.
        #[source]
        source: SpecError,
    },
    /// The manager answered [`Mgr::req_subid`](super::Mgr::req_subid) with ids that no container can have.
    #[error(
        "failed to {}: it gave container {container} user ids from {} and group ids from {} on, which no container can have",
        Operation::AllocSubids, answered.uid.0, answered.gid.0
    )]
    WrongIds {
        /// The container.
        container: ContainerId,
        /// What it answered.
        answered: Subids,
        /// The rule.
        #[source]
        source: SpecError,
    },
}

impl SessionError {
    /// What the backend said, if it was asked.
    pub const fn port_error(&self) -> Option<&PortError> {
        match self {
            Self::Call { source, .. } => Some(source),
            _ => None,
        }
    }

    /// Whether the backend has no such call.
    pub fn is_unimplemented(&self) -> bool {
        self.port_error().is_some_and(|port| port.kind == ErrorKind::Unimplemented)
    }

    /// Whether the backend answered, and that it cannot: then it has done nothing. Without an answer it is not known what it has done.
    pub fn is_refusal(&self) -> bool {
        let is_answer = |kind| {
            !matches!(
                kind,
                ErrorKind::Unavailable
                    | ErrorKind::DeadlineExceeded
                    | ErrorKind::Cancelled
                    | ErrorKind::NotFound
            )
        };
        self.port_error().is_some_and(|port| is_answer(port.kind))
    }
}

/// Steps of a teardown failed. All were tried all the same.
#[derive(Debug, thiserror::Error)]
#[error("container {container} was not torn down cleanly{}", further(.others))]
pub struct TeardownError {
    /// The container.
    pub container: ContainerId,
    /// The first failure.
    #[source]
    pub first: Box<SessionError>,
    /// The further ones, in order.
    pub others: Vec<SessionError>,
}

/// The further failures, each with its causes: an error has one source only, so those who print it would not see them.
fn further(errors: &[SessionError]) -> String {
    let told = |error: &SessionError| {
        let causes = iter::successors(Some(error as &dyn Error), |&error| error.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    };
    if errors.is_empty() {
        return String::new();
    }
    format!(" (further failures: {})", errors.iter().map(told).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_is_a_refusal() {
        let error = |kind| SessionError::Call {
            operation: Operation::CloneRootfs,
            container: "c1".parse().expect("valid"),
            source: PortError::new(Operation::CloneRootfs, kind, "told"),
        };
        for kind in
            [ErrorKind::Unimplemented, ErrorKind::FailedPrecondition, ErrorKind::Unknown, ErrorKind::Internal]
        {
            assert!(error(kind).is_refusal(), "{kind:?}");
        }
        for kind in [ErrorKind::Unavailable, ErrorKind::DeadlineExceeded, ErrorKind::NotFound] {
            assert!(!error(kind).is_refusal(), "{kind:?}");
        }
    }
}
