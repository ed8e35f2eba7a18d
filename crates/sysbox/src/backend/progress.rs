//! Who is told how far the embedded backend has come with what takes long.

use std::{fmt, sync::Arc};

use sysbox_embedded::{Tell, WorkProgress};

/// Who is told how far long work on files has come: copies of volumes, shifts of owners. It is told from several threads, in no
/// order, and what it does holds the work up.
#[derive(Clone)]
pub struct OnProgress(Arc<Tell>);

impl OnProgress {
    /// Whoever this function is.
    pub fn new(tell: impl Fn(&WorkProgress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Tells.
    pub fn tell(&self, progress: &WorkProgress) {
        (self.0)(progress);
    }

    pub(super) fn teller(&self) -> Arc<Tell> {
        self.0.clone()
    }
}

impl fmt::Debug for OnProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnProgress").finish_non_exhaustive()
    }
}
