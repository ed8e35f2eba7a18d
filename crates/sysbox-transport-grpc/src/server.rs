//! Serves the ports on unix sockets.
//!
//! ```text
//! Listener -> who is it? -> Filter -> hyper's HTTP/2 -> Routes -> generated service -> adapter -> Calls -> the port
//!  accept      connection   authority                    routes                     mgr_server    calls
//! ```
//!
//! - **A call once begun is carried out**, even when its caller goes away or the daemon is told to stop: a half-done chown
//!   helps nobody. A call has begun when its request is there in full and its turn has come.
//! - No peer brings the daemon down, and none that is not served holds up another: what each can take is limited by
//!   [`ServerOptions`]. Peers that are served are trusted with more: they can hold all connections, and fill the queue of calls.
//! - Peers are not pinged. The kernel closes the socket of a process that ends, however it ends; and a runtime that blocks
//!   between calls is well, but could not answer.

mod accept;
mod calls;
mod connection;
mod inbound;
mod routes;

use std::{io, sync::Arc, time::Duration};

use sysbox_core::{AbsPath, FsPort, MgrPort};
use sysbox_transport::{Listener, PeerPolicy};
use tokio_util::sync::CancellationToken;

pub(crate) use self::calls::{Answer, Calls, Subject, reply};
use self::routes::Routes;

/// Whom a server serves, and how much of it each may take.
///
/// An idle connection takes one descriptor and about 25 KiB. What its peer can make the server hold beyond that is
/// [`WINDOW`](Self::WINDOW) of data that was not looked at yet, 16 KiB of headers for each of its [`streams`](Self::streams) and
/// [`message`](Self::message) bytes for each request that is not complete yet, or complete and waiting for its turn. A
/// peer that is not served has 4 streams and 64 KiB, its data is not read, and it is cut off after
/// [`handshake`](Self::handshake), as is each of more than 64 such peers at once, without a word.
///
/// ```
/// use std::time::Duration;
/// use sysbox_transport_grpc::ServerOptions;
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

impl ServerOptions {
    /// How many bytes a peer may send ahead on one connection.
    pub const WINDOW: u32 = 1 << 20;
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
    Descriptors(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Serves a manager until `stop`, to Sysbox's own clients and ours, with gRPC health and reflection beside it.
///
/// On `stop` the socket is gone at once, so that callers that wait for a daemon wait for the next. Connections are told that
/// they end, what they send from then on is refused as not processed, and calls that have begun are carried out and
/// answered **however long they take**. To give up earlier, drop the future: connections are cut, and calls are left to the
/// runtime.
///
/// The port must not block the runtime's threads; `sysbox_transport::Offloaded` sees to that.
///
/// ```no_run
/// use std::sync::Arc;
/// use sysbox_core::{AbsPath, MgrPort};
/// use sysbox_transport::Listener;
/// use sysbox_transport_grpc::{ServerOptions, serve_mgr};
/// use tokio_util::sync::CancellationToken;
///
/// # async fn example(port: Arc<dyn MgrPort>) -> Result<(), Box<dyn std::error::Error>> {
/// let listener = Listener::bind(&AbsPath::new("/run/sysbox")?, "sysmgr.sock")?;
/// let stop = CancellationToken::new();
/// serve_mgr(port, listener, &ServerOptions::default(), stop).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`ServeError`] when the socket cannot be served any more. That no descriptor is free passes, and is waited for.
pub async fn serve_mgr(
    port: Arc<dyn MgrPort>,
    listener: Listener,
    options: &ServerOptions,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let calls = Calls::new(options.calls);
    let routes = Routes::mgr(port, &calls, options).await?;
    accept::serve(listener, routes, calls, options, stop).await
}

/// Serves an fs daemon until `stop`, as [`serve_mgr`] serves a manager. Without a port each call is `Unimplemented`, and the
/// message tells what to do.
///
/// # Errors
/// As for [`serve_mgr`].
pub async fn serve_fs(
    port: Option<Arc<dyn FsPort>>,
    listener: Listener,
    options: &ServerOptions,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let calls = Calls::new(options.calls);
    let routes = Routes::fs(port, &calls, options).await?;
    accept::serve(listener, routes, calls, options, stop).await
}
