//! What is told of a registered container to those who list them.

use std::time::SystemTime;

use sysbox_core::{AbsPath, ContainerId, IdRange, MountKind, ShiftType};

use crate::{disk::Disk, files::Intent};

/// A container that the manager knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRecord {
    /// The container.
    pub id: ContainerId,
    /// What it is doing.
    pub state: ContainerState,
    /// How often it was registered; above 1 it was restarted.
    pub starts: u32,
    /// Its root directory.
    pub rootfs: AbsPath,
    /// The host's user ids that it holds, counted from those of its root on; `None` as long as it has none.
    pub uids: Option<IdRange>,
    /// The host's group ids that it holds.
    pub gids: Option<IdRange>,
    /// How its rootfs was shifted.
    pub rootfs_shift: ShiftType,
    /// When it was registered last.
    pub registered: SystemTime,
    /// Its volumes.
    pub volumes: Vec<VolumeRecord>,
    /// The sources of bind mounts that were prepared for it.
    pub prepared: Vec<AbsPath>,
    /// Whether its rootfs was cloned.
    pub cloned: bool,
    /// What a process has begun with its files and not finished, if no process is at it now. The next call for the container
    /// mends it, and so does [`EmbeddedMgr::repair`](crate::EmbeddedMgr::repair).
    pub unfinished: Option<Intent>,
    /// What holds its rootfs, as far as is known.
    pub(crate) disk: Option<Disk>,
}

/// A volume of a container: a directory of the data root that is mounted in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeRecord {
    /// What is kept there.
    pub kind: MountKind,
    /// Where it is mounted, inside.
    pub destination: AbsPath,
    /// Where it is, on the host.
    pub path: AbsPath,
    /// When it was last copied into the rootfs, or from it; since then it may have changed, unless the container has stopped.
    pub synced: Option<SystemTime>,
}

/// What a registered container is doing, as far as the manager was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContainerState {
    /// It is being started, or runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// It has stopped, and may be started again.
    Stopped,
}

impl ContainerState {
    /// The state in a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}
