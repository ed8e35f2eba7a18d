//! What HTTP/2 and the head of a reply tell of a call that got no status.

#[cfg(test)]
mod tests;

use h2::Reason;
use http::StatusCode;
use sysbox_core::{AbsPath, ErrorKind};
use sysbox_transport::{CallError, Connection};

use super::connection::Http2;

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

/// The call was not taken.
pub(super) fn not_taken(socket: &AbsPath, source: h2::Error) -> CallError {
    // One stream that was refused says nothing of others.
    let connection_ended = !source.is_reset();
    CallError::NotTaken { socket: socket.clone(), connection_ended, source: source.into() }
}

/// What HTTP/2 says of a call before it was sent.
pub(super) fn of_unsent(socket: &AbsPath, source: h2::Error) -> CallError {
    if is_their_mistake(&source) { garbled(socket, source) } else { not_taken(socket, source) }
}

/// What HTTP/2 says of a call that was sent.
pub(super) fn of_sent(socket: &AbsPath, source: h2::Error) -> CallError {
    if is_their_mistake(&source) {
        return garbled(socket, source);
    }
    // h2 tells a farewell to those streams alone that are above the last one taken (RFC 9113, 6.8).
    let refused = source.is_go_away() || source.reason() == Some(Reason::REFUSED_STREAM);
    match (source.is_remote(), refused) {
        (true, true) => not_taken(socket, source),
        (true, false) => {
            let kind = of_reset(source.reason());
            CallError::Reset { socket: socket.clone(), kind, source: source.into() }
        }
        _ => CallError::Lost { socket: socket.clone(), source: source.into() },
    }
}

/// What is wrong with a reply.
pub(super) fn bad_reply(socket: &AbsPath, reply: BadReply) -> CallError {
    CallError::BadReply { socket: socket.clone(), kind: reply.kind(), reply: reply.into() }
}

fn garbled(socket: &AbsPath, source: h2::Error) -> CallError {
    CallError::Garbled { socket: socket.clone(), protocol: Http2::PROTOCOL, source: source.into() }
}

/// Whether h2 ended it because of what the peer sent.
fn is_their_mistake(source: &h2::Error) -> bool {
    source.is_library() && source.reason() != Some(Reason::NO_ERROR)
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
