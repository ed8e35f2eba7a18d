//! Serving a port on a unix socket: who is let in, how calls are carried out, and how it ends. What is spoken is the
//! [`Reception`]'s business.
//!
//! - **A call once begun is carried out**, even when its caller goes away or the daemon is told to stop: a half-done chown
//!   helps nobody. A call has begun when its request is there in full and its turn has come.
//! - No peer brings the daemon down, and none that is not served holds up another: what each can take is limited by
//!   [`ServerOptions`]. Peers that are served are trusted with more: they can hold all connections, and fill the queue of calls.
//! - Peers are not pinged. The kernel closes the socket of a process that ends, however it ends; and a runtime that blocks
//!   between calls is well, but could not answer.

mod calls;
mod door;

use std::{error::Error, io, sync::Arc, time::Duration};

use sysbox_core::AbsPath;
use tokio_util::sync::CancellationToken;

pub use self::calls::{Answer, Calls, Subject};
use self::door::Door;
use crate::{Listener, PeerPolicy, Stream};

/// Whom a server serves, and how much of it each may take.
///
/// An idle connection takes one descriptor and some 25 KiB. What its peer can make the server hold beyond that is 1 MiB of data
/// that was not looked at yet, what its protocol says beside each of its [`streams`](Self::streams), and
/// [`message`](Self::message) bytes for each request that is not complete yet, or complete and waiting for its turn. A
/// peer that is not served has its data not read, and is cut off after [`handshake`](Self::handshake), as is each of more
/// than 64 such peers at once, without a word.
///
/// ```
/// use std::time::Duration;
/// use sysbox_transport::ServerOptions;
///
/// let mut options = ServerOptions::default();
/// options.calls = 64;
/// options.handshake = Duration::from_secs(2);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Which users are served. Others are told `PermissionDenied`, and why.
    pub peers: PeerPolicy,
    /// How many bytes a request may have; a longer one is refused before memory is set aside for it. Replies have no limit.
    pub message: usize,
    /// How many calls one connection may have open at once. Clients know the limit and keep to it.
    pub streams: u32,
    /// How many calls are carried out at once, of all connections. Further ones wait for their turn, in the order in which
    /// they came: a busy daemon is slow, and no container fails because of it. One whose caller gives up meanwhile is
    /// never begun.
    pub calls: usize,
    /// How many connections are open at once, but never more than half of what the limit of open files leaves when 64 are
    /// set aside: a daemon has two such sockets, and a backend that opens files. Further ones wait in the kernel's queue,
    /// which holds `net.core.somaxconn`; those that say nothing make room after [`handshake`](Self::handshake).
    pub connections: usize,
    /// How long a peer may take for what it owes: the first request of a connection, and the rest of a request once begun.
    pub handshake: Duration,
    /// How long a peer that was told that its connection ends may take to fetch its last answers. Calls are not bound by it.
    pub grace: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            peers: PeerPolicy::default(),
            message: 4 << 20,
            streams: 256,
            calls: 1024,
            connections: 4096,
            handshake: Duration::from_secs(10),
            grace: Duration::from_secs(1),
        }
    }
}

/// What the calls of an fs daemon are answered where the backend has none, with `Unimplemented`.
pub const NO_FS_DAEMON: &str = "this daemon emulates no /proc and /sys; run sysbox-runc with --no-sysbox-fs";

/// A socket can no longer be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// No connection can be accepted any more.
    #[error("socket {socket} lets nobody in any more; restart the daemon")]
    Accept {
        /// The socket.
        socket: AbsPath,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// What describes the services to clients cannot be read.
    #[error("the services' descriptors cannot be read; this program was not built as it should be")]
    Descriptors(#[source] Box<dyn Error + Send + Sync>),
}

/// How the peers of a socket are spoken with.
pub trait Reception: Clone + Send + Sync + 'static {
    /// What is served, for people.
    fn served(&self) -> String;

    /// Serves a connection until its peer leaves, its time is up, or `stop`; then until what has begun is answered.
    fn serve(
        &self,
        stream: Stream,
        options: Arc<ServerOptions>,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static;

    /// Tells a peer that it is not served, and why.
    fn refuse(
        &self,
        stream: Stream,
        reason: String,
        options: Arc<ServerOptions>,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static;

    /// Tells whoever watches that nothing is served any more.
    fn tell_stopping(&self) -> impl Future<Output = ()> + Send;
}

/// Serves a socket until `stop`, and then until the calls that have begun are carried out, **however long they take**. To give up
/// earlier, drop the future: connections are cut, and calls are left to the runtime.
///
/// # Errors
/// [`ServeError`] when the socket cannot be served any more.
pub async fn serve<R: Reception>(
    listener: Listener,
    reception: R,
    calls: Calls,
    options: &ServerOptions,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let socket = listener.path().clone();
    tracing::info!(%socket, services = reception.served(), "serving");
    let closing = CancellationToken::new();
    let mut door = Door::new(reception.clone(), options, closing.clone());
    let outcome = tokio::select! {
        error = door.let_in(&listener) => Err(ServeError::Accept { socket: socket.clone(), source: error }),
        () = stop.cancelled() => Ok(()),
    };
    // First of all, so that callers from now on wait for the next daemon instead of this one.
    let waiting = listener.close();
    reception.tell_stopping().await;
    tracing::info!(%socket, calls = calls.under_way(), "stopping");
    closing.cancel();
    // They are told at once that nothing is begun for them, so they need not wonder.
    waiting.into_iter().for_each(|stream| door.receive(stream));
    door.close().await;
    calls.carried_out().await;
    tracing::info!(%socket, "stopped");
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dial;
    use tokio::sync::mpsc;

    /// Tells of each peer whether it came when nothing was begun any more, and keeps it until then.
    #[derive(Clone, Debug)]
    struct Noting(mpsc::UnboundedSender<bool>);

    impl Reception for Noting {
        fn served(&self) -> String {
            "notes".to_owned()
        }

        fn serve(
            &self,
            stream: Stream,
            _: Arc<ServerOptions>,
            stop: CancellationToken,
        ) -> impl Future<Output = ()> + Send + 'static {
            let noted = self.0.send(stop.is_cancelled());
            async move {
                noted.expect("the test listens");
                stop.cancelled().await;
                drop(stream);
            }
        }

        fn refuse(
            &self,
            stream: Stream,
            _: String,
            _: Arc<ServerOptions>,
            _: CancellationToken,
        ) -> impl Future<Output = ()> + Send + 'static {
            drop(stream);
            std::future::ready(())
        }

        async fn tell_stopping(&self) {}
    }

    #[tokio::test]
    async fn who_has_connected_but_was_not_let_in_when_it_stops_is_spoken_with() {
        let dir = tempfile::tempdir().expect("a directory");
        let run = AbsPath::new(dir.path().join("run")).expect("absolute");
        let listener = Listener::bind(&run, "s").expect("bound");
        let socket = listener.path().clone();
        let (notes, mut noted) = mpsc::unbounded_channel();
        let (stop, mut options) = (CancellationToken::new(), ServerOptions::default());
        options.connections = 1;
        let stopped = stop.clone();
        let serving =
            tokio::spawn(
                async move { serve(listener, Noting(notes), Calls::new(1), &options, stopped).await },
            );
        let _let_in = dial(&socket, Duration::ZERO).await.expect("connected");
        assert_eq!(noted.recv().await, Some(false));
        let _waiting = dial(&socket, Duration::ZERO).await.expect("the kernel queues it");
        stop.cancel();
        assert_eq!(noted.recv().await, Some(true));
        serving.await.expect("no panic").expect("ended well");
    }
}
