//! The port to the host: what its kernel and its file systems say.

use std::fmt::Debug;

use crate::{
    AbsPath, HostError, IdMappings, Owner,
    host::{Feature, FileSystem, KernelRelease, NamespaceId, OsRelease, OverlayLayers, Support},
    tree::TreeRecord,
};

/// The most bytes of a file of a rootfs that are read: the files that are read are configuration, of a few lines.
pub const MOST_OF_ROOTFS_FILE: usize = 1 << 20;

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

    /// The user and group id mappings of the user namespace that a path such as `/proc/7/ns/user` names.
    fn id_mappings(&self, userns: &AbsPath) -> Result<(IdMappings, IdMappings), HostError>;

    /// The content of a regular file of a root directory that is not trusted, given by its path inside; `None` if nothing has this
    /// path. No symbolic link leads out of the root, and more than [`MOST_OF_ROOTFS_FILE`] bytes are an error.
    fn rootfs_file(&self, rootfs: &AbsPath, path: &AbsPath) -> Result<Option<Vec<u8>>, HostError>;

    /// Whether a root directory that is not trusted has a directory with this path inside. No symbolic link leads out of the root;
    /// what cannot be reached in it is not there.
    fn rootfs_has_directory(&self, rootfs: &AbsPath, path: &AbsPath) -> Result<bool, HostError>;

    /// What is recorded of a shift of the owners below `path`; `None` if they are as they were made.
    fn tree_record(&self, path: &AbsPath) -> Result<Option<TreeRecord>, HostError>;

    /// Whether the host can do a thing, found out by trying it. Leaves nothing behind.
    fn probe(&self, feature: &Feature) -> Result<Support, HostError>;
}
