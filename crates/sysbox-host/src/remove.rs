//! Removing a tree, of any depth, and nothing but that tree.
//!
//! Symbolic links are removed and never followed, and what is mounted in the tree is an error and stays. A call that was broken
//! off is finished by the next one.

use std::{
    ffi::{CStr, CString},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, SeekFrom, openat, seek, unlinkat},
    io::Errno,
};
use sysbox_core::{AbsPath, HostError};

use crate::{
    error::{Advised, failed},
    walk::{Descent, Fault, READ_DIRECTORY, Visit, open_below},
};

/// Removes what has this path, a directory with all that is in it, and returns how many names were removed; 0 if nothing
/// has this path.
///
/// A symbolic link at `path` itself is removed, not what it leads to.
///
/// # Errors
/// When something is mounted in the tree, is immutable, or the kernel refuses for another reason. What was removed until then
/// is gone; another call goes on.
pub fn remove_tree(path: &AbsPath) -> Result<u64, HostError> {
    let whole = path.as_path();
    let (Some(parent), Some(name)) = (whole.parent(), whole.file_name()) else {
        return Err(HostError::new("remove", path.to_string(), Errno::INVAL));
    };
    let name = CString::new(name.as_bytes()).map_err(failed("remove", path))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = match openat(CWD, parent, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(0),
        result => result.map_err(failed("open", parent.display()))?,
    };
    remove_entry(parent.as_fd(), &name).map_err(|fault| {
        let path = whole.parent().map(|parent| path_below(parent, &fault.path)).unwrap_or_default();
        let cause = Advised { advice: advice(fault.errno), source: fault.errno };
        HostError::new(fault.operation, path.display().to_string(), cause)
    })
}

/// The path of what has this path below a directory.
pub(crate) fn path_below(directory: &Path, below: &[u8]) -> PathBuf {
    directory.join(std::ffi::OsStr::from_bytes(below))
}

/// Removes what has this name in a directory, with all that is in it; returns how many names were removed.
///
/// The path of a fault begins with the name.
pub(crate) fn remove_entry(parent: BorrowedFd<'_>, name: &CStr) -> Result<u64, Fault> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) => return Ok(1),
        Err(Errno::NOENT) => return Ok(0),
        Err(Errno::ISDIR) => {}
        Err(errno) => return Err(Fault::at("remove", name)(errno)),
    }
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) => return Ok(1),
        Err(Errno::NOENT) => return Ok(0),
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        Err(errno) => return Err(Fault::at("remove", name)(errno)),
    }
    let top = match open_below(parent, name.to_bytes(), READ_DIRECTORY) {
        Err(Errno::NOENT) => return Ok(0),
        result => result.map_err(Fault::at("open", name))?,
    };
    let mut removal = Removal { entries: vec![MaybeUninit::uninit(); 32 * 1024], removed: 0 };
    Descent::run(top, &mut removal).map_err(|fault| {
        let path = [name.to_bytes(), &fault.path].join(&b'/');
        Fault { path, ..fault }
    })?;
    removal.leave(parent, name)?;
    Ok(removal.removed)
}

/// What to do about a refusal.
pub(crate) const fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::XDEV | Errno::BUSY => "something is mounted there; unmount it and try again",
        Errno::PERM => "if lsattr shows it immutable or append-only, `chattr -ia` it and try again",
        Errno::NOTEMPTY => "something was made there meanwhile; stop who does it and try again",
        Errno::STALE => "it was moved meanwhile; stop who does it and try again",
        _ => "see what the kernel says and try again",
    }
}

struct Removal {
    entries: Vec<MaybeUninit<u8>>,
    removed: u64,
}

impl Removal {
    /// Removes what is no directory; returns whether there was any, and the names of the directories.
    fn sweep(&mut self, directory: BorrowedFd<'_>) -> Result<(bool, Vec<CString>), Fault> {
        let before = self.removed;
        let mut found = Vec::new();
        let mut entries = RawDir::new(directory, &mut self.entries);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                // Another removal was faster.
                Err(Errno::NOENT) => break,
                entry => entry.map_err(Fault::at("read the directory", c""))?,
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if entry.file_type() == FileType::Directory {
                found.push(name.to_owned());
                continue;
            }
            match unlinkat(directory, name, AtFlags::empty()) {
                Ok(()) => self.removed += 1,
                Err(Errno::NOENT) => {}
                // Some file systems do not tell the type when the directory is read.
                Err(Errno::ISDIR) => found.push(name.to_owned()),
                Err(errno) => return Err(Fault::at("remove", name)(errno)),
            }
        }
        Ok((self.removed > before, found))
    }
}

impl Visit for Removal {
    fn enter(&mut self, directory: BorrowedFd<'_>) -> Result<Vec<CString>, Fault> {
        // Whether names are passed over in a directory from which others are removed is the file system's business.
        loop {
            let (removed, found) = self.sweep(directory)?;
            if !removed {
                return Ok(found);
            }
            seek(directory, SeekFrom::Start(0)).map_err(Fault::at("read the directory", c""))?;
        }
    }

    fn shut(&mut self, parent: BorrowedFd<'_>, name: &CStr, errno: Errno) -> Result<(), Fault> {
        match errno {
            Errno::NOENT => Ok(()),
            // Something else has taken its place.
            Errno::NOTDIR | Errno::LOOP => match unlinkat(parent, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(errno) => Err(Fault::at("remove", name)(errno)),
            },
            errno => Err(Fault::at("open", name)(errno)),
        }
    }

    fn leave(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Fault> {
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) => self.removed += 1,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(Fault::at("remove", name)(errno)),
        }
        Ok(())
    }
}
