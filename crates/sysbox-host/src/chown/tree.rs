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
    fs::{CWD, Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
    mount::{OpenTreeFlags, open_tree},
    thread::{CapabilitySet, capabilities},
};
use sysbox_core::AbsPath;

use super::ChownError;

/// How much of a path is resolved at once; `PATH_MAX` is 4096 with the terminator.
const CHUNK: usize = 4000;

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
    pub(super) fn directory(&self, mut path: &[u8]) -> Result<OwnedFd, ChownError> {
        let failed = |errno| Place { tree: self, directory: path, name: c"." }.error("open", errno);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOATIME;
        let mut above: Option<OwnedFd> = None;
        loop {
            let from = above.as_ref().map_or_else(|| self.root.as_fd(), AsFd::as_fd);
            // A name has at most 255 bytes, so there is a slash within a chunk.
            let cut = path.get(..CHUNK).and_then(|chunk| chunk.iter().rposition(|&byte| byte == b'/'));
            let Some(cut) = cut else { return open_below(from, path, flags).map_err(failed) };
            above = Some(open_below(from, &path[..cut], OFlags::PATH | OFlags::DIRECTORY).map_err(failed)?);
            path = &path[cut + 1..];
        }
    }
}

/// Opens what has this path below a directory.
pub(super) fn open_below(from: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(from, path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), within)
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
