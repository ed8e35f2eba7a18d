//! Going through a tree depth first, in one thread.
//!
//! Only the lowest [`OPEN`] directories of the way down are held open. One above them is opened again by way of `..`, and is
//! taken only if it is the same one: so neither the depth of the tree nor whoever moves directories about meanwhile matters.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags, fstat, openat},
    io::Errno,
};

use super::{READ_DIRECTORY, open_below};

/// So many directories are held open.
const OPEN: usize = 16;

/// What is done with each directory of a tree.
pub(crate) trait Visit {
    /// Deals with a directory that was entered and returns the names of those in it that are to be entered.
    fn enter(&mut self, directory: BorrowedFd<'_>) -> Result<Vec<CString>, Fault>;

    /// Deals with what could not be entered.
    fn shut(&mut self, parent: BorrowedFd<'_>, name: &CStr, errno: Errno) -> Result<(), Fault>;

    /// Deals with a directory whose own directories were all dealt with.
    fn leave(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Fault>;
}

/// What went wrong with something in a directory, or with the directory itself if it has no name.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) operation: &'static str,
    /// First a name in the directory of the visit, and on its way out the path below the top.
    pub(crate) path: Vec<u8>,
    pub(crate) errno: Errno,
}

impl Fault {
    /// For `map_err`.
    pub(crate) fn at(operation: &'static str, name: &CStr) -> impl FnOnce(Errno) -> Self {
        move |errno| Self { operation, path: name.to_bytes().to_vec(), errno }
    }
}

/// A directory on the way down.
struct Level {
    name: CString,
    identity: (u64, u64),
    directory: Option<OwnedFd>,
    /// The directories in it that are still to be entered.
    waiting: Vec<CString>,
}

/// A way down into a tree.
pub(crate) struct Descent<'a, V> {
    levels: Vec<Level>,
    visit: &'a mut V,
}

impl<'a, V: Visit> Descent<'a, V> {
    /// Visits this directory and all below it; the directory itself is not left.
    pub(crate) fn run(top: OwnedFd, visit: &'a mut V) -> Result<(), Fault> {
        let mut this = Self { levels: Vec::new(), visit };
        this.walk(top).map_err(|fault| {
            let names = this.levels.iter().skip(1).map(|level| level.name.to_bytes());
            let names: Vec<_> =
                names.chain([fault.path.as_slice()]).filter(|name| !name.is_empty()).collect();
            Fault { path: names.join(&b'/'), ..fault }
        })
    }

    fn walk(&mut self, top: OwnedFd) -> Result<(), Fault> {
        self.enter(c"".to_owned(), top)?;
        while let Some(level) = self.levels.last_mut() {
            if let Some(name) = level.waiting.pop() {
                let Some(directory) = &level.directory else { return self.rise() };
                match open_below(directory.as_fd(), name.to_bytes(), READ_DIRECTORY) {
                    Ok(below) => self.enter(name, below)?,
                    Err(errno) => self.visit.shut(directory.as_fd(), &name, errno)?,
                }
            } else {
                self.rise()?;
            }
        }
        Ok(())
    }

    fn enter(&mut self, name: CString, directory: OwnedFd) -> Result<(), Fault> {
        let stat = fstat(&directory).map_err(Fault::at("look at", &name))?;
        let identity = (stat.st_dev, stat.st_ino);
        self.levels.push(Level { name, identity, directory: None, waiting: Vec::new() });
        let waiting = self.visit.enter(directory.as_fd())?;
        if let Some(level) = self.levels.last_mut() {
            level.directory = Some(directory);
            level.waiting = waiting;
        }
        if let Some(above) = self.levels.len().checked_sub(OPEN + 1) {
            self.levels[above].directory = None;
        }
        Ok(())
    }

    /// Leaves the lowest directory.
    fn rise(&mut self) -> Result<(), Fault> {
        let Some(left) = self.levels.pop() else { return Ok(()) };
        let Some(parent) = self.levels.last_mut() else { return Ok(()) };
        let directory = match (parent.directory.take(), &left.directory) {
            (Some(directory), _) => directory,
            (None, Some(below)) => open_above(below.as_fd(), parent.identity)
                .map_err(Fault::at("go back up from", &left.name))?,
            (None, None) => return Ok(()),
        };
        let directory = parent.directory.insert(directory);
        self.visit.leave(directory.as_fd(), &left.name)
    }
}

fn open_above(below: BorrowedFd<'_>, identity: (u64, u64)) -> Result<OwnedFd, Errno> {
    let above = openat(below, c"..", READ_DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let stat = fstat(&above)?;
    // It was moved elsewhere while its inside was visited.
    if (stat.st_dev, stat.st_ino) == identity { Ok(above) } else { Err(Errno::STALE) }
}
