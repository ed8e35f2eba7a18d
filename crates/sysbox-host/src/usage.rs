//! How much room a tree takes.

use std::{
    collections::HashSet,
    ffi::{CStr, CString},
    mem::MaybeUninit,
    os::fd::BorrowedFd,
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, Stat, fstat, openat, statat},
    io::Errno,
};
use sysbox_core::{AbsPath, HostError};

use crate::{
    error::failed,
    remove::path_below,
    walk::{Descent, Fault, READ_DIRECTORY, Visit},
};

/// `st_blocks` counts in these, whatever the file system's blocks are (`stat(2)`).
const BLOCK: u64 = 512;

/// What a tree takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that are allocated; holes are not, and a file with several names in the tree counts once. Blocks that files share
    /// (`FICLONE`) count for each.
    pub bytes: u64,
    /// Inodes, the root directory among them.
    pub inodes: u64,
}

/// What the tree below this directory takes; what is mounted in it does not count, nor what vanishes meanwhile.
///
/// # Errors
/// When `path` is no directory or a directory in it cannot be read.
pub fn usage(path: &AbsPath) -> Result<Usage, HostError> {
    let top = openat(CWD, path.as_path(), READ_DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed("open", path))?;
    let mut sum = Sum {
        entries: vec![MaybeUninit::uninit(); 32 * 1024],
        links: HashSet::new(),
        usage: Usage::default(),
    };
    Descent::run(top, &mut sum).map_err(|fault| {
        let at = path_below(path.as_path(), &fault.path);
        HostError::new(fault.operation, at.display().to_string(), fault.errno)
    })?;
    Ok(sum.usage)
}

struct Sum {
    entries: Vec<MaybeUninit<u8>>,
    /// Inodes with several names of which one was counted.
    links: HashSet<(u64, u64)>,
    usage: Usage,
}

impl Sum {
    fn add(&mut self, stat: &Stat) {
        self.usage.inodes += 1;
        self.usage.bytes += stat.st_blocks.cast_unsigned() * BLOCK;
    }
}

impl Visit for Sum {
    fn enter(&mut self, directory: BorrowedFd<'_>) -> Result<Vec<CString>, Fault> {
        self.add(&fstat(directory).map_err(Fault::at("look at", c""))?);
        let mut found = Vec::new();
        let mut buffer = std::mem::take(&mut self.entries);
        let mut entries = RawDir::new(directory, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(Fault::at("read the directory", c""))?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                result => result.map_err(Fault::at("look at", name))?,
            };
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                found.push(name.to_owned());
            } else if stat.st_nlink == 1 || self.links.insert((stat.st_dev, stat.st_ino)) {
                self.add(&stat);
            }
        }
        self.entries = buffer;
        Ok(found)
    }

    fn shut(&mut self, _: BorrowedFd<'_>, name: &CStr, errno: Errno) -> Result<(), Fault> {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV => Ok(()),
            errno => Err(Fault::at("open", name)(errno)),
        }
    }

    fn leave(&mut self, _: BorrowedFd<'_>, _: &CStr) -> Result<(), Fault> {
        Ok(())
    }
}
