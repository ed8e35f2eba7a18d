//! A client's connection: tarpc's client over a stream, and one call over it.
//!
//! What can be told of a call that got no answer is told exactly: whether the daemon may have got it.

mod transport;

use std::{fmt::Debug, marker::PhantomData, sync::Arc};

use bytes::{Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use sysbox_core::{AbsPath, ErrorKind, Operation, PortError};
use sysbox_transport::{Attempt, CallError, Channel, ClientOptions, Connection, Exchange, Stream};
use tarpc::{
    ChannelError,
    client::{self, NewClient, RpcError},
    context,
};
use tokio::task::AbortHandle;

use self::transport::{Greeting, Outgoing, Transport, Turns};
use crate::{
    codec,
    fault::{Failure, request_too_long},
    frame::{NotBegun, Outcome},
    hello::{Refusal, Service},
    link::{Link, LinkError},
    wire::ConvertError,
};

const PROTOCOL: &str = "tarpc";

/// A request of one of the ports.
pub(crate) trait Request: Debug + Serialize + Send + Sync + 'static {
    /// The port.
    const SERVICE: Service;
    /// What is answered.
    type Answer: Debug + DeserializeOwned + Send;

    /// The call.
    fn operation(&self) -> Operation;
}

/// The daemon behind a socket, asked by requests of one port.
#[derive(Debug)]
pub(crate) struct Daemon<Q>(Channel<Kept<Q>>);

impl<Q> Clone for Daemon<Q> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Q: Request> Daemon<Q> {
    pub(crate) fn new(socket: AbsPath, options: ClientOptions) -> Self {
        Self(Channel::new(socket, options))
    }

    /// What the daemon answers, as `read` understands it; that gives `None` for the answer to another call.
    pub(crate) async fn ask<T>(
        &self,
        request: Q,
        read: impl FnOnce(Q::Answer) -> Option<Result<T, ConvertError>> + Send,
    ) -> Result<T, PortError> {
        let operation = request.operation();
        let outcome = match self.call(operation, &request).await {
            Ok(answer) => self.understood(operation, read(answer)),
            Err(error) => Err(error),
        };
        outcome.inspect_err(|error| {
            let socket = self.0.socket();
            tracing::debug!(%socket, ?operation, kind = ?error.kind, %error, "call failed");
        })
    }

    async fn call(&self, operation: Operation, request: &Q) -> Result<Q::Answer, PortError> {
        let failed = |error: CallError| error.into_port_error(operation);
        let mut bytes = BytesMut::new();
        codec::encode(request, &mut bytes).map_err(|error| failed(CallError::Encode(error.into())))?;
        let call = Call { name: operation.describe(), request: bytes.freeze() };
        let answer = match self.0.call(operation, &call).await.map_err(failed)? {
            Reply::Answer(answer) => answer,
            Reply::RequestTooLong { most } => {
                return Err(request_too_long(operation, call.request.len(), most));
            }
            Reply::NotBegun(why) => return Err(self.not_begun(operation, why)),
        };
        let answer: Result<Q::Answer, Failure> =
            codec::decode(&answer).map_err(|error| failed(self.bad_reply(ErrorKind::Internal, error)))?;
        answer.map_err(|failure| failure.into_port_error(operation))
    }

    fn understood<T>(
        &self,
        operation: Operation,
        answer: Option<Result<T, ConvertError>>,
    ) -> Result<T, PortError> {
        match answer {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => {
                let message = format!("the daemon's reply breaks the wire contract: {error}");
                Err(PortError::new(operation, ErrorKind::Internal, message).with_source(error.rule))
            }
            None => Err(self.bad_reply(ErrorKind::Internal, OfAnotherCall).into_port_error(operation)),
        }
    }

    fn not_begun(&self, operation: Operation, why: NotBegun) -> PortError {
        let socket = self.0.socket();
        let older = if why == NotBegun::NotUnderstood { "the daemon" } else { "this program" };
        let message = format!("the daemon at socket {socket} did not begin the call: {why}; upgrade {older}");
        PortError::new(operation, ErrorKind::Unimplemented, message)
    }

    fn bad_reply(
        &self,
        kind: ErrorKind,
        reply: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> CallError {
        CallError::BadReply { socket: self.0.socket().clone(), kind, reply: reply.into() }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the answer to another call")]
struct OfAnotherCall;

#[derive(Debug, thiserror::Error)]
#[error("a reply of {bytes} bytes, where at most {most} are read; raise ClientOptions::max_reply")]
struct TooLong {
    bytes: u64,
    most: usize,
}

/// A connection that is kept for requests of one port.
#[derive(Debug)]
struct Kept<Q> {
    calls: client::Channel<Arc<Outgoing>, Outcome>,
    turns: Turns,
    dispatch: AbortHandle,
    asked: PhantomData<fn(Q)>,
}

impl<Q: Request> Connection for Kept<Q> {
    const PROTOCOL: &'static str = PROTOCOL;
    const TELLS_UNTAKEN: bool = true;

    async fn open(stream: Stream, _: &AbsPath, options: &ClientOptions) -> Result<Self, CallError> {
        let (greeting, turns) = Greeting::new();
        let transport = Transport::new(Link::new(stream), Q::SERVICE, options.max_reply, greeting);
        let mut config = client::Config::default();
        // Turns are what limits it.
        config.max_in_flight_requests = usize::MAX;
        let NewClient { client: calls, dispatch } = client::new(config, transport);
        // How it ends is told to each call that is on it.
        let dispatch = tokio::spawn(async move { drop(dispatch.await) }).abort_handle();
        Ok(Self { calls, turns, dispatch, asked: PhantomData })
    }
}

impl<Q> Drop for Kept<Q> {
    fn drop(&mut self) {
        self.dispatch.abort();
    }
}

/// One call, which can be sent again.
#[derive(Debug)]
struct Call {
    name: &'static str,
    request: Bytes,
}

/// What comes of a call that did not fail.
#[derive(Debug)]
enum Reply {
    Answer(Bytes),
    /// The daemon takes no request of more than so many bytes; it was not sent.
    RequestTooLong {
        most: u64,
    },
    /// The daemon has not begun it, and never will.
    NotBegun(NotBegun),
}

/// Notes, when a call is answered or given up, whether the daemon may get it.
struct Noted<'a> {
    outgoing: &'a Outgoing,
    sent: &'a mut bool,
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        *self.sent |= self.outgoing.take().is_none();
    }
}

impl<Q: Request> Exchange<Kept<Q>> for Call {
    type Reply = Reply;

    async fn run(
        &self,
        connection: &Kept<Q>,
        attempt: &Attempt<'_>,
        sent: &mut bool,
    ) -> Result<Reply, CallError> {
        let before = *sent;
        let reply = self.ask(connection, attempt, sent).await;
        if let Err(CallError::NotTaken { .. }) = reply {
            *sent = before;
        }
        reply
    }
}

impl Call {
    async fn ask<Q: Request>(
        &self,
        connection: &Kept<Q>,
        attempt: &Attempt<'_>,
        sent: &mut bool,
    ) -> Result<Reply, CallError> {
        let ended = |why: Arc<LinkError>| broken(attempt, Some(&*why), why.clone(), false);
        let most = connection.turns.max_request(self.request.len()).await.map_err(ended)?;
        if u64::try_from(self.request.len()).is_ok_and(|bytes| bytes > most) {
            return Ok(Reply::RequestTooLong { most });
        }
        let _turn = connection.turns.wait().await.map_err(ended)?;
        let outgoing = Arc::new(Outgoing::new(self.name, self.request.clone()));
        let mut context = context::current();
        context.deadline = attempt.until;
        let _noted = Noted { outgoing: &outgoing, sent };
        match connection.calls.call(context, outgoing.clone()).await {
            Ok(Outcome::Answer(answer)) => Ok(Reply::Answer(answer)),
            Ok(Outcome::NotBegun(why @ (NotBegun::Stopping | NotBegun::TooMany))) => {
                Err(not_taken(attempt, why == NotBegun::Stopping, why))
            }
            Ok(Outcome::NotBegun(why)) => Ok(Reply::NotBegun(why)),
            Ok(Outcome::TooLong { bytes }) => {
                let reply = TooLong { bytes, most: attempt.options.max_reply };
                let (socket, kind) = (attempt.socket.clone(), ErrorKind::ResourceExhausted);
                Err(CallError::BadReply { socket, kind, reply: reply.into() })
            }
            Err(RpcError::DeadlineExceeded) => {
                let (socket, operation) = (attempt.socket.clone(), attempt.operation);
                let limit = attempt.options.deadlines.of(operation);
                Err(CallError::Deadline { socket, operation, limit, sent: outgoing.take().is_none() })
            }
            Err(error) => {
                let cause = cause(&error);
                Err(broken(attempt, cause.as_deref(), error, outgoing.is_sent()))
            }
        }
    }
}

/// What the end of its connection means for a call that was sent in full, or never will be.
fn broken(
    attempt: &Attempt<'_>,
    cause: Option<&LinkError>,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    sent: bool,
) -> CallError {
    let socket = attempt.socket.clone();
    match cause {
        Some(LinkError::Refused(Refusal::Stopping)) => not_taken(attempt, true, source),
        Some(LinkError::Refused(refusal)) => {
            CallError::Rejected { socket, kind: kind_of(refusal), message: refusal.to_string() }
        }
        Some(LinkError::NotOurs(_)) => {
            CallError::Garbled { socket, protocol: PROTOCOL, source: source.into() }
        }
        Some(frame @ (LinkError::Malformed(_) | LinkError::Oversized { .. })) if sent => {
            CallError::BadReply { socket, kind: ErrorKind::Internal, reply: frame.to_string().into() }
        }
        _ if sent => CallError::Lost { socket, source: source.into() },
        _ => not_taken(attempt, true, source),
    }
}

/// What ended the connection, where tarpc says so.
fn cause(error: &RpcError) -> Option<Arc<LinkError>> {
    let RpcError::Channel(error) = error else { return None };
    let (ChannelError::Read(cause)
    | ChannelError::Ready(cause)
    | ChannelError::Write(cause)
    | ChannelError::Flush(cause)
    | ChannelError::Close(cause)) = error;
    cause.downcast_ref().cloned()
}

const fn kind_of(refusal: &Refusal) -> ErrorKind {
    match refusal {
        Refusal::NotPermitted { .. } => ErrorKind::PermissionDenied,
        Refusal::Stopping => ErrorKind::Unavailable,
        Refusal::Version { .. } | Refusal::Service { .. } | Refusal::Other { .. } => ErrorKind::Unimplemented,
    }
}

fn not_taken(
    attempt: &Attempt<'_>,
    connection_ended: bool,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> CallError {
    CallError::NotTaken { socket: attempt.socket.clone(), connection_ended, source: source.into() }
}
