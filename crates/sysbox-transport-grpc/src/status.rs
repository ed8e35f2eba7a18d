//! Errors of the ports to statuses of gRPC and back, one kind to one code.
//!
//! The message crosses word for word, and the texts of the causes cross as `google.rpc.DebugInfo` in the details. Both are
//! bounded: a status travels in trailers, of which many peers take 16 KiB at most.

mod causes;

#[cfg(test)]
mod tests;

use std::error::Error;

use sysbox_core::{ErrorKind, Operation, PortError};
use sysbox_transport::causes::{Cause, shortened, texts};
use tonic::{Code, Response, Status};

use crate::convert::ConvertError;

/// The most bytes that a message takes in trailers.
const LONGEST_MESSAGE: usize = 6 * 1024;

/// What a server answers when its port fails.
pub(crate) fn to_status(error: &PortError) -> Status {
    let PortError { operation: _, kind, message, source: _ } = error;
    let message = shortened(message, LONGEST_MESSAGE, encoded_len);
    let code = code(*kind);
    let details = causes::encode(code, &message, error.source());
    Status::with_details(code, message, details)
}

/// What a client's port says when the server answers with a status.
pub(crate) fn from_status(operation: Operation, status: Status) -> PortError {
    let message = match status.message() {
        "" => format!("the daemon gives no reason ({})", status.code().description()),
        message => message.to_owned(),
    };
    let source = causes::decode(status.details()).or_else(|| Cause::chain(texts(status.source())));
    PortError { operation, kind: kind(status.code()), message, source: source.map(Into::into) }
}

/// The request holds something that gRPC cannot carry; it was not sent.
pub(crate) fn refused(operation: Operation, error: ConvertError) -> PortError {
    let message = format!("the request cannot go over gRPC: {error}");
    PortError::new(operation, ErrorKind::InvalidArgument, message).with_source(error.rule)
}

/// The reply holds what the contract does not allow: it came so, or a port gave something that gRPC cannot carry.
pub(crate) fn malformed_reply(operation: Operation, error: ConvertError) -> PortError {
    let message = format!("the daemon's reply breaks the wire contract: {error}");
    PortError::new(operation, ErrorKind::Internal, message).with_source(error.rule)
}

/// The request breaks a rule. The rule is in the message: who sent it is to see it, and causes are for readers of logs.
pub(crate) fn bad_request(error: ConvertError) -> Status {
    let message = format!("{error}: {}", error.rule);
    Status::invalid_argument(shortened(&message, LONGEST_MESSAGE, encoded_len))
}

/// The answer of a call, as a message.
pub(crate) fn reply<R>(
    operation: Operation,
    message: Result<R, ConvertError>,
) -> Result<Response<R>, Status> {
    message.map(Response::new).map_err(|error| to_status(&malformed_reply(operation, error)))
}

const fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Unknown => Code::Unknown,
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::ResourceExhausted => Code::ResourceExhausted,
        ErrorKind::FailedPrecondition => Code::FailedPrecondition,
        ErrorKind::Aborted => Code::Aborted,
        ErrorKind::OutOfRange => Code::OutOfRange,
        ErrorKind::Unimplemented => Code::Unimplemented,
        ErrorKind::Internal => Code::Internal,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::DataLoss => Code::DataLoss,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
    }
}

/// A failure that says it is none is one of the daemon.
const fn kind(code: Code) -> ErrorKind {
    match code {
        Code::Cancelled => ErrorKind::Cancelled,
        Code::Unknown => ErrorKind::Unknown,
        Code::InvalidArgument => ErrorKind::InvalidArgument,
        Code::DeadlineExceeded => ErrorKind::DeadlineExceeded,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::PermissionDenied => ErrorKind::PermissionDenied,
        Code::ResourceExhausted => ErrorKind::ResourceExhausted,
        Code::FailedPrecondition => ErrorKind::FailedPrecondition,
        Code::Aborted => ErrorKind::Aborted,
        Code::OutOfRange => ErrorKind::OutOfRange,
        Code::Unimplemented => ErrorKind::Unimplemented,
        Code::Ok | Code::Internal => ErrorKind::Internal,
        Code::Unavailable => ErrorKind::Unavailable,
        Code::DataLoss => ErrorKind::DataLoss,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
    }
}

/// The bytes that a character takes in `grpc-message`, where all but plain ASCII is percent-encoded.
fn encoded_len(character: char) -> usize {
    if character.is_ascii_alphanumeric() || "-_.:;,/=+()[]'!".contains(character) {
        1
    } else {
        3 * character.len_utf8()
    }
}
