//! Files below a root directory whose contents are not trusted, such as a container's.
//!
//! Every path is resolved as if the root directory were `/`: symbolic links are followed, but neither they, nor `..`, nor what is
//! swapped meanwhile, lead out of it (`RESOLVE_IN_ROOT` of `openat2(2)`). Links of `/proc` are not followed at all.
//!
//! What the host has mounted below it is not reached either, for a container does not have that: it is resolved in a clone of the
//! mount, which shows what is beneath. Who may not make one (`open_tree(2)`) is refused every path that leads into such a mount.

mod elsewhere;
mod entry;

#[cfg(test)]
mod tests;

use std::{
    ffi::OsStr,
    fs::File,
    io::Read,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{
        CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, fchmod, fchown, fstat, mkdirat, open, openat,
        openat2, readlinkat,
    },
    io::Errno,
    mount::{OpenTreeFlags, open_tree},
};
use sysbox_core::{AbsPath, HostError, Owner};

use crate::error::failed;

pub use elsewhere::is_root_elsewhere;
pub use entry::{Entry, LastName, Place, look_up, make, remove_unused};

/// As many symbolic links as the kernel follows in one path (`path_resolution(7)`).
const MAX_LINKS: usize = 40;
/// So often a path is tried again that the kernel could not keep in the root, since something was moved meanwhile.
const ATTEMPTS: usize = 64;

/// Why what was found is not taken.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error("it is no directory; remove it, or choose another path")]
    NoDirectory,
    #[error("it is no regular file; remove it, or choose another path")]
    NoFile,
    #[error("it is longer than {at_most} bytes, which it should not be; look at what it is")]
    TooLong { at_most: usize },
    #[error("more than {MAX_LINKS} symbolic links lead on from it; remove the loop")]
    Loop,
    #[error(
        "a name on the way, or all of it, is longer than the file system takes; remove the link that leads there"
    )]
    LongName,
    #[error("its directory is not there; make it, or choose another path")]
    NoPlace,
    #[error("something that the container does not have is mounted on the way; unmount it, or run as root")]
    Mounted,
}

/// Opens the directory with this path in the root; `None` if nothing has this path.
///
/// # Errors
/// When it, or something on the way, is no directory, or the root itself cannot be opened. Whatever the contents of the root can
/// make of it has no error of the kernel among its causes.
pub fn open_dir(root: &AbsPath, path: &AbsPath) -> Result<Option<OwnedFd>, HostError> {
    let root = Root::open(root)?;
    match root.resolve(path.as_path(), OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(directory) => Ok(Some(directory)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(root.error("open", path.as_path(), errno)),
    }
}

/// Opens the directory with this path in the root; what is missing of it is made, with this owner and mode.
///
/// A symbolic link on the way that leads nowhere is followed too: what it names in the root is made.
///
/// # Errors
/// As [`open_dir`], and when a directory cannot be made.
pub fn make_dir(root: &AbsPath, path: &AbsPath, owner: Owner, mode: u32) -> Result<OwnedFd, HostError> {
    let root = Root::open(root)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    match root.resolve(path.as_path(), flags) {
        Err(Errno::NOENT) => {}
        result => return result.map_err(|errno| root.error("open", path.as_path(), errno)),
    }
    let resolved = root.make_missing(path.as_path(), owner, mode)?;
    root.resolve(&resolved, flags).map_err(|errno| root.error("open", &resolved, errno))
}

/// Reads the regular file with this path in the root; `None` if nothing has this path.
///
/// It never waits for a fifo's writer and never opens a device.
///
/// # Errors
/// When it has more than `at_most` bytes, is no regular file, or cannot be read.
pub fn read_file(root: &AbsPath, path: &AbsPath, at_most: usize) -> Result<Option<Vec<u8>>, HostError> {
    let root = Root::open(root)?;
    let subject = root.subject(path.as_path());
    let found = match root.resolve(path.as_path(), OFlags::PATH) {
        Err(Errno::NOENT) => return Ok(None),
        result => result.map_err(|errno| root.error("open", path.as_path(), errno))?,
    };
    let stat = fstat(&found).map_err(failed("look at", &subject))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(HostError::new("read", subject, NotTaken::NoFile));
    }
    // What `found` holds is opened, whatever has its name by now.
    let file = open(descriptor_path(found.as_fd()), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed("open", &subject))?;
    let mut contents = Vec::new();
    let limit = u64::try_from(at_most).unwrap_or(u64::MAX).saturating_add(1);
    File::from(file).take(limit).read_to_end(&mut contents).map_err(failed("read", &subject))?;
    if contents.len() > at_most {
        return Err(HostError::new("read", subject, NotTaken::TooLong { at_most }));
    }
    Ok(Some(contents))
}

/// The path by which the kernel finds what a descriptor holds.
pub(crate) fn descriptor_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// What has a path.
enum Found {
    Nothing,
    Directory,
    /// A symbolic link, and where it leads.
    Link(PathBuf),
    /// Anything else.
    Other,
}

/// A root directory, without what is mounted below it.
struct Root<'a> {
    directory: OwnedFd,
    path: &'a AbsPath,
}

impl<'a> Root<'a> {
    fn open(path: &'a AbsPath) -> Result<Self, HostError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let directory = match open_tree(CWD, path.as_path(), clone) {
            // What was opened in a clone can be used after the clone has gone.
            Ok(clone) => openat(&clone, c".", flags, Mode::empty()),
            // The caller may not, or it is attached nowhere itself, as another clone. No mount below is entered (`NO_XDEV`).
            Err(_) => openat(CWD, path.as_path(), flags, Mode::empty()),
        };
        Ok(Self { directory: directory.map_err(failed("open the root directory", path))?, path })
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        self.resolve_with(path, flags, ResolveFlags::empty())
    }

    fn resolve_with(&self, path: &Path, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
        // Nothing is mounted below a clone. It is refused where there is none, or one gets a mount that is made meanwhile.
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV | resolve;
        let open = || openat2(&self.directory, path, flags | OFlags::CLOEXEC, Mode::empty(), within);
        let mut result = open();
        for _ in 1..ATTEMPTS {
            match result {
                Err(Errno::AGAIN) => result = open(),
                done => return done,
            }
        }
        result
    }

    /// Makes the directories that are missing on the way to this path, and returns the path without symbolic links.
    fn make_missing(&self, path: &Path, owner: Owner, mode: u32) -> Result<PathBuf, HostError> {
        let mut way = Way::new(path);
        let mut made = 0;
        while let Some(name) = way.next_name() {
            let next = way.resolved.join(OsStr::from_bytes(&name));
            match self.look_at(&next)? {
                Found::Directory => (way.resolved, made) = (next, 0),
                Found::Link(target) => {
                    way.follow(&target).map_err(|cause| self.refused("resolve", &next, cause))?
                }
                Found::Other => return Err(self.refused("use", &next, NotTaken::NoDirectory)),
                Found::Nothing if made == ATTEMPTS => {
                    return Err(self.error("make the directory", &next, Errno::NOENT));
                }
                Found::Nothing => {
                    made += 1;
                    self.make(&way.resolved, &name, owner, mode)
                        .map_err(|errno| self.error("make the directory", &next, errno))?;
                    // Looked at again: another one may have been faster, with a link.
                    way.rest.push(name);
                }
            }
        }
        Ok(way.resolved)
    }

    /// What has this path, whose last name is not followed.
    fn look_at(&self, path: &Path) -> Result<Found, HostError> {
        let found = match self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            result => result.map_err(|errno| self.error("open", path, errno))?,
        };
        let stat = fstat(&found).map_err(|errno| self.error("look at", path, errno))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Ok(Found::Directory),
            FileType::Symlink => {
                let target = readlinkat(&found, c"", Vec::new())
                    .map_err(|errno| self.error("read the link", path, errno))?;
                Ok(Found::Link(PathBuf::from(OsStr::from_bytes(target.as_bytes()))))
            }
            _ => Ok(Found::Other),
        }
    }

    fn make(&self, parent: &Path, name: &[u8], owner: Owner, mode: u32) -> Result<(), Errno> {
        let parent = self.resolve(parent, OFlags::PATH | OFlags::DIRECTORY)?;
        match make_directory(parent.as_fd(), name, owner, mode) {
            Err(Errno::EXIST) => Ok(()),
            result => result,
        }
    }

    fn subject(&self, path: &Path) -> String {
        format!("{} in {}", path.display(), self.path)
    }

    fn refused(&self, operation: &'static str, path: &Path, cause: NotTaken) -> HostError {
        HostError::new(operation, self.subject(path), cause)
    }

    fn error(&self, operation: &'static str, path: &Path, errno: Errno) -> HostError {
        match errno {
            Errno::NOTDIR => self.refused(operation, path, NotTaken::NoDirectory),
            Errno::LOOP => self.refused(operation, path, NotTaken::Loop),
            Errno::NAMETOOLONG => self.refused(operation, path, NotTaken::LongName),
            Errno::NOENT => self.refused(operation, path, NotTaken::NoPlace),
            Errno::XDEV => self.refused(operation, path, NotTaken::Mounted),
            errno => HostError::new(operation, self.subject(path), errno),
        }
    }
}

/// A path that is made one without symbolic links, name by name.
struct Way {
    /// What is resolved: no link and no `..` is in it.
    resolved: PathBuf,
    /// The names that are to be resolved yet, the next one last.
    rest: Vec<Vec<u8>>,
    links: usize,
}

impl Way {
    fn new(path: &Path) -> Self {
        let mut way = Self { resolved: PathBuf::from("/"), rest: Vec::new(), links: 0 };
        way.push(path);
        way
    }

    /// The next name below what is resolved.
    fn next_name(&mut self) -> Option<Vec<u8>> {
        while let Some(name) = self.rest.pop() {
            if name != b".." {
                return Some(name);
            }
            // No link is left in it, so its parent is the one that it names.
            self.resolved.pop();
        }
        None
    }

    /// Goes on where a link leads that is in what is resolved.
    fn follow(&mut self, target: &Path) -> Result<(), NotTaken> {
        if self.links == MAX_LINKS {
            return Err(NotTaken::Loop);
        }
        self.links += 1;
        if target.is_absolute() {
            self.resolved = PathBuf::from("/");
        }
        self.push(target);
        Ok(())
    }

    /// Puts the names of a path before all others.
    fn push(&mut self, path: &Path) {
        let names = path.components().rev().filter_map(|component| match component {
            Component::Normal(name) => Some(name.as_bytes().to_vec()),
            Component::ParentDir => Some(b"..".to_vec()),
            _ => None,
        });
        self.rest.extend(names);
    }
}

/// Makes a directory; `EEXIST` if something has its name.
fn make_directory(parent: BorrowedFd<'_>, name: &[u8], owner: Owner, mode: u32) -> Result<(), Errno> {
    mkdirat(parent, name, Mode::RWXU)?;
    let made = crate::walk::open_below(parent, name, OFlags::RDONLY | OFlags::DIRECTORY)?;
    give(made.as_fd(), owner, mode)
}

/// Gives something that was just made its owner and permissions.
fn give(made: BorrowedFd<'_>, owner: Owner, mode: u32) -> Result<(), Errno> {
    fchown(made, Some(Uid::from_raw(owner.uid.0)), Some(Gid::from_raw(owner.gid.0)))?;
    fchmod(made, Mode::from_raw_mode(mode))
}
