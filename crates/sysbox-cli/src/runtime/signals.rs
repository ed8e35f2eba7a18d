//! Signals while a container is made and while it runs.

use std::{
    io,
    os::{fd::AsFd, unix::net::UnixStream},
    time::Instant,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::{
    consts::signal::{
        SIGBUS, SIGCHLD, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGKILL, SIGPIPE, SIGQUIT, SIGSEGV, SIGSTOP, SIGSYS,
        SIGTERM, SIGTRAP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH,
    },
    iterator::{backend::SignalDelivery, exfiltrator::SignalOnly},
};

/// Signals that end what this program is doing, if it is not waiting for a container yet.
const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Signals that are not for the container: they speak of this process, or cannot be caught.
///
/// By the last three a terminal stops who uses it without having its foreground, or who has it. Caught, they would not: the call
/// that the kernel refuses would be begun again without end.
const OURS: [i32; 15] = [
    SIGBUS, SIGCHLD, SIGFPE, SIGILL, SIGKILL, SIGPIPE, SIGSEGV, SIGSTOP, SIGSYS, SIGTRAP, SIGURG, SIGWINCH,
    SIGTSTP, SIGTTIN, SIGTTOU,
];

/// The standard signals, and the real-time ones but for the two that the C library keeps (`signal(7)`).
const SIGNALS: [std::ops::RangeInclusive<i32>; 2] = [1..=31, 34..=64];

/// A signal came before the container was started.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("ended by signal {signal} before the container was started")]
pub(crate) struct Interrupted {
    pub(crate) signal: i32,
}

/// The signals that came. They are caught, not blocked: a caught signal is as it was again in the container's process, a
/// blocked one would stay blocked.
#[derive(Debug)]
pub(crate) struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
}

impl Signals {
    /// Catches signals from now on.
    pub(crate) fn catch() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        // Rust's runtime ignores SIGPIPE, and what is ignored stays so in the container's process; what is caught does not.
        let forwarded = SIGNALS.into_iter().flatten().filter(|&signal| is_forwarded(signal));
        let signals = forwarded.chain([SIGCHLD, SIGWINCH, SIGPIPE]);
        Ok(Self { delivery: SignalDelivery::with_pipe(read, write, SignalOnly, signals)? })
    }

    /// Fails if a signal came that should end the program.
    pub(crate) fn check(&mut self) -> Result<(), Interrupted> {
        match self.pending().into_iter().find(|&signal| is_ending(signal)) {
            Some(signal) => Err(Interrupted { signal }),
            None => Ok(()),
        }
    }

    /// The signals that came since the last call.
    pub(crate) fn pending(&mut self) -> Vec<i32> {
        self.delivery.pending().collect()
    }

    /// Readable when a signal has come.
    pub(crate) fn descriptor(&self) -> &UnixStream {
        self.delivery.get_read()
    }
}

/// Whether a signal is one that ends programs.
pub(crate) fn is_ending(signal: i32) -> bool {
    ENDING.contains(&signal)
}

/// Whether a signal is passed on to the container.
pub(crate) fn is_forwarded(signal: i32) -> bool {
    !OURS.contains(&signal)
}

/// Waits until a descriptor is readable or the deadline has passed; tells which.
pub(crate) fn wait_readable(fd: impl AsFd, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}
