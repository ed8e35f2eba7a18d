//! The receiver's half: bytes and descriptors put together to one hand-over.
//!
//! Every descriptor that the kernel gives is owned from the moment it is there, and so closed on each way that fails.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::{
    cmsg_space,
    io::Errno,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, recvmsg, send},
};
use sysbox_core::{Deadlines, port::SeccompInit};
use sysbox_transport::Stream;

use crate::message::{ACK, InvalidMessage, MAX_MESSAGE, decode};

/// The most descriptors that one message carries: the kernel's `SCM_MAX_FD`. With room for all of them, those too many are
/// counted and not cut off.
const MAX_FDS: usize = 253;

/// What was handed over.
#[derive(Debug)]
pub struct HandOver {
    /// Whose descriptor it is.
    pub init: SeccompInit,
    /// The descriptor, closed on exec. What it is, is not looked at.
    pub fd: OwnedFd,
}

/// Receives a hand-over, which the sender then waits to see [acknowledged](acknowledge).
///
/// # Errors
/// [`ReceiveError`]; the connection is of no further use then, and is to be dropped.
pub async fn receive(stream: &mut Stream, within: Duration) -> Result<HandOver, ReceiveError> {
    let within = within.min(Deadlines::LONGEST);
    let mut incoming = Incoming::default();
    let whole = async {
        loop {
            let read = stream.recv_with(|socket| incoming.receive(socket)).await.map_err(ReceiveError::Io)?;
            if let Some(hand_over) = incoming.put_together(read)? {
                return Ok(hand_over);
            }
        }
    };
    let outcome = tokio::time::timeout(within, whole).await;
    outcome.unwrap_or_else(|_| Err(incoming.late(within)))
}

/// Tells the sender that its descriptor was taken.
///
/// # Errors
/// What the kernel says; a sender that has gone is a broken pipe.
pub async fn acknowledge(stream: &mut Stream) -> io::Result<()> {
    stream.send_with(send_ack).await.map(drop)
}

/// Three bytes fit into the buffer of a socket that nothing was sent on.
pub(crate) fn send_ack(socket: BorrowedFd<'_>) -> Result<usize, Errno> {
    send(socket, ACK, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
}

/// A hand-over as it comes in.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
    lost: bool,
}

impl Incoming {
    /// Takes more of it, without blocking.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        let mut bytes = [0; MAX_MESSAGE + 1];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        self.lost |= received.flags.contains(ReturnFlags::CTRUNC);
        self.bytes.extend_from_slice(&bytes[..received.bytes]);
        Ok(received.bytes)
    }

    /// The hand-over, if it is whole after `read` more bytes.
    pub(crate) fn put_together(&mut self, read: usize) -> Result<Option<HandOver>, ReceiveError> {
        let received = self.bytes.len();
        if self.lost {
            return Err(ReceiveError::DescriptorsLost);
        }
        if self.fds.len() > 1 {
            return Err(ReceiveError::SeveralDescriptors { count: self.fds.len() });
        }
        if received > MAX_MESSAGE {
            return Err(ReceiveError::TooLarge);
        }
        match decode(&self.bytes) {
            Ok(init) => {
                let fd = self.fds.pop().ok_or(ReceiveError::NoDescriptor)?;
                Ok(Some(HandOver { init, fd }))
            }
            Err(InvalidMessage::Incomplete) if read == 0 => Err(ReceiveError::EndOfStream { received }),
            Err(InvalidMessage::Incomplete) => Ok(None),
            Err(invalid) => Err(ReceiveError::Message(invalid)),
        }
    }

    /// The error of one that is not whole in time.
    pub(crate) fn late(&self, within: Duration) -> ReceiveError {
        ReceiveError::DeadlineExceeded { within, received: self.bytes.len() }
    }
}

/// A connection did not bring a hand-over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The kernel dropped descriptors that came with the message (`MSG_CTRUNC`).
    #[error(
        "a descriptor came with the message and was lost; raise the limit of open files (RLIMIT_NOFILE), or see whether a \
         security module keeps this process from having it"
    )]
    DescriptorsLost,
    /// The message is whole, and no descriptor came with it.
    #[error("the message came without a descriptor, where one is due")]
    NoDescriptor,
    /// More than one descriptor came. All are closed.
    #[error("{count} descriptors came with the message, where one is due")]
    SeveralDescriptors {
        /// How many, until they were too many.
        count: usize,
    },
    /// More than [`MAX_MESSAGE`] bytes.
    #[error("the message has more than {MAX_MESSAGE} bytes")]
    TooLarge,
    /// The bytes are not the message.
    #[error(transparent)]
    Message(InvalidMessage),
    /// The peer closed the connection before the message was whole.
    #[error("the connection ended after {received} bytes, before the message was whole")]
    EndOfStream {
        /// How many had come. With none, the peer may only have looked whether someone listens.
        received: usize,
    },
    /// The message was not whole in time.
    #[error("the message was not whole within {within:?}; {received} bytes of it came")]
    DeadlineExceeded {
        /// The time it had.
        within: Duration,
        /// How many bytes had come.
        received: usize,
    },
    /// A call to the system failed.
    #[error("cannot receive the message")]
    Io(#[source] io::Error),
}
