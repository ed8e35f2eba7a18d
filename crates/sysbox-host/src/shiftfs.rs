//! Marks of shiftfs, the file system of Ubuntu's kernels that shows a marked directory with shifted owners to a user namespace.
//!
//! A mark is a mount of shiftfs over the directory itself, and lets the root of any user namespace mount that directory by
//! shiftfs: the caller sees to it that only such directories are marked as the containers may have.

use rustix::{
    io::Errno,
    mount::{MountFlags, UnmountFlags, mount, unmount},
};
use sysbox_core::{AbsPath, HostError};

use crate::{
    error::{Advised, failed},
    mountinfo,
};

const SHIFTFS: &str = "shiftfs";

/// Whether what is below a mark can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It can.
    ReadWrite,
    /// It cannot.
    ReadOnly,
}

/// Marks a directory, as `mount -t shiftfs -o mark SOURCE SOURCE` does. One that is marked stays as it is.
///
/// # Errors
/// When the kernel has no shiftfs (`ENODEV`), the directory is missing, or the caller is not root.
pub fn mark(source: &AbsPath, access: Access) -> Result<(), HostError> {
    if is_marked(source)? {
        return Ok(());
    }
    let flags = match access {
        Access::ReadWrite => MountFlags::empty(),
        Access::ReadOnly => MountFlags::RDONLY,
    };
    let refused = |source| Advised { advice: advice(source), source };
    mount(source.as_path(), source.as_path(), SHIFTFS, flags, Some(c"mark"))
        .map_err(|errno| failed("mark for shiftfs", source)(refused(errno)))
}

/// Removes the mark of a directory. Without one there is nothing to do.
///
/// # Errors
/// When the mark cannot be unmounted, or the caller is not root.
pub fn unmark(source: &AbsPath) -> Result<(), HostError> {
    if !is_marked(source)? {
        return Ok(());
    }
    unmount(source.as_path(), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .map_err(failed("remove the shiftfs mark of", source))
}

/// Whether a directory is marked in the mount namespace of the calling thread. A missing one is not.
///
/// # Errors
/// When the mount table cannot be read.
pub fn is_marked(source: &AbsPath) -> Result<bool, HostError> {
    let Ok(path) = source.as_path().canonicalize() else { return Ok(false) };
    let mount = mountinfo::of_path(&path)?;
    // A mount by shiftfs that is no mark has no such option.
    let mut options = mount.super_options.split(|&byte| byte == b',');
    Ok(mount.kind == SHIFTFS && mount.mount_point == path && options.any(|option| option == b"mark"))
}

fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::NODEV => "the kernel has no shiftfs; use one of Ubuntu's with the module, or ID-mapped mounts",
        Errno::PERM => "run as root",
        _ => "shiftfs does not take this directory",
    }
}
