//! Walking a tree: in several threads or in one, to any depth, and never out of it.
//!
//! - [`Queue`] shares the directories of a tree among the threads that [`workers`] runs.
//! - [`Descent`] goes through a tree depth first in one thread, with a bounded number of descriptors.
//! - Every directory is opened from one above without following a symbolic link or entering a mount.

mod descent;
mod directories;
mod queue;
pub(crate) mod workers;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};

pub(crate) use self::{
    descent::{Descent, Fault, Visit},
    directories::{Directories, DirectoryId},
    queue::Queue,
};

/// How much of a path is resolved at once; `PATH_MAX` is 4096 with the terminator.
const CHUNK: usize = 4000;

/// How a directory is opened whose entries are to be read.
pub(crate) const READ_DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOATIME);

/// Opens what has this path below a directory.
pub(crate) fn open_below(from: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(from, path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), within)
}

/// Opens the directory with this path below another one, however long that is, to read its entries.
pub(crate) fn open_directory(root: BorrowedFd<'_>, mut path: &[u8]) -> Result<OwnedFd, Errno> {
    let mut above: Option<OwnedFd> = None;
    loop {
        let from = above.as_ref().map_or(root, AsFd::as_fd);
        // A name has at most 255 bytes, so there is a slash within a chunk.
        let cut = path.get(..CHUNK).and_then(|chunk| chunk.iter().rposition(|&byte| byte == b'/'));
        let Some(cut) = cut else { return open_below(from, path, READ_DIRECTORY) };
        above = Some(open_below(from, &path[..cut], OFlags::PATH | OFlags::DIRECTORY)?);
        path = &path[cut + 1..];
    }
}
