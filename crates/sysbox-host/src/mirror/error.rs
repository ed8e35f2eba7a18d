//! Why a tree could not be mirrored. Each error names the path, and says what to do.

use std::{io, path::PathBuf};

use rustix::io::Errno;

use crate::{
    chown::{ChownError, IdKind},
    walk::workers::NoThread,
};

/// Why a tree could not be mirrored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// The range shares ids with the container's own, so that an owner would not tell whether it is shifted.
    #[error("the {kind} range {range} begins below {}, its size; choose a range that begins there or later", .range.count())]
    RangeTooLow {
        /// Which of the two ranges.
        kind: IdKind,
        /// The range.
        range: sysbox_core::IdRange,
    },
    /// The target's file system or a quota has no room (`ENOSPC`, `EDQUOT`).
    #[error(
        "no room to {operation} {path:?}; free space or inodes on its file system, or raise the quota, and try again"
    )]
    NoSpace {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The kernel does not let even root do this (`EPERM`), mostly because an inode is immutable or append-only.
    #[error(
        "to {operation} {path:?} is not permitted; if lsattr shows it immutable or append-only, `chattr -ia` it and try again"
    )]
    Refused {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// There is no descriptor left (`EMFILE`, `ENFILE`).
    #[error("no descriptor is left to {operation} {path:?}; raise the limit on open files and try again")]
    TooManyFiles {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The disk failed (`EIO`).
    #[error("the disk failed to {operation} {path:?}; see the kernel's log, mend the disk, and try again")]
    Disk {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Something is mounted on what should be removed from the target (`EBUSY`, `EXDEV`).
    #[error("cannot {operation} {path:?}, since something is mounted there; unmount it and try again")]
    Mounted {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// No thread could be started, or none with a working directory of its own.
    #[error("no thread can be had to copy the tree; see the limits on processes and memory, and try again")]
    NoThread {
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The kernel could not do it for another reason.
    #[error("cannot {operation} {path:?}; see what the kernel says and try again")]
    System {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl MirrorError {
    /// The error of a system call.
    pub(super) fn system(operation: &'static str, path: PathBuf, errno: Errno) -> Self {
        let source = errno.into();
        match errno {
            Errno::NOSPC | Errno::DQUOT => Self::NoSpace { operation, path, source },
            Errno::PERM => Self::Refused { operation, path, source },
            Errno::MFILE | Errno::NFILE => Self::TooManyFiles { operation, path, source },
            Errno::IO => Self::Disk { operation, path, source },
            Errno::BUSY | Errno::XDEV => Self::Mounted { operation, path, source },
            _ => Self::System { operation, path, source },
        }
    }

    /// Of the range that no direction could be made of.
    pub(super) fn range(error: ChownError) -> Self {
        match error {
            ChownError::RangeTooLow { kind, range } => Self::RangeTooLow { kind, range },
            // A direction is made of numbers alone, and has no other errors.
            other => {
                Self::System { operation: "shift", path: PathBuf::new(), source: io::Error::other(other) }
            }
        }
    }
}

impl From<NoThread> for MirrorError {
    fn from(NoThread(source): NoThread) -> Self {
        Self::NoThread { source }
    }
}
