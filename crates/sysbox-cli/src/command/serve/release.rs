//! Beside serving: what a process before left half done is mended, and containers whose rootfs goes are released.

use std::{os::unix::net::UnixStream, sync::Arc, thread};

use anyhow::Context;
use sysbox::embedded::EmbeddedMgr;

/// The thread that does it.
#[derive(Debug)]
pub(super) struct Releasing {
    /// Closed, it tells the thread to end.
    stop: UnixStream,
    thread: thread::JoinHandle<()>,
}

impl Releasing {
    /// Starts it.
    pub(super) fn start(mgr: Arc<EmbeddedMgr>) -> anyhow::Result<Self> {
        let (stop, told) = UnixStream::pair().context("cannot make a pair of sockets")?;
        let work = move || {
            mend(&mgr);
            if let Err(error) = mgr.release_when_gone(&told) {
                tracing::warn!(error = format!("{:#}", anyhow::Error::from(error)), "not watching");
            }
        };
        let thread = thread::Builder::new().name("sysbox-release".to_owned()).spawn(work);
        Ok(Self { stop, thread: thread.context("cannot start a thread")? })
    }

    /// Ends it; a container that is being released is released first.
    pub(super) fn end(self) {
        let Self { stop, thread } = self;
        drop(stop);
        if thread.join().is_err() {
            tracing::error!("the thread that releases containers has panicked");
        }
    }
}

fn mend(mgr: &EmbeddedMgr) {
    match mgr.repair() {
        Ok(repairs) => {
            for mended in repairs.mended {
                let (container, left) = (&mended.container, mended.intent.words());
                match mended.failure {
                    None => tracing::info!(%container, left, "mended"),
                    Some(error) => {
                        tracing::error!(%container, left, %error, "it cannot be mended; the next call tries again")
                    }
                }
            }
            for stray in repairs.strays {
                tracing::warn!(path = %stray.path, container = stray.container, "its container is on no record; see sysbox repair");
            }
        }
        Err(error) => {
            tracing::error!(error = format!("{:#}", anyhow::Error::from(error)), "nothing can be mended")
        }
    }
}
