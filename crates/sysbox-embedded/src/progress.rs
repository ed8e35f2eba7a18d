//! Telling how far long work has come.

use std::{fmt, sync::Arc};

use sysbox_core::{AbsPath, ContainerId};

/// Work on files that can take long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// What the rootfs has is copied into a volume.
    SyncIn,
    /// What a volume has is copied back into the rootfs.
    SyncOut,
    /// Owners are shifted, or shifted back.
    Chown,
}

/// How far work on the files of a container has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkProgress {
    /// The container.
    pub container: ContainerId,
    /// What is done.
    pub work: Work,
    /// The tree that is worked on: for copies the volume.
    pub path: AbsPath,
    /// Inodes that were dealt with.
    pub done: u64,
    /// Inodes that must be, as far as is known by now.
    pub total: u64,
}

/// Takes what is told of work, from several threads.
pub type Tell = dyn Fn(&WorkProgress) + Send + Sync;

/// Whoever wants to know.
#[derive(Clone, Default)]
pub(crate) struct Watcher(Option<Arc<Tell>>);

impl Watcher {
    pub(crate) fn new(tell: Arc<Tell>) -> Self {
        Self(Some(tell))
    }

    /// Tells, from whichever thread does the work.
    pub(crate) fn tell(&self, progress: &WorkProgress) {
        if let Some(tell) = &self.0 {
            tell(progress);
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watcher").field(&self.0.is_some()).finish()
    }
}
