//! Why a tree could not be shifted. Each error names the path, and says what the tree is like now.

use std::{fmt, io, path::PathBuf};

use sysbox_core::{
    IdRange, InvalidIdRange, Owner,
    tree::{TreeRecord, UnreadableTreeRecord},
};

use crate::walk::workers::NoThread;

/// Why the owners of a tree could not be shifted, or their record not be read.
///
/// After [`Refused`](Self::Refused) or [`System`](Self::System) a part of the tree may be shifted; its record then says
/// so, and another call goes on from there or undoes it. All others come before the first change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChownError {
    /// The range shares ids with the container's own, so that an owner would not tell whether it is shifted.
    #[error("the {kind} range {range} begins below {}, its size; choose a range that begins there or later", .range.count())]
    RangeTooLow {
        /// Which of the two ranges.
        kind: IdKind,
        /// The range.
        range: IdRange,
    },
    /// The range shares ids with the tree's own, that do not begin at 0.
    #[error("the {kind} range {range} shares ids with {own}, the tree's own; choose a range that does not")]
    RangesOverlap {
        /// Which of the two ranges.
        kind: IdKind,
        /// The ids of the tree where it is not shifted.
        own: IdRange,
        /// The range that it should be shifted to.
        range: IdRange,
    },
    /// There are not as many ids as the range has from the tree's first one on.
    #[error("the tree's own {kind} range would begin at {first}; choose a smaller range for the container")]
    NoOwnRange {
        /// Which of the two ranges.
        kind: IdKind,
        /// The id that stands for the container's root.
        first: u32,
        /// Why that is no range.
        #[source]
        source: InvalidIdRange,
    },
    /// The caller lacks `CAP_SYS_ADMIN` in the initial user namespace, without which the kernel hides the record.
    #[error(
        "the owners of a tree are shifted only with CAP_SYS_ADMIN in the initial user namespace; run as the host's root"
    )]
    NotPrivileged,
    /// The tree's file system keeps no `trusted.*` attributes, so that the shift could not be put on record.
    #[error(
        "the file system of {root:?} keeps no trusted extended attributes; use another one, or an ID-mapped mount"
    )]
    NoTrustedAttributes {
        /// The root of the tree.
        root: PathBuf,
        /// What the kernel said (`EOPNOTSUPP`).
        #[source]
        source: io::Error,
    },
    /// The tree has a record that this version does not understand.
    #[error("unreadable record on {root:?}")]
    Record {
        /// The root of the tree.
        root: PathBuf,
        /// What stands there.
        #[source]
        source: UnreadableTreeRecord,
    },
    /// The tree is on record for other ids.
    #[error("{root:?} is on record as {record:?}; revert that first")]
    OtherIds {
        /// The root of the tree.
        root: PathBuf,
        /// Its record.
        record: TreeRecord,
    },
    /// A tree that is to be taken over as shifted does not belong to the container's root.
    #[error("{root:?} belongs to {found}, and as a tree shifted for this container it would to {wanted}")]
    NotShifted {
        /// The root of the tree.
        root: PathBuf,
        /// Its owner.
        found: Owner,
        /// The host's owner of what the container's root owns.
        wanted: Owner,
    },
    /// A tree without a record has an id in the range that it should be shifted to. It would be taken for a shifted one on
    /// the way back.
    #[error(
        "{path:?} has the {kind} {id} ({place}) in the range {range} that the tree is to be shifted to; choose another range, or change it"
    )]
    IdInRange {
        /// The first such inode that was seen.
        path: PathBuf,
        /// Where in the inode the id stands.
        place: IdPlace,
        /// User or group.
        kind: IdKind,
        /// The id.
        id: u32,
        /// The range.
        range: IdRange,
    },
    /// A tree without a record has an inode that was left in the middle of a change: it was copied from a tree with one.
    #[error(
        "{path:?} bears the mark of an unfinished change that is not of this tree; remove its attribute trusted.sysbox.pending"
    )]
    StrayMark {
        /// The inode.
        path: PathBuf,
    },
    /// An extended attribute has a form that this version does not know.
    #[error("{path:?} has an attribute {attribute} of an unknown form; remove or mend it")]
    Attribute {
        /// The inode.
        path: PathBuf,
        /// The attribute's name.
        attribute: &'static str,
    },
    /// No thread could be started, or none with a working directory of its own.
    #[error("no thread can be had to walk the tree; see the limits on processes and memory, and try again")]
    NoThread {
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The kernel does not let even root change this inode, mostly because it is immutable or append-only.
    #[error(
        "{operation} {path:?} is not permitted; if lsattr shows it immutable or append-only, `chattr -ia` it and try again"
    )]
    Refused {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// What the kernel said (`EPERM`).
        #[source]
        source: io::Error,
    },
    /// The kernel could not do it.
    #[error("cannot {operation} {path:?}")]
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

impl From<NoThread> for ChownError {
    fn from(NoThread(source): NoThread) -> Self {
        Self::NoThread { source }
    }
}

impl ChownError {
    /// Whether there was no room for what should be written, in an inode or on the file system.
    pub(super) fn is_want_of_room(&self) -> bool {
        use rustix::io::Errno;
        let Self::System { source, .. } = self else { return false };
        matches!(Errno::from_io_error(source), Some(Errno::NOSPC | Errno::DQUOT | Errno::TOOBIG))
    }

    /// The error of a system call on an inode.
    pub(super) fn system(operation: &'static str, path: PathBuf, errno: rustix::io::Errno) -> Self {
        let source = errno.into();
        match errno {
            rustix::io::Errno::PERM => Self::Refused { operation, path, source },
            _ => Self::System { operation, path, source },
        }
    }
}

/// Which kind of id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdKind {
    /// A user id.
    User,
    /// A group id.
    Group,
}

impl fmt::Display for IdKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user id",
            Self::Group => "group id",
        })
    }
}

/// Where in an inode an id stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdPlace {
    /// It owns the inode.
    Owner,
    /// An entry of its ACL names it.
    Acl,
    /// Its file capabilities are those of a namespace with this root.
    Capability,
}

impl fmt::Display for IdPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "as owner",
            Self::Acl => "in its ACL",
            Self::Capability => "as root of its file capabilities",
        })
    }
}
