//! What `statx(2)` tells of an inode.

use std::{ffi::CStr, os::fd::BorrowedFd};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, Statx, StatxAttributes, StatxFlags, Uid, statx},
    io::Errno,
};

/// What is known of an inode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) kind: FileType,
    pub(super) mode: Mode,
    pub(super) owner: (Uid, Gid),
    pub(super) size: u64,
    /// Bytes that are allocated.
    pub(super) allocated: u64,
    pub(super) names: u32,
    /// Device and inode number.
    pub(super) identity: Identity,
    /// The device that it stands for, major and minor.
    pub(super) device: (u32, u32),
    /// Last change of the contents, in seconds and nanoseconds.
    pub(super) modified: (i64, u32),
    /// Last change of the inode.
    pub(super) changed: (i64, u32),
    /// Whether something is mounted there, of which this is the root.
    pub(super) mounted: bool,
}

/// Which inode it is, as long as it exists: major and minor of the device, and the number.
pub(super) type Identity = (u32, u32, u64);

impl Facts {
    /// Of what has this name in a directory.
    pub(super) fn of_name(directory: BorrowedFd<'_>, name: &CStr) -> Result<Self, Errno> {
        statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS).map(Self::from)
    }

    /// Of what a descriptor holds.
    pub(super) fn of(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).map(Self::from)
    }

    /// Whether it is what overlayfs takes as the absence of a name.
    pub(super) fn is_whiteout(&self) -> bool {
        self.kind == FileType::CharacterDevice && self.device == (0, 0)
    }

    /// Whether it is a device that is not copied.
    pub(super) fn is_device(&self) -> bool {
        matches!(self.kind, FileType::CharacterDevice | FileType::BlockDevice) && !self.is_whiteout()
    }
}

impl From<Statx> for Facts {
    fn from(stat: Statx) -> Self {
        let mode = stat.stx_mode.into();
        Self {
            kind: FileType::from_raw_mode(mode),
            mode: Mode::from_raw_mode(mode),
            owner: (Uid::from_raw(stat.stx_uid), Gid::from_raw(stat.stx_gid)),
            size: stat.stx_size,
            allocated: stat.stx_blocks.saturating_mul(512),
            names: stat.stx_nlink,
            identity: (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino),
            device: (stat.stx_rdev_major, stat.stx_rdev_minor),
            modified: (stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
            changed: (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
            mounted: stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
        }
    }
}
