//! The async API in a process that has no runtime: OCI runtimes are synchronous, fork, and must have one thread when they do.
//!
//! [`wait`] runs one call to its end on the calling thread. Between calls no thread of ours is alive, no signal handler is
//! set, and every descriptor of ours is closed on exec, so the process may fork at any time.

/// Waits for a call of this library on the calling thread.
///
/// It must not be called from within an async runtime; there, await the call instead.
///
/// ```
/// use sysbox::{Sysbox, blocking, session::Ports};
///
/// let mut sysbox = Sysbox::new("c1".parse()?, Ports::default());
/// blocking::wait(sysbox.teardown())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn wait<F: Future>(call: F) -> F::Output {
    pollster::block_on(call)
}
