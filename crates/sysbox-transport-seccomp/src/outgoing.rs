//! The sender's half, whoever waits: one message out, three bytes back, and what each failure is to the port.
//!
//! Nothing here blocks: a call that would is told `EAGAIN`.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::BorrowedFd,
    time::Duration,
};

use rustix::{
    cmsg_space,
    io::Errno,
    net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, sendmsg},
};
use sysbox_core::{ErrorKind, Operation, PortError, port::SeccompInit};
use sysbox_transport::DialError;

use crate::message::{ACK, SYSBOX_FS_LIMIT, encode};

/// The message of a request, if whoever listens can take it.
pub(crate) fn message(request: &SeccompInit) -> Result<String, PortError> {
    let SeccompInit { pid, id } = request;
    let refuse =
        |message| Err(PortError::new(Operation::SendSeccompInit, ErrorKind::InvalidArgument, message));
    if *pid <= 0 {
        return refuse(format!(
            "container {id}: pid {pid} is no process; give that of the process with the filter"
        ));
    }
    let message = encode(request);
    let length = message.len();
    if length > SYSBOX_FS_LIMIT {
        let longest = id.as_str().len().saturating_sub(length - SYSBOX_FS_LIMIT);
        return refuse(format!(
            "container {id}: the seccomp message has {length} bytes, and sysbox-fs takes {SYSBOX_FS_LIMIT}; \
             give the container an id of at most {longest} characters"
        ));
    }
    Ok(message)
}

/// Sends the message and the descriptor as one.
pub(crate) fn send(socket: BorrowedFd<'_>, message: &str, fd: BorrowedFd<'_>) -> Result<usize, Errno> {
    let fds = [fd];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fits = control.push(SendAncillaryMessage::ScmRights(&fds));
    debug_assert!(fits, "the space is that of one descriptor");
    sendmsg(
        socket,
        &[IoSlice::new(message.as_bytes())],
        &mut control,
        SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    )
}

/// The message goes at once or not at all: a daemon that reads once would not see the rest.
pub(crate) fn whole(sent: usize, message: &str) -> Result<(), Failure> {
    if sent == message.len() { Ok(()) } else { Err(Failure::Io(io::ErrorKind::WriteZero.into())) }
}

/// The answer as it comes in.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    bytes: [u8; ACK.len()],
    len: usize,
}

impl Answer {
    /// Takes more of it.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        let read = recv(socket, &mut self.bytes[self.len..], RecvFlags::DONTWAIT)?.0;
        self.len += read;
        Ok(read)
    }

    /// Whether it is the whole acknowledgement, after `read` more bytes.
    pub(crate) fn is_ack(&self, read: usize) -> Result<bool, NoAck> {
        if read == 0 {
            return Err(NoAck::Closed { source: None });
        }
        let found = &self.bytes[..self.len];
        if !ACK.starts_with(found) {
            return Err(NoAck::Other { found: found.to_vec() });
        }
        Ok(found == ACK)
    }
}

/// What came in place of the acknowledgement: the source of the port's error of kind `Internal`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoAck {
    /// The end. It is all that a receiver can do that refuses.
    #[error("the connection was closed without an acknowledgement")]
    Closed {
        /// What the kernel said, if anything.
        #[source]
        source: Option<io::Error>,
    },
    /// Other bytes.
    #[error("the answer begins with {:?}, where \"ack\" is due", String::from_utf8_lossy(found))]
    Other {
        /// The first of them.
        found: Vec<u8>,
    },
}

/// Why a hand-over came to nothing, once it had begun.
#[derive(Debug)]
pub(crate) enum Failure {
    Dial(DialError),
    Io(io::Error),
    NoAck(NoAck),
    Late,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // A receiver that closes may do so before the message is there, or before it has read it.
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                Self::NoAck(NoAck::Closed { source: Some(error) })
            }
            _ => Self::Io(error),
        }
    }
}

impl From<NoAck> for Failure {
    fn from(error: NoAck) -> Self {
        Self::NoAck(error)
    }
}

impl Failure {
    /// The port's error, of a hand-over that had `within` to succeed.
    pub(crate) fn into_port_error(self, request: &SeccompInit, within: Duration) -> PortError {
        let SeccompInit { pid, id } = request;
        let error = |kind, message| PortError::new(Operation::SendSeccompInit, kind, message);
        let whose = format!("container {id}: the seccomp descriptor of process {pid}");
        match self {
            Self::Dial(dial) => {
                error(dial_kind(&dial.source), format!("container {id}: {dial}")).with_source(dial.source)
            }
            Self::NoAck(source) => {
                let message = format!("{whose} was not taken; the fs daemon's log has the reason");
                error(ErrorKind::Internal, message).with_source(source)
            }
            Self::Late => {
                let message = format!(
                    "{whose} was not acknowledged within {within:?}, and may have been taken or not; \
                     see whether the fs daemon hangs"
                );
                error(ErrorKind::DeadlineExceeded, message)
            }
            Self::Io(source) => {
                let too_many = Errno::from_io_error(&source) == Some(Errno::TOOMANYREFS);
                let (kind, advice) = if too_many {
                    (ErrorKind::ResourceExhausted, "too many are on their way; raise the limit of open files")
                } else {
                    (ErrorKind::Internal, "look into the cause")
                };
                error(kind, format!("{whose} cannot be sent: {advice}")).with_source(source)
            }
        }
    }
}

fn dial_kind(source: &io::Error) -> ErrorKind {
    match Errno::from_io_error(source) {
        Some(Errno::ACCESS | Errno::PERM) => ErrorKind::PermissionDenied,
        Some(Errno::MFILE | Errno::NFILE) => ErrorKind::ResourceExhausted,
        Some(Errno::NAMETOOLONG) => ErrorKind::InvalidArgument,
        _ => ErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn init(pid: i32, len: usize) -> SeccompInit {
        SeccompInit { pid, id: "x".repeat(len).parse().expect("valid") }
    }

    #[test]
    fn a_message_of_100_bytes_is_sent_and_one_of_101_is_refused_with_what_would_fit() {
        assert_eq!(message(&init(4_194_304, 73)).expect("fits").len(), 100);
        let error = message(&init(4_194_304, 74)).expect_err("too long");
        assert_eq!((error.operation, error.kind), (Operation::SendSeccompInit, ErrorKind::InvalidArgument));
        let expected = format!(
            "container {}: the seccomp message has 101 bytes, and sysbox-fs takes 100; \
             give the container an id of at most 73 characters",
            "x".repeat(74)
        );
        assert_eq!(error.to_string(), expected);
        assert!(message(&init(1, 1024)).is_err());
    }

    #[test]
    fn a_pid_that_no_process_has_is_refused() {
        for pid in [0, -1, i32::MIN] {
            assert_eq!(message(&init(pid, 1)).expect_err("no process").kind, ErrorKind::InvalidArgument);
        }
    }

    #[test]
    fn too_many_descriptors_on_their_way_are_told_apart_from_other_failures() {
        let kind = |errno: Errno| {
            let failure = Failure::from(io::Error::from(errno));
            failure.into_port_error(&init(1, 1), Duration::ZERO).kind
        };
        assert_eq!(kind(Errno::TOOMANYREFS), ErrorKind::ResourceExhausted);
        assert_eq!(kind(Errno::NOBUFS), ErrorKind::Internal);
    }
}
