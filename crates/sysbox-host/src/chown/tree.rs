//! The tree itself: a detached clone of its mount, and its directories by way of it.
//!
//! Nothing is mounted in the clone and nothing can be mounted there, since it has no place in any mount namespace; it goes away
//! with its descriptor. Every directory is opened from its root without following a symbolic link, so no name leads out.

use std::{
    ffi::{CStr, OsStr},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, OFlags},
    io::Errno,
    mount::{OpenTreeFlags, open_tree},
    thread::{CapabilitySet, capabilities},
};
use sysbox_core::AbsPath;

use super::ChownError;
use crate::walk::{open_below, open_directory};

/// The inode of the initial user namespace in `/proc/self/ns`, `PROC_USER_INIT_INO` of the kernel's `proc_ns.h`.
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// An open tree.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    /// The mount lasts as long as this descriptor.
    _mount: OwnedFd,
    path: PathBuf,
}

impl Tree {
    /// Opens the tree below a directory.
    pub(super) fn open(root: &AbsPath) -> Result<Self, ChownError> {
        require_privilege()?;
        let path = root.as_path();
        let failed = |operation| move |errno| ChownError::system(operation, path.to_owned(), errno);
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let mount = open_tree(CWD, path, flags).map_err(failed("clone the mount of"))?;
        let root = open_below(mount.as_fd(), b".", OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(failed("open the directory"))?;
        Ok(Self { root, _mount: mount, path: path.to_owned() })
    }

    /// The path by which it was opened.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its root directory.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens the directory with this path below the root, however long that is.
    pub(super) fn directory(&self, path: &[u8]) -> Result<OwnedFd, ChownError> {
        open_directory(self.root.as_fd(), path)
            .map_err(|errno| Place { tree: self, directory: path, name: c"." }.error("open", errno))
    }
}

/// Checks what the kernel asks for before it shows a `trusted.*` attribute (xattr(7)); it hides them from all others, and a
/// tree on record would look like one without.
fn require_privilege() -> Result<(), ChownError> {
    let holds = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
    let namespace = rustix::fs::stat("/proc/self/ns/user")
        .map_err(|errno| ChownError::system("look at", "/proc/self/ns/user".into(), errno))?;
    if holds && namespace.st_ino == INITIAL_USER_NAMESPACE { Ok(()) } else { Err(ChownError::NotPrivileged) }
}

/// A name in a directory of the tree, to be told in errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) tree: &'a Tree,
    /// The directory's path below the root, `.` for the root.
    pub(super) directory: &'a [u8],
    /// The name there, `.` for the directory itself.
    pub(super) name: &'a CStr,
}

impl Place<'_> {
    /// The whole path.
    pub(super) fn path(self) -> PathBuf {
        let mut path = self.tree.path.clone();
        for part in [self.directory, self.name.to_bytes()] {
            if part != b"." {
                path.push(OsStr::from_bytes(part));
            }
        }
        path
    }

    /// The error of a system call on what is here.
    pub(super) fn error(self, operation: &'static str, errno: Errno) -> ChownError {
        ChownError::system(operation, self.path(), errno)
    }
}
