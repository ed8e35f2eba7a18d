//! What is told of a registered container to those who list them.

use std::time::SystemTime;

use sysbox_core::{AbsPath, ContainerId, IdRange, ShiftType};

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
}

/// What a registered container is doing, as far as the manager was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
