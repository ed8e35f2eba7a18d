//! Why a spec could not be converted.

use crate::{
    AbsPath, ContainerId, HostError,
    session::SessionError,
    syscont::{SpecError, mounts::UnreadableConfig},
};

/// A spec could not be converted. What the manager did for it so far is undone by `Sysbox::teardown`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// The spec breaks a rule.
    #[error("container {container} cannot be a system container")]
    Spec {
        /// The container.
        container: ContainerId,
        /// The field and the rule.
        #[source]
        source: SpecError,
    },
    /// A file of the rootfs that says where a special directory is cannot be understood.
    #[error("the special directories of container {container} are not known")]
    Special {
        /// The container.
        container: ContainerId,
        /// The file and the rule.
        #[source]
        source: UnreadableConfig,
    },
    /// The host could not be asked.
    #[error("container {container} cannot be fitted to this host")]
    Host {
        /// The container.
        container: ContainerId,
        /// What was asked.
        #[source]
        source: HostError,
    },
    /// The manager gave ids that a system container cannot have.
    #[error("the manager gave container {container} ids that a system container cannot have")]
    WrongIds {
        /// The container.
        container: ContainerId,
        /// The rule.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The user namespace that the container is to join is not that of a system container.
    #[error("container {container} cannot join user namespace {userns}")]
    WrongUserns {
        /// The container.
        container: ContainerId,
        /// The namespace.
        userns: AbsPath,
        /// The rule.
        #[source]
        source: SpecError,
    },
    /// A daemon said no.
    #[error(transparent)]
    Session(#[from] SessionError),
}
