//! Single entries of a root directory that is not trusted: whether one is there, making it, and removing it while nothing has
//! come of it.

use std::{
    ffi::OsStr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chownat,
        fstat, openat, readlinkat, statat, symlinkat, unlinkat, utimensat,
    },
    io::Errno,
};
use sysbox_core::{AbsPath, HostError, Owner};

use super::{Found, NotTaken, Root, Way, give, make_directory};
use crate::error::failed;

/// What [`look_up`] does with the last name of a path, if that is a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LastName {
    /// It is followed.
    Followed,
    /// It is what is looked for.
    Itself,
}

/// Where a path leads in a root directory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The path without symbolic links and `..`.
    pub path: AbsPath,
    /// What of it is not there, without symbolic links either, from the top; nothing if the path is there as a whole.
    pub missing: Vec<AbsPath>,
    /// Whether a directory is there.
    pub is_directory: bool,
}

/// An entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry<'a> {
    /// An empty directory.
    Directory,
    /// An empty regular file.
    File,
    /// A symbolic link that leads there.
    Link(&'a Path),
}

/// Finds out where a path leads in the root, and what is missing there: what [`make_dir`](super::make_dir) would make. Makes nothing.
///
/// # Errors
/// When something on the way is no directory, links lead round and round, or the root cannot be opened.
pub fn look_up(root: &AbsPath, path: &AbsPath, last: LastName) -> Result<Place, HostError> {
    let root = Root::open(root)?;
    let mut way = Way::new(path.as_path());
    let mut missing: Vec<PathBuf> = Vec::new();
    let mut is_directory = true;
    while let Some(name) = way.next_name() {
        let next = way.resolved.join(OsStr::from_bytes(&name));
        let is_last = way.rest.is_empty();
        match root.look_at(&next)? {
            Found::Link(target) if !is_last || last == LastName::Followed => {
                way.follow(&target).map_err(|cause| root.refused("resolve", &next, cause))?;
                continue;
            }
            Found::Directory => is_directory = true,
            Found::Link(_) | Found::Other if is_last => is_directory = false,
            Found::Link(_) | Found::Other => return Err(root.refused("use", &next, NotTaken::NoDirectory)),
            Found::Nothing => {
                is_directory = false;
                if !missing.contains(&next) {
                    missing.push(next.clone());
                }
            }
        }
        way.resolved = next;
    }
    let absolute = |path: PathBuf| {
        let subject = root.subject(&path);
        AbsPath::new(path).map_err(failed("resolve", subject))
    };
    let missing = missing.into_iter().map(absolute).collect::<Result<_, _>>()?;
    Ok(Place { path: absolute(way.resolved)?, missing, is_directory })
}

/// Makes an entry with this path, whose directory is there and keeps its time of modification; the mode is of no meaning for a link.
/// `false` if something has the path.
///
/// # Errors
/// When its directory is not there, or it cannot be made.
pub fn make(
    root: &AbsPath,
    path: &AbsPath,
    entry: Entry<'_>,
    owner: Owner,
    mode: u32,
) -> Result<bool, HostError> {
    let root = Root::open(root)?;
    let (above, name) = split(path.as_path());
    let made = root.resolve(above, OFlags::PATH | OFlags::DIRECTORY).and_then(|above| {
        let above = above.as_fd();
        keeping_time(above, || match entry {
            Entry::Directory => make_directory(above, name, owner, mode),
            Entry::File => make_file(above, name, owner, mode),
            Entry::Link(target) => make_link(above, name, target, owner),
        })
    });
    match made {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(root.error("make", path.as_path(), errno)),
    }
}

/// Removes the entry with this path if it is as [`make`] makes it: a directory or a regular file that is empty, a link that leads there.
/// `false` if it is not, or nothing is there, or something is mounted there. Its directory keeps its time of modification.
///
/// No link is followed and no mount is entered. A directory that is a mount point in *another* mount namespace is removed all the same, and
/// the mount with it (`rmdir(2)` since Linux 3.18); so nobody may have mounts in the root who is still to need them, as who has it for
/// his own `/` ([`is_root_elsewhere`](super::is_root_elsewhere)). Nor may anybody write to it meanwhile.
///
/// # Errors
/// When the root cannot be opened, or the kernel refuses for another reason.
pub fn remove_unused(root: &AbsPath, path: &AbsPath, entry: Entry<'_>) -> Result<bool, HostError> {
    let root = Root::open(root)?;
    let (above, name) = split(path.as_path());
    let removed = root.resolve_plainly(above).and_then(|above| {
        let above = above.as_fd();
        keeping_time(above, || remove(above, name, entry))
    });
    match removed {
        Ok(removed) => Ok(removed),
        Err(
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::LOOP
            | Errno::XDEV
            | Errno::NOTEMPTY
            | Errno::EXIST
            | Errno::BUSY,
        ) => Ok(false),
        Err(errno) => Err(root.error("remove", path.as_path(), errno)),
    }
}

impl Root<'_> {
    /// Opens the directory with this path, on which no link and no mount may be.
    fn resolve_plainly(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.resolve_with(path, OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::NO_SYMLINKS)
    }
}

/// The directory and the name of an entry. The root itself has no name, and the kernel takes none that is empty.
fn split(path: &Path) -> (&Path, &[u8]) {
    let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default();
    (path.parent().unwrap_or(path), name)
}

/// Changes a directory, which keeps its time of modification: so one in which nothing but entries of ours come and go is as it was.
fn keeping_time<T>(directory: BorrowedFd<'_>, change: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    let before = fstat(directory)?;
    let changed = change()?;
    let nanoseconds = before.st_mtime_nsec.try_into().map_err(|_| Errno::OVERFLOW)?;
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: before.st_mtime, tv_nsec: nanoseconds },
    };
    // A file system that takes no times shows when it was changed, as for any change.
    let _ = utimensat(directory, c".", &times, AtFlags::empty());
    Ok(changed)
}

fn make_file(above: BorrowedFd<'_>, name: &[u8], owner: Owner, mode: u32) -> Result<(), Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    let made = openat(above, name, flags, Mode::RUSR | Mode::WUSR)?;
    give(made.as_fd(), owner, mode)
}

fn make_link(above: BorrowedFd<'_>, name: &[u8], target: &Path, owner: Owner) -> Result<(), Errno> {
    symlinkat(target, above, name)?;
    let (uid, gid) = (Uid::from_raw(owner.uid.0), Gid::from_raw(owner.gid.0));
    chownat(above, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

fn remove(above: BorrowedFd<'_>, name: &[u8], entry: Entry<'_>) -> Result<bool, Errno> {
    let is_unused = match entry {
        // The kernel looks itself whether it is empty.
        Entry::Directory => return unlinkat(above, name, AtFlags::REMOVEDIR).map(|()| true),
        Entry::File => {
            let found = statat(above, name, AtFlags::SYMLINK_NOFOLLOW)?;
            FileType::from_raw_mode(found.st_mode) == FileType::RegularFile && found.st_size == 0
        }
        Entry::Link(target) => match readlinkat(above, name, Vec::new()) {
            Ok(found) => found.as_bytes() == target.as_os_str().as_bytes(),
            // It is no link.
            Err(Errno::INVAL) => false,
            Err(errno) => return Err(errno),
        },
    };
    if is_unused {
        unlinkat(above, name, AtFlags::empty())?;
    }
    Ok(is_unused)
}
