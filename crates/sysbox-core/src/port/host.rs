//! The port to the host: what its kernel and its file systems say.

use std::fmt::Debug;

use crate::{
    AbsPath, HostError, Owner,
    host::{Feature, FileSystem, KernelRelease, NamespaceId, OsRelease, OverlayLayers, Support},
    tree::TreeRecord,
};

/// What can be asked of the host. Nothing here changes it; every call answers in well under a second.
///
/// # Errors
/// Every call gives a [`HostError`] when the host cannot be asked. That a thing is missing or not supported is an answer.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
pub trait HostPort: Debug + Send + Sync {
    /// The release of the running kernel (`uname(2)`).
    fn kernel_release(&self) -> Result<KernelRelease, HostError>;

    /// The distribution (`os-release(5)`).
    fn os_release(&self) -> Result<OsRelease, HostError>;

    /// The value of a sysctl such as `user.max_user_namespaces`, without the final newline; `None` where the kernel has none.
    fn sysctl(&self, name: &str) -> Result<Option<String>, HostError>;

    /// The file system that a path is on. The last component is followed if it is a symbolic link.
    fn file_system(&self, path: &AbsPath) -> Result<FileSystem, HostError>;

    /// The layers of the overlay whose mount point is exactly `path`; `None` if there is no overlay mounted there.
    fn overlay_layers(&self, path: &AbsPath) -> Result<Option<OverlayLayers>, HostError>;

    /// Who owns a directory or file. The last component is followed if it is a symbolic link.
    fn owner(&self, path: &AbsPath) -> Result<Owner, HostError>;

    /// Which namespace a path such as `/proc/1/ns/net` names.
    fn namespace(&self, path: &AbsPath) -> Result<NamespaceId, HostError>;

    /// What is recorded of a shift of the owners below `path`; `None` if they are as they were made.
    fn tree_record(&self, path: &AbsPath) -> Result<Option<TreeRecord>, HostError>;

    /// Whether the host can do a thing, found out by trying it. Leaves nothing behind.
    fn probe(&self, feature: &Feature) -> Result<Support, HostError>;
}
