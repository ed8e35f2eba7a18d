//! Errors of the ports to failures on the wire and back, one kind to one number: gRPC's.
//!
//! The message crosses word for word, and the texts of the causes cross as texts. Both are bounded, by who sends them and
//! again by who reads them.

#[cfg(test)]
mod tests;

use std::{error::Error, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor},
};
use sysbox_core::{ErrorKind, Operation, PortError};
use sysbox_transport::causes::{self, Cause};

use crate::wire::ConvertError;

/// The most bytes of a message.
const LONGEST_MESSAGE: usize = 64 * 1024;

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    kind: u32,
    message: String,
    /// The nearest cause first.
    #[serde(deserialize_with = "nearest")]
    causes: Vec<String>,
}

impl From<&PortError> for Failure {
    fn from(error: &PortError) -> Self {
        let PortError { operation: _, kind, message, source: _ } = error;
        Self { kind: number(*kind), message: bounded(message), causes: causes::texts(error.source()) }
    }
}

impl Failure {
    /// The request breaks a rule. The rule is in the message: who sent it is to see it, and causes are for readers of logs.
    pub fn bad_request(error: &ConvertError) -> Self {
        let message = bounded(&format!("{error}: {}", error.rule));
        Self { kind: number(ErrorKind::InvalidArgument), message, causes: Vec::new() }
    }

    /// What a client's port says when the daemon answers with it.
    pub fn into_port_error(self, operation: Operation) -> PortError {
        let Self { kind: number, message, causes } = self;
        let kind = kind(number);
        let message = if message.is_empty() {
            format!("the daemon gives no reason ({kind:?})")
        } else {
            bounded(&message)
        };
        let source = Cause::chain(&causes);
        PortError { operation, kind, message, source: source.map(Into::into) }
    }
}

/// What a caller is told whose request is longer than the daemon takes.
pub(crate) fn request_too_long(operation: Operation, bytes: usize, most: impl fmt::Display) -> PortError {
    let message = format!(
        "the request has {bytes} bytes and the daemon takes {most}; ask for less at once, or raise ServerOptions::message"
    );
    PortError::new(operation, ErrorKind::OutOfRange, message)
}

/// Reads causes and keeps as many as are told: an empty text has one byte on the wire, and many here.
fn nearest<'de, D: Deserializer<'de>>(causes: D) -> Result<Vec<String>, D::Error> {
    struct Nearest;

    impl<'de> Visitor<'de> for Nearest {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of causes")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut told: A) -> Result<Vec<String>, A::Error> {
            let mut kept = Vec::new();
            while let Some(cause) = told.next_element::<String>()? {
                if kept.len() < causes::MOST {
                    kept.push(cause);
                }
            }
            Ok(kept)
        }
    }

    causes.deserialize_seq(Nearest)
}

fn bounded(message: &str) -> String {
    causes::shortened(message, LONGEST_MESSAGE, char::len_utf8)
}

const fn number(kind: ErrorKind) -> u32 {
    match kind {
        ErrorKind::Cancelled => 1,
        ErrorKind::Unknown => 2,
        ErrorKind::InvalidArgument => 3,
        ErrorKind::DeadlineExceeded => 4,
        ErrorKind::NotFound => 5,
        ErrorKind::AlreadyExists => 6,
        ErrorKind::PermissionDenied => 7,
        ErrorKind::ResourceExhausted => 8,
        ErrorKind::FailedPrecondition => 9,
        ErrorKind::Aborted => 10,
        ErrorKind::OutOfRange => 11,
        ErrorKind::Unimplemented => 12,
        ErrorKind::Internal => 13,
        ErrorKind::Unavailable => 14,
        ErrorKind::DataLoss => 15,
        ErrorKind::Unauthenticated => 16,
    }
}

/// A number that stands for none is one of a newer peer, whose meaning is not known.
const fn kind(number: u32) -> ErrorKind {
    match number {
        1 => ErrorKind::Cancelled,
        3 => ErrorKind::InvalidArgument,
        4 => ErrorKind::DeadlineExceeded,
        5 => ErrorKind::NotFound,
        6 => ErrorKind::AlreadyExists,
        7 => ErrorKind::PermissionDenied,
        8 => ErrorKind::ResourceExhausted,
        9 => ErrorKind::FailedPrecondition,
        10 => ErrorKind::Aborted,
        11 => ErrorKind::OutOfRange,
        12 => ErrorKind::Unimplemented,
        13 => ErrorKind::Internal,
        14 => ErrorKind::Unavailable,
        15 => ErrorKind::DataLoss,
        16 => ErrorKind::Unauthenticated,
        _ => ErrorKind::Unknown,
    }
}
