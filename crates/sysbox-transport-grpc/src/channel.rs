//! Calls over one kept connection: HTTP/2 by the `h2` crate.
//!
//! tonic's generated clients do messages and status upon a [`Call`], which goes through a [`Channel`] of `sysbox-transport`, and
//! keeps the error where no status came back.

mod connection;
mod error;
mod exchange;

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use http::{Request, Response};
use sysbox_core::{Operation, PortError};
use sysbox_transport::CallError;
use tonic::{Status, body::Body};
use tower_service::Service;

use self::{
    connection::Http2,
    exchange::{Message, Reply},
};
use crate::{convert::ConvertError, status};

/// The connection to one socket. Clones share it.
pub(crate) type Channel = sysbox_transport::Channel<Http2>;

/// What requests say they are for: a unix socket has no host, and some servers refuse a path in its place.
pub(crate) const ORIGIN: &str = "http://localhost";

/// One call: what a generated client sends its request through, and what keeps the error where no status came back.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    channel: Channel,
    operation: Operation,
    failure: Arc<Mutex<Option<CallError>>>,
}

impl Call {
    /// The service for one call, to be given to a generated client.
    pub(crate) fn new(channel: &Channel, operation: Operation) -> Self {
        Self { channel: channel.clone(), operation, failure: Arc::default() }
    }

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
            let socket = self.channel.socket();
            tracing::debug!(%socket, operation = ?self.operation, kind = ?error.kind, %error, "call failed");
        })
    }

    /// The longest reply that is read, in bytes.
    pub(crate) fn max_reply(&self) -> usize {
        self.channel.options().max_reply
    }

    fn error(&self, status: Status) -> PortError {
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(failure) => failure.into_port_error(self.operation),
            None => status::from_status(self.operation, status),
        }
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Reply>, CallError> {
        let message = Message::whole(request).await?;
        self.channel.call(self.operation, &message).await
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
            call.send(request).await.map_err(|error| {
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
