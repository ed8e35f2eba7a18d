//! The reference: every rule of both ports, stated as plainly as it can be, in memory.
//!
//! Nothing is on disk, there is no clock, and no rootfs, mount or owner is ever touched. The one thing asked of the host is
//! which namespace a path names (`stat(2)`), because whose ids a container has depends on it.

mod container;
mod files;
mod fs;
mod ids;
mod lifecycle;
mod manager;
mod mgr;
mod namespaces;
mod refusal;
mod register;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};

use sysbox_core::IdRange;

use self::{fs::FsDaemon, manager::Manager, refusal::Refusal};

/// A manager and an fs daemon that keep all rules, in memory.
///
/// It answers at once and without a runtime. A call takes microseconds however many containers there are, so it also serves
/// to measure what is between it and a caller. What it knows is lost with it.
///
/// ```
/// use std::sync::Arc;
/// use sysbox_conformance::Model;
/// use sysbox_core::{IdRange, session::Ports};
///
/// let model = Arc::new(Model::new(IdRange::new(1 << 30, 16 << 16)?));
/// let ports = Ports { mgr: Some(model.clone()), fs: Some(model), seccomp: None };
/// # let _ = ports;
/// # Ok::<(), sysbox_core::InvalidIdRange>(())
/// ```
#[derive(Debug)]
pub struct Model {
    manager: Mutex<Manager>,
    fs: Mutex<FsDaemon>,
}

impl Model {
    /// One that knows no container, and gives these ids of the host, as user ids and as group ids.
    ///
    /// A range begins at a multiple of 65,536 that is not below its size: a pool of `n * 65_536` ids from any such multiple
    /// but 0 on gives `n` ranges of 65,536 ids.
    pub fn new(ids: IdRange) -> Self {
        Self { manager: Mutex::new(Manager::new(ids)), fs: Mutex::default() }
    }

    /// The ids that a container has now, if it was given any.
    #[cfg(feature = "suite")]
    pub(crate) fn ids_of(&self, id: &sysbox_core::ContainerId) -> Option<sysbox_core::Subids> {
        self.manager.lock().unwrap_or_else(PoisonError::into_inner).ids_of(id)
    }

    fn manager<T>(&self, work: impl FnOnce(&mut Manager) -> Result<T, Refusal>) -> Result<T, Refusal> {
        work(&mut self.manager.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn daemon<T>(&self, work: impl FnOnce(&mut FsDaemon) -> Result<T, Refusal>) -> Result<T, Refusal> {
        work(&mut self.fs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
