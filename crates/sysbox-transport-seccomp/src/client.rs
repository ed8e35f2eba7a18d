//! The port on tokio: a connection for each hand-over, all of it under one deadline.

use std::{
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use sysbox_core::{AbsPath, Deadlines, Operation, PortError, SeccompPort, port::SeccompInit};
use sysbox_transport::{Stream, dial};

use crate::outgoing::{Answer, Failure, message, send, whole};

/// How a client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// By when a hand-over must be acknowledged, connecting included.
    pub deadlines: Deadlines,
    /// How long it goes on trying to connect where nobody listens yet.
    pub patience: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { deadlines: Deadlines::default(), patience: Duration::from_secs(3) }
    }
}

impl ClientOptions {
    /// The time of a hand-over, and how much of it connecting may take.
    pub(crate) fn limits(&self) -> (Duration, Duration) {
        let within = self.deadlines.of(Operation::SendSeccompInit);
        (within, self.patience.min(within))
    }
}

/// Who takes seccomp descriptors behind a unix socket: Sysbox's fs daemon, or [`serve_seccomp`](crate::serve_seccomp).
///
/// An error is `Unavailable` where nobody listens, `InvalidArgument` where the container's id is too long for the channel
/// (about 73 characters), `DeadlineExceeded` where no acknowledgement comes in time, and `Internal` with a
/// [`NoAck`](crate::NoAck) as its source where the connection is closed or something else comes.
#[derive(Clone, Debug)]
pub struct SeccompClient {
    socket: AbsPath,
    options: ClientOptions,
}

impl SeccompClient {
    /// Hands over on this socket. Nothing is connected before the first call.
    pub const fn new(socket: AbsPath, options: ClientOptions) -> Self {
        Self { socket, options }
    }

    async fn hand_over(&self, message: &str, fd: BorrowedFd<'_>) -> Result<(), Failure> {
        let (within, patience) = self.options.limits();
        let until = Instant::now() + within;
        // That nobody listens is told as such, and not as a deadline.
        let mut stream = dial(&self.socket, patience).await.map_err(Failure::Dial)?;
        let exchange = exchange(&mut stream, message, fd);
        tokio::time::timeout_at(until.into(), exchange).await.unwrap_or(Err(Failure::Late))
    }
}

async fn exchange(stream: &mut Stream, message: &str, fd: BorrowedFd<'_>) -> Result<(), Failure> {
    let sent = stream.send_with(|socket| send(socket, message, fd)).await?;
    whole(sent, message)?;
    let mut answer = Answer::default();
    loop {
        let read = stream.recv_with(|socket| answer.receive(socket)).await?;
        if answer.is_ack(read)? {
            return Ok(());
        }
    }
}

#[async_trait]
impl SeccompPort for SeccompClient {
    async fn send_init<'fd>(&self, request: &SeccompInit, fd: BorrowedFd<'fd>) -> Result<(), PortError> {
        let message = message(request)?;
        let (within, _) = self.options.limits();
        self.hand_over(&message, fd).await.map_err(|failure| failure.into_port_error(request, within))
    }
}
