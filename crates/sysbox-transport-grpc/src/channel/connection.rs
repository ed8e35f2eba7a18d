//! A connection and the place where it is kept.

use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::Response;
use sysbox_core::AbsPath;
use sysbox_transport::{StreamWatch, dial};
use tokio::{runtime::Id, sync::OnceCell, task::AbortHandle, time::timeout};

use super::{
    ClientOptions,
    error::CallError,
    exchange::{self, Message, Reply},
};

/// How much of one reply may be on its way unread.
const STREAM_WINDOW: u32 = 1 << 20;
/// How much of all replies.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// The headers and trailers of one reply; a status with its causes has up to 16 KiB.
const MAX_HEADERS: u32 = 64 << 10;

/// Room for one connection, which the first caller makes while others wait for it. When nobody holds it any more, the
/// connection is closed.
#[derive(Debug)]
pub(super) struct Slot {
    runtime: Id,
    connection: OnceCell<Connection>,
}

#[derive(Debug)]
struct Connection {
    requests: SendRequest<Bytes>,
    watch: StreamWatch,
    driver: AbortHandle,
}

impl Slot {
    pub(super) fn new(runtime: Id) -> Self {
        Self { runtime, connection: OnceCell::new() }
    }

    pub(super) fn is_of(&self, runtime: Id) -> bool {
        self.runtime == runtime
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.initialized()
    }

    /// Whether a call in this runtime can go over it: it is open, or yet to be made.
    pub(super) fn serves(&self, runtime: Id) -> bool {
        self.is_of(runtime) && self.connection.get().is_none_or(|connection| connection.watch.is_open())
    }

    /// Sends a message and waits for the reply.
    pub(super) async fn exchange(
        &self,
        socket: &AbsPath,
        options: &ClientOptions,
        message: &Message,
        sent: &mut bool,
    ) -> Result<Response<Reply>, CallError> {
        let Connection { requests, watch, .. } = self.connection(socket, options.patience).await?;
        let exchange = exchange::run(requests.clone(), socket, message, options.max_reply, sent);
        if watch.heard() {
            return exchange.await;
        }
        let mut exchange = std::pin::pin!(exchange);
        match timeout(options.silence, exchange.as_mut()).await {
            Ok(outcome) => outcome,
            // Every HTTP/2 server speaks at once, also where the call takes long.
            Err(_) if watch.heard() => exchange.await,
            Err(_) => Err(CallError::Silent { socket: socket.clone(), waited: options.silence }),
        }
    }

    /// The connection; who finds none makes it. Each caller's patience begins when it comes, so that after a failure those
    /// who waited with it try but once.
    async fn connection(&self, socket: &AbsPath, patience: Duration) -> Result<&Connection, CallError> {
        if let Some(connection) = self.connection.get() {
            return Ok(connection);
        }
        let came = Instant::now();
        let open = || Connection::open(socket, patience.saturating_sub(came.elapsed()));
        self.connection.get_or_try_init(open).await
    }
}

impl Connection {
    async fn open(socket: &AbsPath, patience: Duration) -> Result<Self, CallError> {
        let stream = dial(socket, patience).await.map_err(CallError::Dial)?;
        let watch = stream.watch();
        let (requests, driver) = Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEADERS)
            .enable_push(false)
            .handshake(stream)
            .await
            .map_err(|source| CallError::NotTaken { socket: socket.clone(), source })?;
        // How it ends is told to each call that is on it.
        let driver = tokio::spawn(async move { drop(driver.await) }).abort_handle();
        Ok(Self { requests, watch, driver })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A peer that does not read would let h2's own farewell wait for ever.
        self.driver.abort();
    }
}
