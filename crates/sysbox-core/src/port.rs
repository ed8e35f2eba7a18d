//! The ports: what a system-container runtime needs from others. Adapters implement them, facades and runtimes call them.

mod fs;
mod host;
mod mgr;
mod seccomp;

pub use fs::{ContainerData, FsPort};
pub use host::{HostPort, MOST_OF_ROOTFS_FILE};
pub use mgr::{
    FsStateRequest, MgrPort, MountRequest, MountRequests, MountToPrepare, MountsToPrepare, Registration,
    ShiftfsMarks, SubidRequest, Subids, Update,
};
pub use seccomp::{SeccompInit, SeccompPort};

#[cfg(any(test, feature = "mock"))]
pub use {fs::MockFsPort, host::MockHostPort, mgr::MockMgrPort, seccomp::MockSeccompPort};
