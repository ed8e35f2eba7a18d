//! Signals of this thread.

use std::io;

use crate::sys::AllSignalsBlocked;

/// Does something short during which this thread takes no signal, also none that the kernel would send for it: a background
/// process group may then use its terminal as one in the foreground does (`tcsetattr(3)`, `SIGTTOU`).
///
/// # Errors
/// When signals cannot be blocked; then nothing is done.
pub fn without_signals<T>(work: impl FnOnce() -> T) -> io::Result<T> {
    let _blocked = AllSignalsBlocked::new()?;
    Ok(work())
}
