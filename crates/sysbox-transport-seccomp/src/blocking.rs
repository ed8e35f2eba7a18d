//! Both ends without an async runtime, for a program that forks: no thread, no signal, every descriptor closed on exec.
//!
//! A connection that is given may block or not; its state is left as it is.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use sysbox_core::{AbsPath, Deadlines, PortError, port::SeccompInit};
use sysbox_transport::{Backoff, DialError, try_connect};

use crate::{
    ClientOptions, HandOver, ReceiveError,
    incoming::{Incoming, send_ack},
    outgoing::{Answer, Failure, message, send, whole},
};

/// Hands a descriptor over as [`SeccompClient`](crate::SeccompClient) does, and waits on this thread.
///
/// # Errors
/// As [`SeccompPort::send_init`](sysbox_core::SeccompPort::send_init); `Unavailable` where nobody listens.
///
/// ```no_run
/// use std::{fs::File, os::fd::AsFd};
/// use sysbox_core::{AbsPath, port::SeccompInit};
/// use sysbox_transport_seccomp::{ClientOptions, blocking};
///
/// # fn example(notify: File) -> Result<(), Box<dyn std::error::Error>> {
/// let socket = AbsPath::new("/run/sysbox/sysfs-seccomp.sock")?;
/// let init = SeccompInit { pid: 4711, id: "web-1".parse()? };
/// blocking::send_init(&socket, &init, notify.as_fd(), ClientOptions::default())?;
/// # Ok(())
/// # }
/// ```
pub fn send_init(
    socket: &AbsPath,
    request: &SeccompInit,
    fd: BorrowedFd<'_>,
    options: ClientOptions,
) -> Result<(), PortError> {
    let message = message(request)?;
    let (within, patience) = options.limits();
    let until = Instant::now() + within;
    connect(socket, patience)
        .map_err(Failure::Dial)
        .and_then(|stream| exchange(&stream, &message, fd, until))
        .map_err(|failure| failure.into_port_error(request, within))
}

/// Hands a descriptor over on a connection that is there.
///
/// # Errors
/// As [`send_init`]. The connection is of no further use then.
pub fn send_init_on(
    stream: &UnixStream,
    request: &SeccompInit,
    fd: BorrowedFd<'_>,
    within: Duration,
) -> Result<(), PortError> {
    let message = message(request)?;
    let (within, until) = deadline(within);
    exchange(stream, &message, fd, until).map_err(|failure| failure.into_port_error(request, within))
}

/// Receives a hand-over, which the sender then waits to see [acknowledged](acknowledge).
///
/// # Errors
/// [`ReceiveError`]; the connection is of no further use then, and is to be dropped.
pub fn receive(stream: &UnixStream, within: Duration) -> Result<HandOver, ReceiveError> {
    let (within, until) = deadline(within);
    let mut incoming = Incoming::default();
    loop {
        let more = when_ready(stream, PollFlags::IN, until, |socket| incoming.receive(socket));
        let Some(read) = more.map_err(ReceiveError::Io)? else { return Err(incoming.late(within)) };
        if let Some(hand_over) = incoming.put_together(read)? {
            return Ok(hand_over);
        }
    }
}

/// Tells the sender that its descriptor was taken.
///
/// # Errors
/// What the kernel says; a sender that has gone is a broken pipe.
pub fn acknowledge(stream: &UnixStream) -> io::Result<()> {
    send_ack(stream.as_fd())?;
    Ok(())
}

fn deadline(within: Duration) -> (Duration, Instant) {
    let within = within.min(Deadlines::LONGEST);
    (within, Instant::now() + within)
}

/// As `sysbox_transport::dial`, on this thread.
fn connect(socket: &AbsPath, patience: Duration) -> Result<UnixStream, DialError> {
    let mut backoff = Backoff::new(patience);
    loop {
        match try_connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(error) => match backoff.next_wait().filter(|_| error.may_pass()) {
                Some(wait) => thread::sleep(wait),
                None => return Err(error),
            },
        }
    }
}

fn exchange(stream: &UnixStream, message: &str, fd: BorrowedFd<'_>, until: Instant) -> Result<(), Failure> {
    let sent = when_ready(stream, PollFlags::OUT, until, |socket| send(socket, message, fd))?;
    whole(sent.ok_or(Failure::Late)?, message)?;
    let mut answer = Answer::default();
    loop {
        let read = when_ready(stream, PollFlags::IN, until, |socket| answer.receive(socket))?;
        if answer.is_ack(read.ok_or(Failure::Late)?)? {
            return Ok(());
        }
    }
}

/// Makes a call that does not block, once the stream is ready for it; `None` once the time is over.
fn when_ready(
    stream: &UnixStream,
    ready: PollFlags,
    until: Instant,
    mut call: impl FnMut(BorrowedFd<'_>) -> Result<usize, Errno>,
) -> io::Result<Option<usize>> {
    loop {
        // Asked each time, so that a peer that is always ready does not outlast it.
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        match call(stream.as_fd()) {
            Ok(done) => return Ok(Some(done)),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => {}
            Err(errno) => return Err(errno.into()),
        }
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(stream, ready)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
