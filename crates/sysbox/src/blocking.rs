//! The async API in a process that has no runtime: OCI runtimes are synchronous, fork, and must have one thread when they do.
//!
//! [`wait`] runs one call to its end on the calling thread. Between calls no thread of ours is alive, no signal handler is
//! set, and every descriptor of ours is closed on exec, so the process may fork at any time. A connection to a daemon is kept
//! between calls; a child that goes on after a fork makes its own.
//!
//! A process with several threads must not fork while one of them is within a call: in the child a lock that this one held stays
//! locked, and the next call waits for it for ever. With the embedded backend it keeps to `Connections::PerCall`, the default.
//! No timeout ends a call of that backend, which does its work without giving way; who cannot wait makes it on a thread of its
//! own.

#[cfg(feature = "sockets")]
use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

/// Waits for a call of this library on the calling thread.
///
/// For up to 100 microseconds it waits actively, which for a daemon that answers at once is twice as fast as to sleep.
///
/// It is not for use within an async runtime, for it holds up a thread of that; there, await the call, or wait on a thread for
/// which blocking is no harm, as in tokio's `spawn_blocking`.
///
/// # Panics
/// Where it is called from within a runtime of tokio, or from within another `wait`, and the call is not done at its first poll:
/// calls to daemons are not, those of the embedded backend are. What to do there is said above. The daemon may have carried the
/// call out or not. Without the features `grpc`, `tarpc` and `sockets` it does not panic, and holds up the thread.
///
/// ```
/// use sysbox::{Sysbox, blocking, session::Ports};
///
/// let mut sysbox = Sysbox::new("c1".parse()?, Ports::default());
/// blocking::wait(sysbox.teardown())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg_attr(feature = "sockets", track_caller)]
pub fn wait<F: Future>(call: F) -> F::Output {
    #[cfg(feature = "sockets")]
    if let Some(runtime) = runtime::of_this_process() {
        let mut call = pin!(call);
        // A call of the embedded backend is done by this. So it works also where a runtime refuses to block, as it does in a
        // build without sockets: no crate of a program breaks another by a feature.
        let first = {
            let _entered = runtime.enter();
            call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        };
        return match first {
            Poll::Ready(answer) => answer,
            Poll::Pending => runtime.block_on(sysbox_transport::attentively(call)),
        };
    }
    pollster::block_on(call)
}

/// Closes what is kept between calls, connections to daemons among it; the next call makes it anew.
///
/// Everything that is kept is closed on exec, but a child that is made by fork has it until then. Who makes a child that others
/// will have power over, as the first process of a container, calls this before.
pub fn close() {
    #[cfg(feature = "sockets")]
    runtime::close();
}

/// The runtime that drives connections, on the threads that wait and never on one of its own.
#[cfg(feature = "sockets")]
mod runtime {
    use std::{
        path::PathBuf,
        sync::{Arc, Mutex, PoisonError},
    };

    use tokio::runtime::{Builder, Runtime};

    /// A process: its id, and the pid namespace that it has the id in. A child in a new namespace may have its parent's id.
    type Process = (u32, Option<PathBuf>);

    struct OfProcess {
        process: Process,
        runtime: Arc<Runtime>,
    }

    static RUNTIME: Mutex<Option<OfProcess>> = Mutex::new(None);

    fn this_process() -> Process {
        (std::process::id(), std::fs::read_link("/proc/self/ns/pid").ok())
    }

    /// The runtime of this process; `None` where it has no descriptors left for one, and then calls to daemons say so.
    pub(super) fn of_this_process() -> Option<Arc<Runtime>> {
        let mut kept = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
        let process = this_process();
        if let Some(found) = kept.as_ref().filter(|kept| kept.process == process) {
            return Some(found.runtime.clone());
        }
        let runtime = Arc::new(Builder::new_current_thread().enable_io().enable_time().build().ok()?);
        let of_parent = kept.replace(OfProcess { process, runtime: runtime.clone() });
        // What it watches is shared with the parent: to close it properly would stop the parent's runtime too.
        std::mem::forget(of_parent);
        Some(runtime)
    }

    /// Ends the runtime of this process, and with it the connections that it drives.
    pub(super) fn close() {
        let mut kept = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
        let process = this_process();
        let found = kept.take_if(|kept| kept.process == process);
        drop(kept);
        // Whoever still waits ends it in our place. It has nothing of its own to wait for, also where an async runtime would not
        // let it.
        if let Some(runtime) = found.and_then(|found| Arc::into_inner(found.runtime)) {
            runtime.shutdown_background();
        }
    }
}

#[cfg(all(test, feature = "sockets"))]
mod tests {
    #[tokio::test]
    async fn what_is_kept_can_be_closed_from_within_an_async_runtime() {
        std::thread::spawn(|| super::wait(async {})).join().expect("no panic");
        super::close();
    }

    #[tokio::test]
    async fn a_call_that_is_done_at_its_first_poll_is_waited_for_also_within_an_async_runtime() {
        assert_eq!(super::wait(async { 1 }), 1);
    }

    #[test]
    fn a_call_that_is_done_at_its_first_poll_is_waited_for_also_within_another_wait() {
        let outer = async {
            tokio::task::yield_now().await;
            super::wait(async { 1 })
        };
        assert_eq!(super::wait(outer), 1);
    }

    #[tokio::test]
    async fn any_call_is_waited_for_on_a_thread_where_a_runtime_lets_calls_block() {
        let late = || super::wait(tokio::time::sleep(std::time::Duration::from_millis(1)));
        tokio::task::spawn_blocking(late).await.expect("no panic");
    }

    #[tokio::test]
    async fn a_call_that_must_be_waited_for_within_an_async_runtime_panics() {
        let wait = || super::wait(tokio::task::yield_now());
        assert!(std::panic::catch_unwind(wait).is_err());
    }
}
