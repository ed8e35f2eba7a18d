//! One kept connection to a daemon, made when it is first needed and shared by all callers.
//!
//! It is HTTP/2 by the `h2` crate over a [`Stream`](sysbox_transport::Stream): tonic's generated clients do messages and status
//! upon a [`Call`], which does connecting, trying again and waiting. What is not a status that the daemon sent is a
//! [`CallError`], which knows whether the call may have been carried out.
//!
//! No call is sent twice unless the first was certainly not taken or a second changes nothing
//! ([`Operation::is_idempotent`]).

mod connection;
mod error;
mod exchange;

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use sysbox_core::{AbsPath, Deadlines, Operation, PortError};
use sysbox_transport::Backoff;
use tokio::{
    runtime::{Handle, Id},
    time::timeout,
};
use tonic::{Status, body::Body};
use tower_service::Service;

use self::{
    connection::Slot,
    error::CallError,
    exchange::{Message, Reply},
};
use crate::{convert::ConvertError, status};

/// How a client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientOptions {
    /// By when each call must be answered.
    pub deadlines: Deadlines,
    /// How long a call goes on trying where nobody listens yet, or where it was not taken, counted from when that was seen.
    pub patience: Duration,
    /// How long a daemon that lets a connection in may stay silent.
    pub silence: Duration,
    /// The longest reply that is read, in bytes.
    pub max_reply: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            deadlines: Deadlines::default(),
            patience: Duration::from_secs(3),
            silence: Duration::from_secs(5),
            max_reply: 64 * 1024 * 1024,
        }
    }
}

/// The connection to one socket. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Channel(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    socket: AbsPath,
    options: ClientOptions,
    /// Locked only to look or to replace, never over an await.
    slot: Mutex<Option<Arc<Slot>>>,
}

impl Channel {
    /// What requests say they are for: a unix socket has no host, and some servers refuse a path in its place.
    pub(crate) const ORIGIN: &str = "http://localhost";

    /// A channel that is not connected yet.
    pub(crate) fn new(socket: AbsPath, options: ClientOptions) -> Self {
        Self(Arc::new(Shared { socket, options, slot: Mutex::new(None) }))
    }

    /// The service for one call, to be given to a generated client.
    pub(crate) fn call(&self, operation: Operation) -> Call {
        Call { channel: self.clone(), operation, failure: Arc::default() }
    }

    async fn send(&self, operation: Operation, request: Request<Body>) -> Result<Response<Reply>, CallError> {
        let runtime = Handle::try_current().map_err(|_| CallError::NoRuntime)?.id();
        let message = Message::whole(request).await?;
        let limit = self.0.options.deadlines.of(operation);
        let mut sent = false;
        match timeout(limit, self.tries(operation, runtime, &message, &mut sent)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(CallError::Deadline { socket: self.0.socket.clone(), operation, limit, sent }),
        }
    }

    async fn tries(
        &self,
        operation: Operation,
        runtime: Id,
        message: &Message,
        sent: &mut bool,
    ) -> Result<Response<Reply>, CallError> {
        let mut backoff = Backoff::new(self.0.options.patience);
        let mut may_be_stale = true;
        loop {
            let slot = self.slot(runtime);
            let kept = slot.is_connected();
            let error = match slot.exchange(&self.0.socket, &self.0.options, message, sent).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            if error.ends_connection() {
                self.forget(&slot);
            }
            if !error.permits_another_try(operation.is_idempotent()) {
                return Err(error);
            }
            // A kept connection may have ended unnoticed, as when the daemon was restarted: that alone is no reason to wait.
            let at_once = kept && std::mem::take(&mut may_be_stale);
            if !at_once && !backoff.wait().await {
                return Err(error);
            }
        }
    }

    /// The kept connection, or room for a new one. A connection is driven by the runtime it was made in, and a daemon that was
    /// restarted while no runtime ran has closed it unnoticed.
    fn slot(&self, runtime: Id) -> Arc<Slot> {
        let found = self.lock().clone();
        if let Some(slot) = found.as_ref().filter(|slot| slot.serves(runtime)) {
            return slot.clone();
        }
        let mut kept = self.lock();
        match (&*kept, &found) {
            // Another caller has replaced it meanwhile, in the same runtime.
            (Some(new), old)
                if new.is_of(runtime) && old.as_ref().is_none_or(|old| !Arc::ptr_eq(new, old)) =>
            {
                new.clone()
            }
            _ => {
                let new = Arc::new(Slot::new(runtime));
                let old = kept.replace(new.clone());
                drop(kept);
                drop(old);
                new
            }
        }
    }

    /// Lets the next call connect anew. Calls that are on the old connection go on.
    fn forget(&self, slot: &Arc<Slot>) {
        let mut kept = self.lock();
        let old = kept.take_if(|kept| Arc::ptr_eq(kept, slot));
        drop(kept);
        drop(old);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Slot>>> {
        self.0.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call: what a generated client sends its request through, and what keeps the error where no status came back.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    channel: Channel,
    operation: Operation,
    failure: Arc<Mutex<Option<CallError>>>,
}

impl Call {
    /// The message for a request.
    pub(crate) fn message<Q, M: TryFrom<Q, Error = ConvertError>>(
        &self,
        request: Q,
    ) -> Result<tonic::Request<M>, PortError> {
        M::try_from(request).map(tonic::Request::new).map_err(|error| status::refused(self.operation, error))
    }

    /// What the generated client said, as the port says it.
    pub(crate) fn outcome<M, T: TryFrom<M, Error = ConvertError>>(
        &self,
        answer: Result<tonic::Response<M>, Status>,
    ) -> Result<T, PortError> {
        let outcome = match answer {
            Ok(reply) => T::try_from(reply.into_inner())
                .map_err(|error| status::malformed_reply(self.operation, error)),
            Err(status) => Err(self.error(status)),
        };
        outcome.inspect_err(|error| {
            let socket = &self.channel.0.socket;
            tracing::debug!(%socket, operation = ?self.operation, kind = ?error.kind, %error, "call failed");
        })
    }

    /// The longest reply that is read, in bytes.
    pub(crate) fn max_reply(&self) -> usize {
        self.channel.0.options.max_reply
    }

    fn error(&self, status: Status) -> PortError {
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(failure) => failure.into_port_error(self.operation),
            None => status::from_status(self.operation, status),
        }
    }
}

impl Service<Request<Body>> for Call {
    type Response = Response<Reply>;
    type Error = NoStatus;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Reply>, NoStatus>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoStatus>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let call = self.clone();
        Box::pin(async move {
            call.channel.send(call.operation, request).await.map_err(|error| {
                *call.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                NoStatus
            })
        })
    }
}

/// Stands in the status that a generated client makes for the [`CallError`] that its [`Call`] keeps.
#[derive(Debug, thiserror::Error)]
#[error("no status came back")]
pub(crate) struct NoStatus;
