//! An inode of either tree that is held by a descriptor, so that every step is on the same one whatever its name becomes.

use std::{
    ffi::CStr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    buffer::spare_capacity,
    fs::{
        AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmod, chownat,
        fchmod, fgetxattr, flistxattr, fremovexattr, fsetxattr, futimens, getxattr, listxattr, open,
        removexattr, setxattr, utimensat,
    },
    io::Errno,
};

use crate::{walk::open_below, within::descriptor_path};

/// The longest value that an attribute can have, of the kernel's `include/uapi/linux/limits.h`.
const XATTR_SIZE_MAX: usize = 65_536;

/// An inode.
#[derive(Debug)]
pub(super) struct Inode {
    fd: OwnedFd,
    /// Its path in `/proc`, if the descriptor is an `O_PATH` one: most calls take none of these, but every path.
    path: Option<String>,
}

impl Inode {
    /// Takes hold of what has this name in a directory, without opening it: that would wake a device.
    pub(super) fn hold(directory: BorrowedFd<'_>, name: &CStr) -> Result<Self, Errno> {
        let fd = open_below(directory, name.to_bytes(), OFlags::PATH)?;
        let path = Some(descriptor_path(fd.as_fd()));
        Ok(Self { fd, path })
    }

    /// What an open descriptor holds.
    pub(super) const fn opened(fd: OwnedFd) -> Self {
        Self { fd, path: None }
    }

    /// The same inode, opened to be read; `None` while somebody holds a write lease on it. It must be a regular file.
    ///
    /// The kernel would wait for the holder `/proc/sys/fs/lease-break-time` long, 45 s unless set, and one that is frozen never
    /// answers. After this call that time runs, and then the file can be opened.
    pub(super) fn open_to_read(&self) -> Result<Option<Self>, Errno> {
        let path = descriptor_path(self.fd.as_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOATIME | OFlags::CLOEXEC;
        match open(path, flags, Mode::empty()) {
            Err(Errno::AGAIN) => Ok(None),
            result => result.map(|fd| Some(Self::opened(fd))),
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(super) fn set_owner(&self, (uid, gid): (Uid, Gid)) -> Result<(), Errno> {
        chownat(&self.fd, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
    }

    pub(super) fn set_mode(&self, mode: Mode) -> Result<(), Errno> {
        match &self.path {
            None => fchmod(&self.fd, mode),
            Some(path) => chmod(path, mode),
        }
    }

    /// Sets the time of the last change of the contents.
    pub(super) fn set_modified(&self, (seconds, nanoseconds): (i64, u32)) -> Result<(), Errno> {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() },
        };
        match &self.path {
            None => futimens(&self.fd, &times),
            Some(path) => utimensat(CWD, path, &times, AtFlags::empty()),
        }
    }

    /// Puts the names of the attributes in `buffer`, each with its terminator, and returns how many bytes they have.
    pub(super) fn list_attributes(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        match &self.path {
            None => flistxattr(&self.fd, buffer),
            Some(path) => listxattr(path, buffer),
        }
    }

    /// The value of an attribute, if there is such.
    pub(super) fn attribute(&self, name: &CStr) -> Result<Option<Vec<u8>>, Errno> {
        let mut value = Vec::with_capacity(256);
        loop {
            let result = match &self.path {
                None => fgetxattr(&self.fd, name, spare_capacity(&mut value)),
                Some(path) => getxattr(path, name, spare_capacity(&mut value)),
            };
            match result {
                Ok(_) => return Ok(Some(value)),
                Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
                Err(Errno::RANGE) if value.capacity() < XATTR_SIZE_MAX => value.reserve(XATTR_SIZE_MAX),
                Err(errno) => return Err(errno),
            }
        }
    }

    pub(super) fn set_attribute(&self, name: &CStr, value: &[u8]) -> Result<(), Errno> {
        match &self.path {
            None => fsetxattr(&self.fd, name, value, XattrFlags::empty()),
            Some(path) => setxattr(path, name, value, XattrFlags::empty()),
        }
    }

    pub(super) fn remove_attribute(&self, name: &CStr) -> Result<(), Errno> {
        match &self.path {
            None => fremovexattr(&self.fd, name),
            Some(path) => removexattr(path, name),
        }
    }
}
