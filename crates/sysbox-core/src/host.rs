//! Facts of a host, as [`HostPort`](crate::HostPort) gives them.

mod kernel;
mod os_release;

pub use kernel::{KernelRelease, UnreadableRelease};
pub use os_release::{OsRelease, UnreadableOsRelease};

use std::{fmt, path::PathBuf};

use crate::AbsPath;

/// The file system that a path is on (`proc_pid_mountinfo(5)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// Its type, such as `ext4` or `overlay`.
    pub kind: String,
    /// Where it is mounted.
    pub mount_point: AbsPath,
    /// The directory of the file system that is mounted there.
    pub root: PathBuf,
    /// Whether the mount or the file system is read-only.
    pub read_only: bool,
}

impl FileSystem {
    /// Whether it is overlayfs.
    pub fn is_overlay(&self) -> bool {
        self.kind == "overlay"
    }
}

/// What an overlay is made of (the kernel's `filesystems/overlayfs`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverlayLayers {
    /// The lower layers, the uppermost first.
    pub lower: Vec<PathBuf>,
    /// The lower layers that only metacopy files lead to (`datadir+`).
    pub data: Vec<PathBuf>,
    /// The upper layer; a read-only overlay has none.
    pub upper: Option<PathBuf>,
    /// The work directory that goes with the upper layer.
    pub work: Option<PathBuf>,
    /// The other options, such as `metacopy=on`.
    pub options: Vec<String>,
}

impl OverlayLayers {
    /// Whether an option is set to exactly this, such as `metacopy=on`.
    pub fn has_option(&self, option: &str) -> bool {
        self.options.iter().any(|set| set == option)
    }

    /// Whether a change of an owner alone copies the whole file into the upper layer.
    pub fn copies_up_whole_files(&self) -> bool {
        !self.has_option("metacopy=on")
    }
}

/// Which namespace it is: two are the same if these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NamespaceId {
    /// The device of nsfs.
    pub dev: u64,
    /// The inode on it.
    pub ino: u64,
}

/// A thing that a host may be able to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// A mount of this very path can be ID-mapped (`mount_setattr(2)`).
    IdMappedMount(AbsPath),
    /// This rootfs can be given ID-mapped: the path itself, or the layers of the overlay mounted there.
    IdMappedRootfs(AbsPath),
    /// overlayfs works on ID-mapped layers, the upper one too.
    OverlayOnIdMapped,
    /// overlayfs copies up owner and mode without the data (`metacopy=on`).
    OverlayMetacopy,
    /// User namespaces can be made and mapped.
    UserNamespaces,
    /// A seccomp filter can notify another process (`seccomp_unotify(2)`).
    SeccompNotify,
    /// FUSE can be mounted.
    Fuse,
    /// The kernel has shiftfs.
    Shiftfs,
    /// AppArmor lets unprivileged programs use user namespaces.
    AppArmorUserns,
    /// AppArmor lets fusermount3 mount where sysbox-fs needs it.
    AppArmorFusermount3,
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IdMappedMount(path) => write!(f, "ID-mapped mount of {path}"),
            Self::IdMappedRootfs(path) => write!(f, "ID-mapped rootfs {path}"),
            Self::OverlayOnIdMapped => f.write_str("overlayfs on ID-mapped layers"),
            Self::OverlayMetacopy => f.write_str("overlayfs metacopy"),
            Self::UserNamespaces => f.write_str("user namespaces"),
            Self::SeccompNotify => f.write_str("seccomp user notification"),
            Self::Fuse => f.write_str("FUSE"),
            Self::Shiftfs => f.write_str("shiftfs"),
            Self::AppArmorUserns => f.write_str("AppArmor and user namespaces"),
            Self::AppArmorFusermount3 => f.write_str("AppArmor and fusermount3"),
        }
    }
}

/// Whether a host can do a thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// It was tried and works.
    Yes,
    /// It does not work.
    No {
        /// What was found.
        reason: String,
        /// What would mend it, if anything is known to.
        cure: Option<String>,
    },
}

impl Support {
    /// An answer of no, with what was found.
    pub fn no(reason: impl Into<String>) -> Self {
        Self::No { reason: reason.into(), cure: None }
    }

    /// Whether it works.
    pub const fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }
}
