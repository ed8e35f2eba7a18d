//! Doing one thing with the file ids of another user, and all capabilities kept.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::{
    process::{DumpableBehavior, dumpable_behavior, set_dumpable_behavior},
    thread::{CapabilitySets, capabilities, set_capabilities},
};
use sysbox_core::{HostError, Owner};

use crate::{error::failed, sys};

/// Runs `work` on this thread as `owner` where files are concerned (`setfsuid(2)`).
///
/// The thread's ids and capabilities are as before afterwards, also when `work` fails or panics.
pub(crate) fn with<T>(owner: Owner, work: impl FnOnce() -> Result<T, HostError>) -> Result<T, HostError> {
    let _as_owner = AsOwner::new(owner)?;
    work()
}

/// Whether a process is dumpable belongs to all its threads, and taking other ids clears it: one at a time, so that each
/// finds it as it was.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

struct AsOwner {
    ids_before: (u32, u32),
    capabilities: CapabilitySets,
    dumpable: DumpableBehavior,
    _turn: MutexGuard<'static, ()>,
}

impl AsOwner {
    fn new(owner: Owner) -> Result<Self, HostError> {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let this = Self {
            ids_before: sys::fs_ids(),
            capabilities: capabilities(None).map_err(failed("read", "the capabilities of this thread"))?,
            dumpable: dumpable_behavior().map_err(failed("read", "whether this process is dumpable"))?,
            _turn: turn,
        };
        sys::set_fs_ids(owner.uid.0, owner.gid.0).map_err(failed("use files as", owner))?;
        // Leaving user 0 took CAP_DAC_OVERRIDE and its like out of the effective set (`capabilities(7)`).
        set_capabilities(None, this.capabilities).map_err(failed("keep the capabilities as", owner))?;
        Ok(this)
    }
}

impl Drop for AsOwner {
    fn drop(&mut self) {
        // Root may always take these back. A thread that could not would be refused every file it opens: that is seen.
        let (uid, gid) = self.ids_before;
        let restored = sys::set_fs_ids(uid, gid).is_ok() && set_capabilities(None, self.capabilities).is_ok();
        if !restored {
            tracing::error!("this thread could not take back its own file ids");
        }
        if self.dumpable == DumpableBehavior::Dumpable {
            // Only a value that does not exist is refused.
            let _ = set_dumpable_behavior(DumpableBehavior::Dumpable);
        }
    }
}
