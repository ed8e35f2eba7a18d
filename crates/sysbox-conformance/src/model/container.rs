//! What is known of one container.

use std::collections::{BTreeMap, HashSet};

use sysbox_core::{AbsPath, ContainerConfig, ErrorKind, IdMappings, Mount, ShiftType};

use super::{ids::Userns, namespaces::Namespaces, refusal::Refusal};

/// The order in which containers were registered for the first time.
pub(super) type Nr = u64;

/// A registered container.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) nr: Nr,
    /// Whose ids it has.
    pub(super) userns: Userns,
    pub(super) state: State,
    pub(super) namespaces: Namespaces,
    pub(super) mappings: Mappings,
    pub(super) rootfs_shift: ShiftType,
    /// The mounts it was given, by the number of their kind and the destination; a restart gets them again.
    pub(super) mounts: BTreeMap<(u32, AbsPath), Mount>,
    /// The directories that shiftfs is marked on for this run.
    pub(super) marks: HashSet<AbsPath>,
    pub(super) clone: Option<RootfsClone>,
}

/// The clone of a rootfs.
#[derive(Debug)]
pub(super) struct RootfsClone {
    pub(super) path: AbsPath,
    /// Whether its owners are the container's.
    pub(super) shifted: bool,
}

/// Whether a container's processes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Paused,
    Stopped,
}

impl State {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl Container {
    /// Ends a run: what belongs to it is undone, what a restart needs is kept. Its namespaces go with its processes.
    pub(super) fn stop(&mut self) {
        self.state = State::Stopped;
        self.namespaces = Namespaces::default();
        self.marks.clear();
        if let Some(clone) = &mut self.clone {
            clone.shifted = false;
        }
    }

    /// That it cannot be done in this state.
    pub(super) fn wrong_state(&self, done: &str, cure: &str) -> Refusal {
        let state = self.state.name();
        Refusal::new(ErrorKind::FailedPrecondition, format!("is {state} and cannot be {done}; {cure}"))
    }
}

/// The id mappings of both kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mappings {
    pub(super) uids: IdMappings,
    pub(super) gids: IdMappings,
}

impl Mappings {
    pub(super) fn new(uids: &IdMappings, gids: &IdMappings) -> Self {
        Self { uids: uids.clone(), gids: gids.clone() }
    }

    /// Each kind as it is here, or as in `other` where it is empty here.
    #[must_use]
    pub(super) fn or(self, other: &Self) -> Self {
        let first = |own: IdMappings, other: &IdMappings| if own.is_empty() { other.clone() } else { own };
        Self { uids: first(self.uids, &other.uids), gids: first(self.gids, &other.gids) }
    }

    /// A configuration that mandates them.
    pub(super) fn mandate(&self, config: ContainerConfig) -> ContainerConfig {
        ContainerConfig { uid_mappings: self.uids.clone(), gid_mappings: self.gids.clone(), ..config }
    }
}
