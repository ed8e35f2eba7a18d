//! Why a call got no status: what happened to it, and what that means for the caller.

#[cfg(test)]
mod tests;

use std::time::Duration;

use h2::Reason;
use http::StatusCode;
use sysbox_core::{AbsPath, ErrorKind, Operation, PortError};
use sysbox_transport::DialError;
use tonic::Status;

/// A call that got no status from the daemon.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("a call over gRPC needs a tokio runtime: await it in one, or use sysbox::blocking::wait")]
    NoRuntime,
    #[error("the request cannot be encoded")]
    Encode(#[source] Status),
    #[error("{0}")]
    Dial(DialError),
    #[error(
        "the daemon at socket {socket} lets connections in but has not answered for {waited:?}: it hangs or does not speak \
         gRPC; look into its log, or restart it"
    )]
    Silent { socket: AbsPath, waited: Duration },
    #[error(
        "the daemon at socket {socket} took no call, and this one was not carried out: it is stopping, or takes no more; \
         try again, or look into its log"
    )]
    NotTaken { socket: AbsPath, source: h2::Error },
    #[error(
        "the connection to socket {socket} was lost during the call; whether it was carried out is not known; \
         see that the daemon runs"
    )]
    Lost { socket: AbsPath, source: h2::Error },
    #[error(
        "what listens on socket {socket} does not speak gRPC; name the directory of the daemon's sockets"
    )]
    Garbled { socket: AbsPath, source: h2::Error },
    #[error(
        "the daemon at socket {socket} broke the call off; whether it was carried out is not known; look into its log"
    )]
    Reset { socket: AbsPath, source: h2::Error },
    #[error("the daemon at socket {socket} sent {reply}; whether the call was carried out is not known")]
    BadReply { socket: AbsPath, reply: BadReply },
    #[error(
        "socket {socket}: no answer within {limit:?} to the call to {operation}; {}",
        if *sent { "whether it was carried out is not known" } else { "it was not sent" }
    )]
    Deadline { socket: AbsPath, operation: Operation, limit: Duration, sent: bool },
}

/// A reply that breaks the rules of gRPC.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadReply {
    #[error("HTTP status {0} and no gRPC status; is this a gRPC daemon?")]
    Http(StatusCode),
    #[error("a reply of content type {0:?}, not application/grpc; is this a gRPC daemon?")]
    ContentType(String),
    #[error("a reply without a status; it may have been cut off")]
    NoStatus,
    #[error("a reply of more than {max} bytes; raise ClientOptions::max_reply")]
    TooLong { max: usize },
}

impl CallError {
    /// What HTTP/2 says of a call before it was sent.
    pub(super) fn unsent(socket: &AbsPath, source: h2::Error) -> Self {
        let socket = socket.clone();
        if Self::is_their_mistake(&source) {
            return Self::Garbled { socket, source };
        }
        Self::NotTaken { socket, source }
    }

    /// What HTTP/2 says of a call that was sent.
    pub(super) fn of_sent(socket: &AbsPath, source: h2::Error) -> Self {
        let socket = socket.clone();
        if Self::is_their_mistake(&source) {
            return Self::Garbled { socket, source };
        }
        // h2 tells a farewell to those streams alone that are above the last one taken (RFC 9113, 6.8).
        let refused = source.is_go_away() || source.reason() == Some(Reason::REFUSED_STREAM);
        match (source.is_remote(), refused) {
            (true, true) => Self::NotTaken { socket, source },
            (true, false) => Self::Reset { socket, source },
            _ => Self::Lost { socket, source },
        }
    }

    /// Whether h2 ended it because of what the peer sent.
    fn is_their_mistake(source: &h2::Error) -> bool {
        source.is_library() && source.reason() != Some(Reason::NO_ERROR)
    }

    /// Whether the next call needs another connection.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::Lost { .. } | Self::Garbled { .. } => true,
            // One stream that was refused says nothing of others.
            Self::NotTaken { source, .. } => !source.is_reset(),
            _ => false,
        }
    }

    /// Whether the call may be sent again.
    pub(super) fn permits_another_try(&self, idempotent: bool) -> bool {
        match self {
            Self::NotTaken { .. } => true,
            Self::Lost { .. } => idempotent,
            _ => false,
        }
    }

    /// The same as the port says it.
    pub(super) fn into_port_error(self, operation: Operation) -> PortError {
        let error = PortError::new(operation, self.kind(), self.to_string());
        match self {
            Self::Dial(DialError { source, .. }) => error.with_source(source),
            Self::Encode(source) => error.with_source(source),
            Self::NotTaken { source, .. }
            | Self::Lost { source, .. }
            | Self::Garbled { source, .. }
            | Self::Reset { source, .. } => error.with_source(source),
            Self::NoRuntime | Self::Silent { .. } | Self::BadReply { .. } | Self::Deadline { .. } => error,
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoRuntime => ErrorKind::FailedPrecondition,
            Self::Encode(_) => ErrorKind::Internal,
            Self::Dial(_)
            | Self::Silent { .. }
            | Self::NotTaken { .. }
            | Self::Lost { .. }
            | Self::Garbled { .. } => ErrorKind::Unavailable,
            Self::Reset { source, .. } => of_reset(source.reason()),
            Self::BadReply { reply, .. } => reply.kind(),
            Self::Deadline { .. } => ErrorKind::DeadlineExceeded,
        }
    }
}

/// The gRPC specification's table of RST_STREAM codes (PROTOCOL-HTTP2.md).
fn of_reset(reason: Option<Reason>) -> ErrorKind {
    match reason {
        Some(Reason::CANCEL) => ErrorKind::Cancelled,
        Some(Reason::ENHANCE_YOUR_CALM) => ErrorKind::ResourceExhausted,
        Some(Reason::INADEQUATE_SECURITY) => ErrorKind::PermissionDenied,
        _ => ErrorKind::Internal,
    }
}

impl BadReply {
    /// For HTTP statuses, gRPC's table (http-grpc-status-mapping.md).
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Http(status) => match status.as_u16() {
                400 => ErrorKind::Internal,
                401 => ErrorKind::Unauthenticated,
                403 => ErrorKind::PermissionDenied,
                404 => ErrorKind::Unimplemented,
                429 | 502..=504 => ErrorKind::Unavailable,
                _ => ErrorKind::Unknown,
            },
            Self::ContentType(_) | Self::NoStatus => ErrorKind::Internal,
            Self::TooLong { .. } => ErrorKind::ResourceExhausted,
        }
    }
}
