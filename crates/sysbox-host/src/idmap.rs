//! ID-mapped mounts (`mount_setattr(2)`): the same files, with owners as a user namespace sees them.
//!
//! A mount is mapped while it is detached, so nobody ever sees it unmapped. Nothing on disk is touched, and the time taken
//! does not depend on how many files there are.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::CWD,
    io::Errno,
    mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree},
    path::Arg,
};
use sysbox_core::{AbsPath, HostError};

use crate::{
    error::{Advised, failed},
    sys,
    userns::UserNamespace,
};

/// Attaches the directory or file `source` at `target`, ID-mapped by `userns`. Mounts below `source` are left out.
///
/// A file that root owns on disk belongs at `target` to the host's ids of the namespace's root, and a file that its root
/// makes there is root's on disk. The host's own root, which the namespace does not map, gets `EOVERFLOW` when it makes one.
/// The new mount is private: mounts made later below `source` do not show there. If `source` is a symbolic link it is
/// followed; `target` is not.
///
/// # Errors
/// When the file system cannot be ID-mapped (`EINVAL`; overlayfs among others), the mount is ID-mapped already (`EPERM`), one
/// of the paths is missing, one is a directory and the other is not, or the caller is not root.
pub fn attach(source: &AbsPath, target: &AbsPath, userns: &UserNamespace) -> Result<(), HostError> {
    let mount = mapped_clone(CWD, source.as_path(), userns, Depth::One).map_err(failed("ID-map", source))?;
    move_to(mount, target)
}

/// As [`attach`], with the mounts below `source`, each ID-mapped.
///
/// # Errors
/// As [`attach`]; then none of the mounts is attached.
pub fn attach_recursive(source: &AbsPath, target: &AbsPath, userns: &UserNamespace) -> Result<(), HostError> {
    let mount = mapped_clone(CWD, source.as_path(), userns, Depth::All)
        .map_err(failed("ID-map all mounts below", source))?;
    move_to(mount, target)
}

/// Which mounts are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The one at the path.
    One,
    /// Those below it too.
    All,
}

/// A detached clone of the mount at a path, ID-mapped. It vanishes with the descriptor unless it is attached before.
pub(crate) fn mapped_clone(
    dir: impl AsFd,
    path: impl Arg,
    userns: &UserNamespace,
    depth: Depth,
) -> Result<OwnedFd, Advised> {
    let recursive = if depth == Depth::All { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | recursive;
    let mount = open_tree(dir, path, flags)
        .map_err(|source| Advised { advice: "the mount there cannot be cloned", source })?;
    sys::id_map(mount.as_fd(), userns.as_fd(), depth == Depth::All)
        .map_err(|error| Advised::from_io(&error, advice))?;
    Ok(mount)
}

/// Attaches a detached mount.
pub(crate) fn move_to(mount: OwnedFd, target: &AbsPath) -> Result<(), HostError> {
    move_mount(mount, "", CWD, target.as_path(), MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(failed("attach a mount at", target))
}

fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::INVAL => "its file system does not support ID-mapped mounts",
        Errno::PERM => "run as root, on a mount that is not ID-mapped already",
        Errno::NOSYS => "use a kernel from 5.12 on, the first with ID-mapped mounts",
        _ => "the kernel did not take the mapping",
    }
}
