//! The points of a call at which something outside of this process has just changed: where a crash is tried in tests.

#[cfg(feature = "crash-points")]
use std::sync::OnceLock;

#[cfg(feature = "crash-points")]
type Hook = Box<dyn Fn(&'static str) + Send + Sync>;

#[cfg(feature = "crash-points")]
static HOOK: OnceLock<Hook> = OnceLock::new();

/// Calls `hook` after every step of every call of this process from now on, with the name of the step. The first hook stays.
///
/// For tests of crashes: a hook may end the process.
#[cfg(feature = "crash-points")]
pub fn on_step(hook: impl Fn(&'static str) + Send + Sync + 'static) {
    if HOOK.set(Box::new(hook)).is_err() {
        tracing::debug!("steps are told to the first hook");
    }
}

/// A step has just been taken.
#[cfg_attr(
    not(feature = "crash-points"),
    expect(clippy::missing_const_for_fn, reason = "it calls a hook in tests")
)]
pub(crate) fn step(name: &'static str) {
    #[cfg(feature = "crash-points")]
    if let Some(hook) = HOOK.get() {
        hook(name);
    }
    #[cfg(not(feature = "crash-points"))]
    let _ = name;
}
