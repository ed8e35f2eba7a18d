//! Why a call got no answer: what happened to it, and what that means for the caller.

#[cfg(test)]
mod tests;

use std::{error::Error, time::Duration};

use sysbox_core::{AbsPath, ErrorKind, Operation, PortError};

use crate::DialError;

type Source = Box<dyn Error + Send + Sync>;

/// A call that got no answer from the daemon.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// It was not awaited in a runtime.
    #[error("a call over {protocol} needs a tokio runtime: await it in one, or use sysbox::blocking::wait")]
    NoRuntime {
        /// What is spoken.
        protocol: &'static str,
    },
    /// The request has no form on the wire.
    #[error("the request cannot be encoded")]
    Encode(#[source] Source),
    /// Nobody could be reached.
    #[error("{0}")]
    Dial(DialError),
    /// Nothing was ever heard on the connection.
    #[error(
        "the daemon at socket {socket} lets connections in but has not answered for {waited:?}: it hangs or does not speak \
         {protocol}; {}look into its log, or restart it",
        if *sent { "whether the call was carried out is not known; " } else { "" }
    )]
    Silent {
        /// The socket.
        socket: AbsPath,
        /// What is spoken.
        protocol: &'static str,
        /// For how long.
        waited: Duration,
        /// Whether the daemon may have got the call.
        sent: bool,
    },
    /// The call was certainly not begun.
    #[error(
        "the daemon at socket {socket} took no call, and this one was not carried out: it is stopping, or takes no more; \
         try again, or look into its log"
    )]
    NotTaken {
        /// The socket.
        socket: AbsPath,
        /// Whether other calls on the connection are of the same fate.
        connection_ended: bool,
        /// How that is known.
        source: Source,
    },
    /// The connection ended during the call.
    #[error(
        "the connection to socket {socket} was lost during the call; whether it was carried out is not known; \
         see that the daemon runs"
    )]
    Lost {
        /// The socket.
        socket: AbsPath,
        /// How.
        source: Source,
    },
    /// What came is not what the protocol allows.
    #[error(
        "what listens on socket {socket} does not speak {protocol}; name the directory of a daemon that does, or the transport that \
         this one speaks"
    )]
    Garbled {
        /// The socket.
        socket: AbsPath,
        /// What is spoken.
        protocol: &'static str,
        /// What came.
        source: Source,
    },
    /// The daemon gave the call up without an answer.
    #[error(
        "the daemon at socket {socket} broke the call off; whether it was carried out is not known; look into its log"
    )]
    Reset {
        /// The socket.
        socket: AbsPath,
        /// What the port says.
        kind: ErrorKind,
        /// What the daemon said.
        source: Source,
    },
    /// The answer breaks the rules of the protocol.
    #[error("the daemon at socket {socket} sent {reply}; whether the call was carried out is not known")]
    BadReply {
        /// The socket.
        socket: AbsPath,
        /// What the port says.
        kind: ErrorKind,
        /// What came, to be read after "sent".
        reply: Source,
    },
    /// The daemon does not want this client, and says why.
    #[error("the daemon at socket {socket} takes no calls of this client: {message}")]
    Rejected {
        /// The socket.
        socket: AbsPath,
        /// What the port says.
        kind: ErrorKind,
        /// What the daemon said, or why the client will not have it.
        message: String,
    },
    /// No answer in time.
    #[error(
        "socket {socket}: no answer within {limit:?} to the call to {operation}; {}",
        if *sent { "whether it was carried out is not known" } else { "it was not sent" }
    )]
    Deadline {
        /// The socket.
        socket: AbsPath,
        /// The call.
        operation: Operation,
        /// Its deadline.
        limit: Duration,
        /// Whether the daemon may have got it.
        sent: bool,
    },
}

impl CallError {
    /// Whether the next call needs another connection.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::Lost { .. } | Self::Garbled { .. } | Self::Rejected { .. } => true,
            Self::NotTaken { connection_ended, .. } => *connection_ended,
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
    pub fn into_port_error(self, operation: Operation) -> PortError {
        let error = PortError::new(operation, self.kind(), self.to_string());
        match self {
            Self::Dial(DialError { source, .. }) => error.with_source(source),
            Self::Encode(source)
            | Self::NotTaken { source, .. }
            | Self::Lost { source, .. }
            | Self::Garbled { source, .. }
            | Self::Reset { source, .. } => error.with_source(source),
            Self::NoRuntime { .. }
            | Self::Silent { .. }
            | Self::BadReply { .. }
            | Self::Rejected { .. }
            | Self::Deadline { .. } => error,
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoRuntime { .. } | Self::Encode(_) => ErrorKind::Internal,
            Self::Dial(_)
            | Self::Silent { .. }
            | Self::NotTaken { .. }
            | Self::Lost { .. }
            | Self::Garbled { .. } => ErrorKind::Unavailable,
            Self::Reset { kind, .. } | Self::BadReply { kind, .. } | Self::Rejected { kind, .. } => *kind,
            Self::Deadline { .. } => ErrorKind::DeadlineExceeded,
        }
    }
}
