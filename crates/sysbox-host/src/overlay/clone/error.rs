//! Why a rootfs could not be cloned, or its clone not be shifted.

use std::path::PathBuf;

use sysbox_core::{AbsPath, HostError, tree::TreeRecord};

use crate::{chown::ChownError, error::failed};

/// Why a call on an [`OverlayClone`](super::OverlayClone) did not do what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloneError {
    /// Only an overlay can be cloned, and by its mount point.
    #[error("no overlay is mounted exactly at the rootfs {rootfs}; shift its owners by chown instead")]
    NotAnOverlay {
        /// The rootfs.
        rootfs: AbsPath,
    },
    /// The rootfs has no upper layer, or is mounted read-only.
    #[error(
        "the overlay at the rootfs {rootfs} cannot be written; mount it with an upper layer and without ro"
    )]
    NotWritable {
        /// The rootfs.
        rootfs: AbsPath,
    },
    /// The rootfs keeps others off its upper layer.
    #[error(
        "the overlay at the rootfs {rootfs} has index=on and allows no second one on its upper layer; \
         mount it with index=off"
    )]
    Indexed {
        /// The rootfs.
        rootfs: AbsPath,
    },
    /// The rootfs keeps what overlayfs notes of files in attributes of users, for which it has no metacopy.
    #[error("the overlay at the rootfs {rootfs} has userxattr, and with that no metacopy; mount it without")]
    UserAttributes {
        /// The rootfs.
        rootfs: AbsPath,
    },
    /// A layer of the rootfs lies on an overlay itself, so that the clone would be a third one.
    #[error("a layer of the rootfs {rootfs} lies on another overlay, and the kernel stacks no more than two")]
    TooDeep {
        /// The rootfs.
        rootfs: AbsPath,
        /// What the kernel said.
        #[source]
        source: HostError,
    },
    /// The file system of the clone's directory keeps no copies of inodes without their data.
    #[error(
        "overlayfs has no metacopy on the file system of {dir}; \
         give a directory on one with trusted extended attributes, such as ext4, xfs, btrfs or tmpfs"
    )]
    NoMetacopy {
        /// The directory of the clone.
        dir: AbsPath,
    },
    /// The upper layer of the rootfs is shifted, and not by this clone.
    #[error("the upper layer {upper} is shifted already, for container {}; revert that first", .record.container)]
    InUse {
        /// The upper layer.
        upper: AbsPath,
        /// What it says of itself.
        record: TreeRecord,
    },
    /// The rootfs is made of other layers than when the clone was shifted.
    #[error("the rootfs {rootfs} has other layers than those that are shifted; revert the clone first")]
    LayersChanged {
        /// The rootfs.
        rootfs: AbsPath,
    },
    /// The clone was never attached, so that it is not known of which rootfs it is.
    #[error("nothing was cloned in {dir} yet; attach the clone first")]
    NotAttached {
        /// The directory of the clone.
        dir: AbsPath,
    },
    /// The clone cannot be discarded while the rootfs has its owners shifted.
    #[error("the clone in {dir} is shifted; revert it first")]
    Shifted {
        /// The directory of the clone.
        dir: AbsPath,
    },
    /// What the clone remembers was not written by this version.
    #[error(
        "{path:?} does not tell of a clone in a way that this version knows; the rootfs is left as it is"
    )]
    Memory {
        /// The file.
        path: PathBuf,
    },
    /// Owners could not be shifted.
    #[error(transparent)]
    Chown(#[from] ChownError),
    /// The kernel could not do something else.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// A path that is made here of those given.
pub(super) fn abs(path: PathBuf) -> Result<AbsPath, CloneError> {
    let shown = path.display().to_string();
    Ok(AbsPath::new(path).map_err(failed("use the path", shown))?)
}

/// What has this name in a directory.
pub(super) fn child(dir: &AbsPath, name: &str) -> Result<AbsPath, CloneError> {
    abs(dir.as_path().join(name))
}
