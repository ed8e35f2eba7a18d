//! A port behind a socket: one task for each connection, and so many at once.
//!
//! A connection ends in an acknowledgement, or in a log line that says why there is none; the wire has no word for no.

use std::{
    error::Error,
    io,
    os::fd::AsFd,
    sync::Arc,
    time::{Duration, Instant},
};

use sysbox_core::{AbsPath, Deadlines, PortError, SeccompPort};
use sysbox_transport::{Listener, Peer, PeerPolicy, Stream};
use tokio::{
    task::{JoinError, JoinSet},
    time::timeout_at,
};
use tokio_util::sync::CancellationToken;

use crate::{HandOver, ReceiveError, acknowledge, receive};

/// What is served to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// Which users are served.
    pub peers: PeerPolicy,
    /// The time of a connection, from when it was accepted to its acknowledgement.
    pub deadline: Duration,
    /// How many connections are served at once, at least one; further ones wait in the kernel's queue.
    pub connections: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self { peers: PeerPolicy::default(), deadline: Duration::from_secs(20), connections: 256 }
    }
}

/// Serves a port until told to stop. The socket is removed then, and what has begun is brought to its end, which takes no
/// longer than the deadline of a connection.
///
/// # Errors
/// [`ServeError`] where no connection can be accepted any more; what has begun is brought to its end also then. A lack of
/// descriptors is waited out.
///
/// # Panics
/// Outside a tokio runtime with I/O and time enabled.
pub async fn serve_seccomp(
    port: Arc<dyn SeccompPort>,
    listener: Listener,
    options: ServerOptions,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let options = Arc::new(options);
    let mut running = JoinSet::new();
    let begin = |running: &mut JoinSet<()>, stream| {
        running.spawn(serve_connection(stream, port.clone(), options.clone()));
    };
    let accepting = accept_all(&listener, options.connections.max(1), &mut running, begin);
    let outcome = stop.run_until_cancelled(accepting).await.unwrap_or(Ok(()));
    let outcome = outcome.map_err(|source| ServeError::Accept { socket: listener.path().clone(), source });
    drop(listener);
    while let Some(ended) = running.join_next().await {
        log_broken(ended);
    }
    outcome
}

/// A socket can no longer be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The kernel gives no more connections.
    #[error("cannot accept connections on socket {socket}")]
    Accept {
        /// The socket.
        socket: AbsPath,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Begins each connection, no more than `limit` at once, for ever or until an error that does not pass.
async fn accept_all(
    listener: &Listener,
    limit: usize,
    running: &mut JoinSet<()>,
    begin: impl Fn(&mut JoinSet<()>, Stream),
) -> io::Result<()> {
    loop {
        while let Some(ended) = running.try_join_next() {
            log_broken(ended);
        }
        if running.len() >= limit
            && let Some(ended) = running.join_next().await
        {
            log_broken(ended);
        }
        begin(running, listener.accept().await?);
    }
}

fn log_broken(ended: Result<(), JoinError>) {
    if let Err(broken) = ended {
        let error: &(dyn Error + 'static) = &broken;
        tracing::error!(error, "a hand-over broke off in the backend");
    }
}

async fn serve_connection(stream: Stream, port: Arc<dyn SeccompPort>, options: Arc<ServerOptions>) {
    let Err(refused) = hand_over(stream, &*port, &options).await else { return };
    let error: &(dyn Error + 'static) = &refused;
    match &refused {
        // It is how another daemon finds out whether this one is there.
        Refused::Receive { source: ReceiveError::EndOfStream { received: 0 }, .. } => {
            tracing::debug!(error, "a connection without a message");
        }
        _ => tracing::warn!(error, "a seccomp descriptor was not acknowledged"),
    }
}

async fn hand_over(
    mut stream: Stream,
    port: &dyn SeccompPort,
    options: &ServerOptions,
) -> Result<(), Refused> {
    let within = options.deadline.min(Deadlines::LONGEST);
    let until = Instant::now() + within;
    let peer = stream.peer().map_err(Refused::Peer)?;
    if !options.peers.permits(&peer) {
        return Err(Refused::NotServed { peer });
    }
    let received = receive(&mut stream, within).await;
    let HandOver { init, fd } = received.map_err(|source| Refused::Receive { peer, source })?;
    let taken = timeout_at(until.into(), port.send_init(&init, fd.as_fd())).await;
    let late = Refused::Late { peer, within };
    taken.map_err(|_| late)?.map_err(|source| Refused::Port { peer, source })?;
    tracing::debug!(container = %init.id, pid = init.pid, %peer, "a seccomp descriptor was taken");
    acknowledge(&mut stream).await.map_err(|source| Refused::Gone { peer, source })
}

/// Why a connection is closed without an acknowledgement.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("it is not known who connected")]
    Peer(#[source] io::Error),
    #[error("{peer} is not served; add the user to those that are")]
    NotServed { peer: Peer },
    #[error("{peer} handed nothing over")]
    Receive {
        peer: Peer,
        #[source]
        source: ReceiveError,
    },
    #[error("the descriptor of {peer} is not taken")]
    Port {
        peer: Peer,
        #[source]
        source: PortError,
    },
    #[error("the descriptor of {peer} was not taken within {within:?}")]
    Late { peer: Peer, within: Duration },
    #[error("{peer} had gone when its descriptor was taken")]
    Gone {
        peer: Peer,
        #[source]
        source: io::Error,
    },
}
