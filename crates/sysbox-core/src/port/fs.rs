//! The port to the fs daemon (Sysbox's `sysbox-fs`): emulated `/proc` and `/sys`.

use std::{fmt::Debug, time::SystemTime};

use async_trait::async_trait;

use crate::{AbsPath, ContainerId, IdRange, PortError};

/// What the fs daemon does for containers.
///
/// A call may be `Unavailable`, `DeadlineExceeded` or `Internal` in any backend; the kinds named at a call come in addition.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait FsPort: Debug + Send + Sync {
    /// Where the emulated files are: those of a container are below `<mountpoint>/<container id>/`. It stays the same while the
    /// daemon runs.
    async fn mountpoint(&self) -> Result<AbsPath, PortError>;

    /// Makes a container known before it has a process. Takes its id and network namespace; containers that share one
    /// share the emulated view.
    ///
    /// # Errors
    /// `AlreadyExists` when it is known.
    async fn pre_register(&self, container: &ContainerData) -> Result<(), PortError>;

    /// Tells the rest of a known container; its emulated files can be used from then on.
    ///
    /// # Errors
    /// `NotFound` when it is not known, `AlreadyExists` when it is registered.
    async fn register(&self, container: &ContainerData) -> Result<(), PortError>;

    /// Tells when the container was created.
    ///
    /// # Errors
    /// `NotFound` when it is not known.
    async fn update(&self, container: &ContainerData) -> Result<(), PortError>;

    /// Forgets a container.
    ///
    /// # Errors
    /// `NotFound` when it is not known.
    async fn unregister(&self, container: &ContainerData) -> Result<(), PortError>;
}

/// What the fs daemon is told of a container. Each call takes its part of it; what has no value yet is `None` or empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerData {
    /// The container.
    pub id: ContainerId,
    /// The process id of its init process, in the caller's pid namespace.
    pub init_pid: Option<i32>,
    /// Its host name.
    pub hostname: Option<String>,
    /// When it was created.
    pub created: Option<SystemTime>,
    /// The host's ids of its users.
    pub uids: Option<IdRange>,
    /// The host's ids of its groups.
    pub gids: Option<IdRange>,
    /// Paths below `/proc` that are read-only inside.
    pub proc_ro_paths: Vec<AbsPath>,
    /// Paths below `/proc` that are masked inside.
    pub proc_mask_paths: Vec<AbsPath>,
    /// The network namespace that it joins, if it joins one.
    pub netns: Option<AbsPath>,
}

impl ContainerData {
    /// The data of a container of which nothing is known yet.
    pub fn new(id: ContainerId) -> Self {
        Self {
            id,
            init_pid: None,
            hostname: None,
            created: None,
            uids: None,
            gids: None,
            proc_ro_paths: Vec::new(),
            proc_mask_paths: Vec::new(),
            netns: None,
        }
    }
}
