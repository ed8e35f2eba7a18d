//! A connection and the place where it is kept.

use std::time::{Duration, Instant};

use sysbox_core::AbsPath;
use tokio::{runtime::Id, sync::OnceCell, time::timeout};

use super::{Attempt, CallError, ClientOptions, Connection, Exchange};
use crate::{StreamWatch, dial};

/// Room for one connection, which the first caller makes while others wait for it. When nobody holds it any more, the
/// connection is closed.
#[derive(Debug)]
pub(super) struct Slot<C> {
    runtime: Id,
    connection: OnceCell<Open<C>>,
}

#[derive(Debug)]
struct Open<C> {
    connection: C,
    watch: StreamWatch,
}

impl<C: Connection> Slot<C> {
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
        let is_open = |open: &Open<C>| C::TELLS_UNTAKEN || open.watch.is_open();
        self.is_of(runtime) && self.connection.get().is_none_or(is_open)
    }

    /// Sends a request and waits for the reply.
    pub(super) async fn exchange<X: Exchange<C>>(
        &self,
        attempt: &Attempt<'_>,
        exchange: &X,
        sent: &mut bool,
    ) -> Result<X::Reply, CallError> {
        let Attempt { socket, options, .. } = attempt;
        let Open { connection, watch } = self.open(socket, options).await?;
        let silent = {
            let exchange = exchange.run(connection, attempt, sent);
            if watch.heard() {
                return exchange.await;
            }
            let mut exchange = std::pin::pin!(exchange);
            match timeout(options.silence, exchange.as_mut()).await {
                Ok(outcome) => return outcome,
                // Every daemon speaks at once, also where the call takes long.
                Err(_) if watch.heard() => return exchange.await,
                Err(_) => options.silence,
            }
        };
        let (socket, protocol) = ((*socket).clone(), C::PROTOCOL);
        Err(CallError::Silent { socket, protocol, waited: silent, sent: *sent })
    }

    /// The connection; who finds none makes it. Each caller's patience begins when it comes, so that after a failure those
    /// who waited with it try but once.
    async fn open(&self, socket: &AbsPath, options: &ClientOptions) -> Result<&Open<C>, CallError> {
        if let Some(open) = self.connection.get() {
            return Ok(open);
        }
        let came = Instant::now();
        let open = || Open::new(socket, options, options.patience.saturating_sub(came.elapsed()));
        self.connection.get_or_try_init(open).await
    }
}

impl<C> Drop for Open<C> {
    fn drop(&mut self) {
        // What drives it may run during calls only; the daemon is to know at once that nobody waits any more.
        self.watch.close();
    }
}

impl<C: Connection> Open<C> {
    async fn new(socket: &AbsPath, options: &ClientOptions, patience: Duration) -> Result<Self, CallError> {
        let stream = dial(socket, patience).await.map_err(CallError::Dial)?;
        let watch = stream.watch();
        let connection = C::open(stream, socket, options).await?;
        Ok(Self { connection, watch })
    }
}
